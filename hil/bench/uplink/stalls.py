"""Lines that go on talking while the network flaps: bytes dropped, and the longest stall."""

import asyncio
import random
import tempfile
from pathlib import Path

from hil.bench.figures import Figure
from hil.bench.uplink.bedside import FIRST_UART, Bedside, device_name
from hil.bench.uplink.brokers import make_broker
from hil.bench.uplink.plan import Measuring
from hil.bench.uplink.site import Site
from hil.bench.uplink.waiting import until
from hil.link import LinkProxy
from hil.tasks import end_tasks

_DEVICES = 3
_STEP_S = 0.2  # between two values of a device: half of what 9600 baud carry
_FLAP_S = (0.2, 1.5)  # up or down for so long
_PLAN_SECONDS = 5  # of flapping for each second of the plan
_STALL_MAX_MS = 1200  # what the rings of the lines are made for


async def measure(measuring: Measuring) -> None:
    """Add uplink.uart_overruns and uplink.stall_ms.max."""
    seconds = _PLAN_SECONDS * measuring.plan.seconds
    measuring.tell(f"the link flaps for {seconds:g} s while {_DEVICES} lines talk")
    with tempfile.TemporaryDirectory(prefix="vitalkeep-bench-") as name:
        folder = Path(name)
        broker = make_broker()
        link = LinkProxy("127.0.0.1", broker.port)
        site = Site(folder, "primary")
        bedside = None
        try:
            await broker.start()
            site.start(broker.port)
            place = (site.id, await link.start())
            bedside = Bedside(folder / "board", [place], "A" * _DEVICES)
            await bedside.board.start()
            await bedside.board.wait_for("listening")
            flaps = await _flap(bedside, link, seconds, measuring.plan.seed)
            await _settle(bedside, site)
            _report(measuring, bedside, site, flaps)
        finally:
            if bedside is not None:
                await bedside.board.close()
            await site.close()
            await link.close()
            broker.stop()


async def _flap(bedside: Bedside, link: LinkProxy, seconds: float, seed: int) -> int:
    """Take the link away and give it back, in turns that a gateway notices or does not."""
    draw = random.Random(seed)
    loop = asyncio.get_running_loop()
    talk = asyncio.create_task(_talk(bedside))
    end = loop.time() + seconds
    flaps = 0
    try:
        while loop.time() < end:
            await asyncio.sleep(draw.uniform(*_FLAP_S))
            kind = flaps % 3
            if kind == 0:
                bedside.board.plug_cable(False)
            elif kind == 1:
                link.cut()
            link.reset()
            await asyncio.sleep(draw.uniform(*_FLAP_S))
            link.restore()
            bedside.board.plug_cable(True)
            flaps += 1
    finally:
        await end_tasks([talk])
    return flaps


async def _talk(bedside: Bedside) -> None:
    while True:
        for uart in range(FIRST_UART, FIRST_UART + _DEVICES):
            bedside.say(uart)
            await asyncio.sleep(_STEP_S / _DEVICES)


async def _settle(bedside: Bedside, site: Site) -> None:
    """Wait until the site has every value, and a heartbeat of after that."""

    def is_all_there() -> bool:
        return all(site.committed_at(device_name(u), n) for u, n in bedside.said_at)

    await until(is_all_there, "every value to be at the site")
    last = site.status
    await until(lambda: site.status is not last, "a heartbeat")


def _report(measuring: Measuring, bedside: Bedside, site: Site, flaps: int) -> None:
    add = measuring.report.figures.append
    note = f"{len(bedside.said_at)} values on {_DEVICES} lines, {flaps} flaps; none lost"
    overruns = bedside.board.overruns
    add(Figure("uplink.uart_overruns", overruns, "B", limit=0, note=note))
    stall = site.status.get("stall_ms_max", site.status["counters"].get("stall_ms_max"))
    note = "" if stall is not None else "this firmware's heartbeat does not say"
    add(Figure("uplink.stall_ms.max", stall, "ms", limit=_STALL_MAX_MS, note=note))
