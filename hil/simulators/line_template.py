"""A device of nobody's: it prints a line of text every two seconds, with a check at its end.

T=36.8 Cel  SPO2= 97 %  PR= 68 /min*CK    CK: exclusive or of all before, two hex digits
"""

import asyncio
from functools import reduce
from operator import xor

from hil.simulators.device import Pace, Plug

BAUD = 9600
CHARACTER_BITS = 10
OPTIONS: dict[str, object] = {
    "check": "xor8",
    "ignore": ["TIME"],
    "lines": [
        {
            "pattern": "T={} Cel SPO2={} % PR={} /min*",
            "fields": [
                {"parameter": 6, "low": 10, "high": 45, "none": ["--.-"]},
                {"parameter": 1, "low": 1, "high": 100, "none": ["---"]},
                {"parameter": 2, "low": 20, "high": 300, "none": ["---"]},
            ],
        }
    ],
}

_PERIOD_S = 2.0
_HEADER_EVERY = 10


class Printer:
    """One device."""

    def __init__(self, plug: Plug) -> None:
        self._plug = plug

    async def run(self) -> None:
        """Print, for ever."""
        pace = Pace(_PERIOD_S)
        count = 0
        while True:
            if count % _HEADER_EVERY == 0:
                await self._plug.line.send(b"TIME  T  SPO2  PR\r\n")
            count += 1
            vitals = self._plug.measure()
            temperature, spo2, pulse = vitals["Temp"], vitals["SpO2"], vitals["PR"]
            said: dict[str, str | None] = {
                "Temp": None if temperature is None else f"{temperature:.1f}",
                "SpO2": None if spo2 is None else f"{spo2:.0f}",
                "PR": None if pulse is None else f"{pulse:.0f}",
            }
            text = f"T={said['Temp'] or '--.-'} Cel  SPO2={said['SpO2'] or '---':>3} %  "
            text += f"PR={said['PR'] or '---':>3} /min*"
            line = f"{text}{reduce(xor, text.encode()):02X}\r\n".encode()
            await self._plug.say(line, 0, said)
            await asyncio.sleep(pace.next_s())
