"""Two sites, and the first one gone without a word: killed, paused, cut off, or not receipting."""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from hil.bench.figures import Figure
from hil.bench.uplink.bedside import FIRST_UART, Bedside, device_name
from hil.bench.uplink.brokers import Broker, make_broker
from hil.bench.uplink.plan import Measuring
from hil.bench.uplink.site import Site
from hil.bench.uplink.waiting import Stalls, until
from hil.errors import RigError
from hil.link import LinkProxy
from hil.tasks import end_tasks

_CLASSES = "ABC"
_UARTS = range(FIRST_UART, FIRST_UART + len(_CLASSES))
_CLASS_A_MAX_S = 2.0  # what class A may lose at the most, and so may be without
_OTHERS_MAX_S = 5.0
_STEP_S = 0.25  # between two values of a device
_BEFORE = 4  # values ahead of the death, some of which are then under way
_AFTER = 6  # values behind the moment from which all classes are live
_WAIT_S = 20
_SETTLE_S = 60
_AT_ONCE = 4
# What B and C wait for by themselves is not what is measured. Where the second site answers first,
# the first is chosen as soon as may be.
_CONFIG = {"commit_b_ms": 100, "commit_c_ms": 100, "failback_ms": 1000}


@dataclass
class Stage:
    """One gateway with two sites that are live."""

    bedside: Bedside
    brokers: list[Broker]
    sites: list[Site]
    link: LinkProxy  # to the first

    async def say_all(self) -> None:
        """Put a value of each class on the wire, and wait for the time of the next."""
        for uart in _UARTS:
            self.bedside.say(uart)
        await asyncio.sleep(_STEP_S)

    def first_at(self, site: int, uart: int, since: float) -> float | None:
        """Return when a site first had a value that was said since then, None so far."""
        times = [
            self.sites[site].committed_at(device_name(uart), number)
            for (known, number), said_at in self.bedside.said_at.items()
            if known == uart and said_at > since
        ]
        return min((at for at in times if at is not None), default=None)

    def others_at(self, site: int, since: float) -> float | None:
        """Return when a site had values of both B and C that were said since then."""
        times = [self.first_at(site, uart, since) for uart in _UARTS if uart != FIRST_UART]
        known = [at for at in times if at is not None]
        return max(known) if len(known) == len(times) else None

    def anywhere_at(self, uart: int, number: int) -> float | None:
        """Return when a value was first durable at any site."""
        times = [site.committed_at(device_name(uart), number) for site in self.sites]
        return min((at for at in times if at is not None), default=None)

    def lost(self) -> int:
        """Return how many values no site has."""
        return sum(self.anywhere_at(*key) is None for key in self.bedside.said_at)


@dataclass
class Outcome:
    """What one death did.

    class_a_s  the longest that a value of class A was on its way to any site
    others_s   from the death until the second site had a value of B, and one of C, that came
               after it
    lost       values that no site ever had
    """

    class_a_s: float
    others_s: float
    lost: int


def _kill(stage: Stage) -> None:
    stage.brokers[0].kill()


def _pause(stage: Stage) -> None:
    stage.brokers[0].pause()


def _cut(stage: Stage) -> None:
    stage.link.cut()


def _withhold(stage: Stage) -> None:
    stage.sites[0].receipting = False


DEATHS: dict[str, Callable[[Stage], None]] = {
    "killed": _kill,
    "paused": _pause,
    "cable": _cut,
    "withheld": _withhold,
}


async def measure(measuring: Measuring) -> None:
    """Add uplink.failover_class_a_s and uplink.failover_others_s, over all and by death."""
    kinds = dict(DEATHS)
    probe = make_broker()
    if not probe.can_pause:
        del kinds["paused"]
        measuring.skip("failover, paused broker", f"{probe.name} cannot be paused: mosquitto can")
    probe.stop()
    runs = measuring.plan.runs
    measuring.tell(f"failover, {runs} runs of each: {', '.join(kinds)}")
    gate = asyncio.Semaphore(_AT_ONCE)

    outcomes: dict[str, list[Outcome]] = {kind: [] for kind in kinds}
    failures = measuring.report.failures

    async def one(kind: str) -> None:
        async with gate:
            try:
                outcome = await run(DEATHS[kind])
            except RigError as error:
                failures.append(f"failover, {kind}: {error.message}")
                return
        outcomes[kind].append(outcome)
        measuring.tell(
            f"{kind}: A on its way for {outcome.class_a_s:.2f} s at most, "
            f"B and C live after {outcome.others_s:.2f} s"
        )
        if outcome.lost:
            failures.append(f"failover, {kind}: {outcome.lost} values lost")

    stalls = Stalls()
    watch = asyncio.create_task(stalls.watch())
    try:
        await asyncio.gather(*[one(kind) for _ in range(runs) for kind in kinds])
    finally:
        await end_tasks([watch])
    _report(measuring, {kind: found for kind, found in outcomes.items() if found}, stalls)


def _report(measuring: Measuring, outcomes: dict[str, list[Outcome]], stalls: Stalls) -> None:
    everything = [outcome for found in outcomes.values() for outcome in found]
    if not everything:
        return
    note = (
        f"{measuring.plan.runs} runs of each kind of death, {_AT_ONCE} at a time; "
        f"the bench itself stood still for {stalls.worst_s:.2f} s at most"
    )
    for name, limit, of in (
        ("class_a", _CLASS_A_MAX_S, lambda outcome: outcome.class_a_s),
        ("others", _OTHERS_MAX_S, lambda outcome: outcome.others_s),
    ):
        figure = f"uplink.failover_{name}_s"
        seconds = max(map(of, everything))
        measuring.report.figures.append(
            Figure(f"{figure}.max", seconds, "s", limit=limit, note=note)
        )
        for kind, found in outcomes.items():
            times = [of(outcome) for outcome in found]
            add = measuring.report.figures.append
            add(Figure(f"{figure}.{kind}.median", median(times), "s"))
            add(Figure(f"{figure}.{kind}.max", max(times), "s", limit=limit))


@contextlib.asynccontextmanager
async def _stage() -> AsyncIterator[Stage]:
    with tempfile.TemporaryDirectory(prefix="vitalkeep-bench-") as name:
        folder = Path(name)
        brokers = [make_broker() for _ in range(2)]
        sites = [Site(folder, site) for site in ("primary", "standby")]
        link = LinkProxy("127.0.0.1", brokers[0].port)
        bedside = None
        try:
            for broker, site in zip(brokers, sites, strict=True):
                await broker.start()
                site.start(broker.port)
            ports = [await link.start(), brokers[1].port]
            places = [(site.id, port) for site, port in zip(sites, ports, strict=True)]
            bedside = Bedside(folder / "board", places, _CLASSES, dict(_CONFIG))
            await bedside.board.start()
            await bedside.board.wait_for("listening")
            yield Stage(bedside, brokers, sites, link)
        finally:
            for site in sites:
                await site.close()
            if bedside is not None:
                await bedside.board.close()
            await link.close()
            for broker in brokers:
                broker.stop()


async def run(death: Callable[[Stage], None]) -> Outcome:
    """Let the first site of a fresh pair die once; raises RigError when nobody takes over."""
    async with _stage() as stage:
        await _settle(stage)
        settled = time.monotonic()
        for _ in range(_BEFORE):
            await stage.say_all()
        death(stage)
        died = time.monotonic()
        left = _AFTER
        while left and time.monotonic() < died + _WAIT_S:
            await stage.say_all()
            left -= stage.others_at(1, died) is not None
        others_at = stage.others_at(1, died)
        if others_at is None:
            raise RigError(
                "bench: the second site did not take over.", "Run the tests: make test."
            )
        # What the first had not yet got comes to the second, behind what is live.
        with contextlib.suppress(RigError):
            await until(lambda: not stage.lost(), "every value to be somewhere", _WAIT_S)
        waits = [
            at - said_at
            for (uart, number), said_at in stage.bedside.said_at.items()
            if uart == FIRST_UART and said_at > settled
            if (at := stage.anywhere_at(uart, number)) is not None
        ]
        return Outcome(max(waits), others_at - died, stage.lost())


async def _settle(stage: Stage) -> None:
    """Talk until class A is live at both sites, and B and C at the first."""
    end = time.monotonic() + _SETTLE_S
    while True:
        began = time.monotonic()
        for _ in range(_BEFORE):
            await stage.say_all()
        at_second = stage.first_at(1, FIRST_UART, began) is not None
        if at_second and stage.others_at(0, began) is not None:
            return
        if time.monotonic() > end:
            raise RigError(
                f"bench: two sites were not live within {_SETTLE_S} s.",
                "The machine may be too busy, or the uplink broken: make test.",
            )
