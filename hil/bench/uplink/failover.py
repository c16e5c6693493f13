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
from hil.bench.uplink.waiting import until
from hil.errors import RigError
from hil.link import LinkProxy

_CLASSES = "ABC"
_CLASS_A_MAX_S = 2.0  # what class A may lose at the most, and so may be without
_OTHERS_MAX_S = 5.0
_STEP_S = 0.25  # between two values of a device
_BEFORE = 4  # values ahead of the death, some of which are then under way
_AFTER = 6  # values behind the moment from which all classes are live
_WAIT_S = 20
_AT_ONCE = 4
# What B and C wait for by themselves is not what is measured.
_CONFIG = {"commit_b_ms": 100, "commit_c_ms": 100}


@dataclass
class Stage:
    """One gateway with two sites that are live."""

    bedside: Bedside
    brokers: list[Broker]
    sites: list[Site]
    link: LinkProxy  # to the first


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

    async def one(kind: str) -> Outcome:
        async with gate:
            return await run(DEATHS[kind])

    order = [kind for _ in range(runs) for kind in kinds]
    found = await asyncio.gather(*[one(kind) for kind in order])
    outcomes: dict[str, list[Outcome]] = {kind: [] for kind in kinds}
    for kind, outcome in zip(order, found, strict=True):
        outcomes[kind].append(outcome)
        if outcome.lost:
            measuring.report.failures.append(f"failover, {kind}: {outcome.lost} values lost")
    _report(measuring, outcomes)


def _report(measuring: Measuring, outcomes: dict[str, list[Outcome]]) -> None:
    everything = [outcome for found in outcomes.values() for outcome in found]
    note = f"{measuring.plan.runs} runs of each kind of death, {_AT_ONCE} at a time"
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
        bedside, (first, second) = stage.bedside, stage.sites
        uarts = range(FIRST_UART, FIRST_UART + len(_CLASSES))
        last = {uart: bedside.say(uart) for uart in uarts}

        def is_live() -> bool:
            at_first = all(first.committed_at(device_name(u), n) for u, n in last.items())
            return at_first and bool(second.committed_at(device_name(FIRST_UART), 0))

        await until(is_live, "the sites to have a first value of all classes")
        for _ in range(_BEFORE):
            for uart in uarts:
                bedside.say(uart)
            await asyncio.sleep(_STEP_S)
        death(stage)
        died = time.monotonic()
        after, left = 0, _AFTER
        while left and after * _STEP_S < _WAIT_S:
            for uart in uarts:
                last[uart] = bedside.say(uart)
            await asyncio.sleep(_STEP_S)
            after += 1
            left -= _live_again(stage, died) is not None
        others_s = _live_again(stage, died)
        if others_s is None:
            raise RigError("bench: the second site did not take over.", "See the gateway's log.")

        def is_all_there() -> bool:
            return all(second.committed_at(device_name(u), n) for u, n in last.items())

        await until(is_all_there, "the second site to have the last values")
        waits, lost = [], 0
        for (uart, number), said_at in bedside.said_at.items():
            times = [site.committed_at(device_name(uart), number) for site in stage.sites]
            known = [at for at in times if at is not None]
            lost += not known
            if known and uart == FIRST_UART and number:
                waits.append(min(known) - said_at)
        return Outcome(max(waits), others_s, lost)


def _live_again(stage: Stage, died: float) -> float | None:
    """Return after how long B and C were live at the second site, None while they are not."""
    waits = []
    for uart in range(FIRST_UART + 1, FIRST_UART + len(_CLASSES)):
        times = [
            stage.sites[1].committed_at(device_name(uart), number)
            for (known, number), said_at in stage.bedside.said_at.items()
            if known == uart and said_at > died
        ]
        there = [at for at in times if at is not None]
        if not there:
            return None
        waits.append(min(there) - died)
    return max(waits)
