"""A contact behind a serial converter, 1200 8N1: "0" open, "1" closed, fifty samples a second.

It calls while there is no pulse to measure, and for three seconds of every twenty.
"""

import asyncio

from hil.simulators.device import Pace, Plug, now_s

BAUD = 1200
CHARACTER_BITS = 10
OPTIONS: dict[str, object] = {}

_SAMPLE_S, _SAMPLES = 0.02, 5
_PERIOD_S, _CALL_S = 20.0, 3.0
_REPEAT_S = 10.0


class Contact:
    """One contact; the ledger has its state at each change, and every ten seconds."""

    def __init__(self, plug: Plug) -> None:
        self._plug = plug

    async def run(self) -> None:
        """Sample, for ever."""
        pace = Pace(_SAMPLE_S * _SAMPLES)
        start_s = now_s()
        told: str | None = None
        since = 0
        while True:
            calls = (now_s() - start_s) % _PERIOD_S < _CALL_S
            calls = calls or self._plug.measure()["PR"] is None
            level = "1" if calls else "0"
            await self._plug.line.send(level.encode() * _SAMPLES)
            since += _SAMPLES
            if level != told or since * _SAMPLE_S >= _REPEAT_S:
                told, since = level, 0
                self._plug.ledger.record(self._plug.bed, self._plug.device, 0, {"Contact": level})
            await asyncio.sleep(pace.next_s())
