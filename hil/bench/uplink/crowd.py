"""A ward's gateways come back to a broker that had died: jittered, beside a fixed pause."""

import asyncio
import contextlib
import os
import resource
import time
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field

from bridge.core import mqtt
from bridge.core.errors import ProtocolError
from bridge.core.pace import Pace
from hil.bench.figures import Figure
from hil.bench.uplink.brokers import make_broker
from hil.bench.uplink.plan import Measuring
from hil.bench.uplink.waiting import until
from hil.tasks import end_tasks

_DOWN_S = 3.0
_SILENT_S = 5.0  # as peer_silent_ms
_KEEP_ALIVE_S = 600
_PEER_PAUSE_S = 1.0
_PEER = f"a fixed pause of {_PEER_PAUSE_S:g} s"
_PEAK_S = 0.1  # in which attempts are counted
_BACK_MAX_S = 90
_SPARE_FILES = 200
_JOINING_PER_S = 200  # the first time

# (when the attempt began, seconds that it was up, it came past the connection) to seconds
Pause = Callable[[float, float, bool], float]


@dataclass
class Crowd:
    """What the gateways do, seen together."""

    attempts: list[float] = field(default_factory=list)
    up: set[int] = field(default_factory=set)

    def peak_per_s(self) -> float:
        """Return the most attempts within _PEAK_S, as a rate."""
        times = sorted(self.attempts)
        most = max(
            (bisect_right(times, at + _PEAK_S) - index for index, at in enumerate(times)),
            default=0,
        )
        return most / _PEAK_S


def _pace() -> Pause:
    """Return the gateway's own pauses."""
    pace = Pace()

    def pause(began_s: float, lasted_s: float, dear: bool) -> float:
        began_ms, now_ms = round(began_s * 1000), round(time.monotonic() * 1000)
        pace.ended(began_ms, now_ms, round(lasted_s * 1000), dear, os.urandom(1)[0])
        return float(pace.early_ms(now_ms)) / 1000

    return pause


def _fixed() -> Pause:
    return lambda began_s, lasted_s, dear: _PEER_PAUSE_S


async def measure(measuring: Measuring) -> None:
    """Add uplink.crowd_back_s and uplink.crowd_peak_attempts_per_s."""
    wanted = measuring.plan.gateways
    count = min(wanted, _files() - _SPARE_FILES)
    note = f"{count} gateways, broker dead for {_DOWN_S:g} s"
    if count < wanted:
        measuring.skip(f"{wanted - count} of {wanted} gateways", "ulimit -n allows no more")
    found = []
    for name, pauses in (("jittered", _pace), (_PEER, _fixed)):
        measuring.tell(f"{count} gateways come back, {name}")
        found.append(await come_back(count, pauses, measuring))
    (back_s, peak), (their_back_s, their_peak) = found
    add = measuring.report.figures.append
    add(Figure("uplink.crowd_back_s", back_s, "s", peer=_PEER, peer_value=their_back_s, note=note))
    name = "uplink.crowd_peak_attempts_per_s"
    note = f"of any {1000 * _PEAK_S:g} ms since the broker is back"
    add(Figure(name, peak, "/s", peer=_PEER, peer_value=their_peak, note=note))


def _files() -> int:
    """Allow ourselves, and so the broker, as many open files as may be; returns how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


async def come_back(
    count: int, pauses: Callable[[], Pause], measuring: Measuring
) -> tuple[float, float]:
    """Kill a broker under `count` gateways and start it again.

    Returns  seconds from its start until all are subscribed, peak of attempts a second
    Raises   RigError when they do not come back
    """
    broker = make_broker()
    crowd = Crowd()
    await broker.start()
    gateways = [
        asyncio.create_task(_gateway(number, broker.port, pauses(), crowd))
        for number in range(count)
    ]
    try:
        await until(lambda: len(crowd.up) == count, "all gateways to come", _BACK_MAX_S)
        broker.kill()
        await asyncio.sleep(_DOWN_S)
        # What comes while there is no broker costs nobody anything.
        crowd.attempts.clear()
        await broker.start()
        started = time.monotonic()
        await until(lambda: len(crowd.up) == count, "all to come back", _BACK_MAX_S)
        back_s = time.monotonic() - started
        if not broker.alive:
            measuring.report.failures.append(f"crowd: {count} gateways felled {broker.name}")
        return back_s, crowd.peak_per_s()
    finally:
        await end_tasks(gateways)
        broker.stop()


async def _gateway(number: int, port: int, pause: Pause, crowd: Crowd) -> None:
    """Hold a session with the broker for ever."""
    await asyncio.sleep(number / _JOINING_PER_S)
    while True:
        began_s = time.monotonic()
        crowd.attempts.append(began_s)
        up_at = 0.0
        writer = None
        try:
            opening = asyncio.open_connection("127.0.0.1", port)
            reader, writer = await asyncio.wait_for(opening, _SILENT_S)
            await asyncio.wait_for(_log_in(number, reader, writer), _SILENT_S)
            up_at = time.monotonic()
            crowd.up.add(number)
            while await reader.read(256):
                pass
        except (OSError, EOFError, ProtocolError, asyncio.TimeoutError):
            pass  # it tries again
        finally:
            crowd.up.discard(number)
            if writer is not None:
                writer.close()
        lasted_s = time.monotonic() - up_at if up_at else 0.0
        await asyncio.sleep(pause(began_s, lasted_s, writer is not None))


async def _log_in(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Connect and subscribe as a gateway does; raises EOFError, ProtocolError."""
    decoder = mqtt.Decoder(256)
    name = f"{number:016x}"
    for packet, answer in (
        (mqtt.connect(name, _KEEP_ALIVE_S, f"vk/{name}/state", b"offline", True), mqtt.CONNACK),
        (mqtt.subscribe(1, [(f"vk/{name}/receipt", 1)]), mqtt.SUBACK),
    ):
        writer.write(packet)
        while (found := decoder.next_packet()) is None:
            data = await reader.read(256)
            if not data:
                raise EOFError
            decoder.feed(data)
        if found.type != answer:
            raise ProtocolError(f"packet type {found.type}, want {answer}")
