"""The waveform port of a Puritan Bennett 840, 38400 8N1: each breath at its end, 50 Hz.

Source: public recordings and decoders of this port.
"""

import asyncio
import math

from hil.simulators.device import Plug, now_s

BAUD = 38400
CHARACTER_BITS = 10
OPTIONS: dict[str, object] = {}

_PERIOD_S = 0.02
_SAMPLES_MAX = 400
_INSPIRATION = 0.33


class PuritanWaves:
    """One ventilator's waveform port; silent while there is no breath to measure."""

    def __init__(self, plug: Plug) -> None:
        self._plug = plug
        self.breaths: list[list[tuple[str, str]]] = []  # what was sent whole

    async def run(self) -> None:
        """Send a breath after the other, for ever."""
        number = 0
        due_s = now_s()
        while True:
            vitals = self._plug.measure()
            rate, volume = vitals["RR"], vitals["VT"]
            low, high = vitals["PEEP"], vitals["PIP"]
            length_s = 60 / (rate or 15.0)
            due_s += length_s
            await asyncio.sleep(max(0.0, due_s - now_s()))
            if rate is None or volume is None or low is None or high is None:
                continue
            count = min(_SAMPLES_MAX, int(length_s / _PERIOD_S))
            breath = []
            for index in range(count):
                part = index / count
                if part < _INSPIRATION:
                    flow = volume / 1000 / (_INSPIRATION / rate)
                    pressure = low + (high - low) * (1 - math.exp(-9 * part))
                else:
                    left = math.exp(-6 * (part - _INSPIRATION) / (1 - _INSPIRATION))
                    flow = -volume / 1000 * 6 * rate / (1 - _INSPIRATION) * left
                    pressure = low + (high - low) * left
                breath.append((f"{flow:.2f}", f"{pressure:.2f}"))
            number += 1
            lines = [f"BS, S:{number},"] + [", ".join(sample) for sample in breath] + ["BE"]
            if await self._plug.line.send("".join(line + "\n" for line in lines).encode()):
                self.breaths.append(breath)
