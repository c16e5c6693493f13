"""A monitor that sends ORU^R01 in MLLP blocks each second and waits for its acknowledgement.

    0B MSH CR PID CR PV1 CR OBR CR OBX CR ... 1C CR

Source: HL7 v2.6, IHE PCD-01.
"""

from __future__ import annotations

import asyncio
import time

from hil.simulators.device import Pace, Plug

BAUD = 9600
CHARACTER_BITS = 10
OPTIONS: dict[str, object] = {"map": {"NIBP-S": {"parameter": 20, "unit": "mmHg"}}}

_PERIOD_S = 2.0
_PATIENCE_S = 5.0

# label: identifier, unit, decimals, what is measured
_ROWS = {
    "HR": ("147842^MDC_ECG_HEART_RATE^MDC", "264864^MDC_DIM_BEAT_PER_MIN^MDC", 0, "HR"),
    "SpO2": ("150456^MDC_PULS_OXIM_SAT_O2^MDC", "%", 0, "SpO2"),
    "RESP": ("151562^MDC_RESP_RATE^MDC", "/min", 0, "RESP"),
    "EtCO2": ("151728^MDC_AWAY_CO2_ET^MDC", "mm[Hg]", 1, "EtCO2"),
    "NBPs": ("NIBP-S^Systolic", "mmHg", 0, "NBPs"),
}


def block(segments: list[str]) -> bytes:
    """Return an MLLP block."""
    return b"\x0b" + "".join(segment + "\r" for segment in segments).encode() + b"\x1c\r"


class OruMonitor:
    """One sender; what is not acknowledged in time is sent again, with its number."""

    def __init__(self, plug: Plug) -> None:
        self.repeated = 0
        self._plug = plug
        self._number = 10_000_000  # as long in every message
        self._acknowledged = asyncio.Event()

    async def run(self) -> None:
        """Send, for ever."""
        await asyncio.gather(self._listen(), self._serve())

    async def _listen(self) -> None:
        waiting = b""
        while True:
            waiting = (waiting + await self._plug.line.read())[-600:]
            *blocks, waiting = waiting.split(b"\x1c\r")
            if any(f"MSA|AA|{self._number}\r".encode() in found for found in blocks):
                self._acknowledged.set()

    async def _serve(self) -> None:
        pace = Pace(_PERIOD_S)
        while True:
            self._number += 1
            message, said = self._message()
            self._acknowledged.clear()
            await self._plug.say(message, 0, said)
            try:
                await asyncio.wait_for(self._acknowledged.wait(), _PATIENCE_S)
            except asyncio.TimeoutError:
                self.repeated += 1
                await self._plug.line.send(message)
            await asyncio.sleep(pace.next_s())

    def _message(self) -> tuple[bytes, dict[str, str | None]]:
        vitals = self._plug.measure()
        stamp = time.strftime("%Y%m%d%H%M%S")
        segments = [
            f"MSH|^~\\&|BED7|ICU|GW|HOSP|{stamp}||ORU^R01^ORU_R01|{self._number}|P|2.6",
            "PID|||X1^^^H^PI||Doe^Jane",
            "PV1||I|ICU^^BED7",
            f"OBR|1|||69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC|||{stamp}",
        ]
        said: dict[str, str | None] = {}
        for label, (code, unit, decimals, source) in _ROWS.items():
            value = vitals[source]
            text = "" if value is None else f"{value:.{decimals}f}"
            status = "X" if value is None else "R"
            number = len(segments) - 3
            segments.append(f"OBX|{number}|NM|{code}|1.1.1.{number}|{text}|{unit}|||||{status}")
            said[label] = text or None
        temperature = vitals["Temp"]
        fahrenheit = "" if temperature is None else f"{temperature * 1.8 + 32:.1f}"
        segments.append(f"OBX|9|NM|150344^MDC_TEMP^MDC|1.3.1.1|{fahrenheit}|268160^F^MDC|||||R")
        said["Temp"] = f"{(float(fahrenheit) - 32) / 1.8:.2f}" if fahrenheit else None
        return block(segments), said
