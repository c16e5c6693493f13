"""Publishes and bytes a second at three distances, beside umqtt.simple on the same broker."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hil.bench.figures import MORE, Figure
from hil.bench.runner import Runner
from hil.bench.uplink import umqtt
from hil.bench.uplink.brokers import Broker, make_broker
from hil.bench.uplink.plan import Measuring
from hil.link import LinkProxy

_ROUND_TRIPS_MS = (0, 20, 100)
_PAYLOAD = 200
_PEER = f"umqtt.simple {umqtt.VERSION}, QoS 1"


async def measure(measuring: Measuring) -> None:
    """Add uplink.publishes_per_s and uplink.bytes_per_s at each round trip."""
    path = None
    try:
        path = await asyncio.to_thread(umqtt.fetch)
    except umqtt.Absent as error:
        measuring.skip("umqtt.simple", str(error))
    broker = make_broker()
    await broker.start()
    try:
        with tempfile.TemporaryDirectory(prefix="vitalkeep-bench-") as folder:
            runner = Runner(Path(folder))
            for round_trip_ms in _ROUND_TRIPS_MS:
                await _at(round_trip_ms, broker, runner, path, measuring)
    finally:
        broker.stop()


async def _at(
    round_trip_ms: int, broker: Broker, runner: Runner, path: Path | None, measuring: Measuring
) -> None:
    measuring.tell(f"publishes at {round_trip_ms} ms round trip, by {broker.name}")
    link = LinkProxy("127.0.0.1", broker.port, delay_s=round_trip_ms / 2000)
    # With no distance there is nothing between them: a proxy would be what is measured.
    port = await link.start() if round_trip_ms else broker.port

    async def rate(client: str) -> float:
        order: dict[str, Any] = {"client": client, "port": port, "size": _PAYLOAD}
        order |= {"seconds": measuring.plan.seconds, "path": str(path)}
        found = await asyncio.to_thread(runner.run, "publish", None, **order)
        return float(found["count"] / (found["us"] / 1e6))

    try:
        ours = await rate("session")
        theirs = await rate("umqtt") if path else None
    finally:
        await link.close()
    for name, unit, each in (("publishes", "/s", 1), ("bytes", "B/s", _PAYLOAD)):
        measuring.report.figures.append(
            Figure(
                f"uplink.{name}_per_s.rtt{round_trip_ms}ms",
                ours * each,
                unit,
                MORE,
                _PEER if path else None,
                None if theirs is None else theirs * each,
            )
        )
