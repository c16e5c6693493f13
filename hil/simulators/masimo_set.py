"""Masimo SET oximeter (Rad-8), ASCII 1: one line a second at 9600 8N1, no request, no checksum.

Source: Masimo Rad-8 operator's manual, serial data; public field captures.
"""

import asyncio
import time

from hil.simulators.device import Pace, Plug
from hil.vitals import Vitals

BAUD = 9600
GROUP = 0
_PERIOD_S = 1.0

# EXC bits
_OFF_PATIENT = 0x20
_LOW_PERFUSION = 0x04
_SET_RUNNING = 0x800
# ALARM bits
_SPO2_LOW, _BPM_HIGH, _TRIGGERED = 0x02, 0x04, 0x10

_SPO2_LIMIT, _BPM_LIMIT = 90, 120
_LOW_PI = 0.5


class MasimoOximeter:
    """One oximeter; the sensor is off the patient while there is no SpO2 to measure."""

    def __init__(self, plug: Plug) -> None:
        self._plug = plug

    async def run(self) -> None:
        """Send a line a second, for ever."""
        pace = Pace(_PERIOD_S)
        while True:
            message, values = compose(self._plug.measure(), time.time())
            await self._plug.say(message, GROUP, values)
            await asyncio.sleep(pace.next_s())


def compose(vitals: Vitals, utc_s: float) -> tuple[bytes, dict[str, str | None]]:
    """Return a line and what it says: {label: decimal string, None for no value}."""
    stamp = time.strftime("%m/%d/%y %H:%M:%S", time.gmtime(utc_s))
    spo2, bpm, pi = vitals["SpO2"], vitals["PR"], vitals["PI"]
    if spo2 is None or bpm is None:
        exc = _SET_RUNNING | _OFF_PATIENT
        line = f"{stamp} SN=0000123456 SPO2=---% BPM=---% PI=--.--% DESAT=-- PIDELTA=+-- "
        line += f"ALARM=0000 EXC={exc:06X}\r\n"
        return line.encode(), {"SpO2": None, "PR": None, "PI": None}
    whole_spo2, whole_bpm = min(100, round(spo2)), round(bpm)
    pi = min(20.0, pi or 0.02)
    exc = _SET_RUNNING | (_LOW_PERFUSION if pi < _LOW_PI else 0)
    alarm = (_SPO2_LOW if whole_spo2 < _SPO2_LIMIT else 0) | (
        _BPM_HIGH if whole_bpm > _BPM_LIMIT else 0
    )
    alarm |= _TRIGGERED if alarm else 0
    line = f"{stamp} SN=0000123456 SPO2={whole_spo2:03d}% BPM={whole_bpm:03d} PI={pi:05.2f}% "
    line += f"DESAT=00 PIDELTA=+00 ALARM={alarm:04X} EXC={exc:06X}\r\n"
    values = {"SpO2": str(whole_spo2), "PR": str(whole_bpm), "PI": f"{pi:.2f}"}
    return line.encode(), {**values, "DESAT": "0", "PI delta": "0"}
