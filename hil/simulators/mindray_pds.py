"""BeneView monitor, Patient Data Share: values each second, a heartbeat both ways.

    0B MSH CR PID CR PV1 CR OBR CR OBX CR ... 1C CR, HL7 2.3.1; MSH-10 is the kind of message

Source: public programs and simulators of this protocol.
"""

from __future__ import annotations

import asyncio
import time

from hil.simulators.device import Pace, Plug, now_s

BAUD = 115200
CHARACTER_BITS = 10
OPTIONS: dict[str, object] = {}

_PATIENCE_S = 10.0
_NIBP_S = 30.0
_NO_VALUE = "-100.00"

# identifier: name, module, label, decimals, what is measured
_IDS = {
    101: ("HR", 2101, "HR", 0, "HR"),
    151: ("RR", 2102, "RESP", 0, "RESP"),
    160: ("SpO2", 2103, "SpO2", 0, "SpO2"),
    161: ("PR", 2103, "PR", 0, "PR"),
    200: ("T1", 2104, "T1", 1, "Temp"),
    250: ("EtCO2", 2106, "EtCO2", 0, "EtCO2"),
    500: ("Sys", 2116, "ARTs", 0, "ABPs"),
    501: ("Mean", 2116, "ARTm", 0, "ABPm"),
    502: ("Dia", 2116, "ARTd", 0, "ABPd"),
}
_CUFF = {170: ("Sys", "NBPs"), 171: ("Dia", "NBPd"), 172: ("Mean", "NBPm")}


def block(kind: int, lines: list[str]) -> bytes:
    """Return a message."""
    stamp = time.strftime("%Y%m%d%H%M%S")
    head = f"MSH|^~\\&|MON|ICU|GW|H|{stamp}||ORU^R01|{kind}|P|2.3.1|"
    return b"\x0b" + "".join(line + "\r" for line in [head, *lines]).encode() + b"\x1c\r"


class BeneView:
    """One monitor; without heartbeats it drops its client until there are some again."""

    def __init__(self, plug: Plug) -> None:
        self._plug = plug
        self._heard_s = -_PATIENCE_S

    async def run(self) -> None:
        """Send, for ever."""
        self._heard_s = now_s()
        await asyncio.gather(self._listen(), self._serve())

    async def _listen(self) -> None:
        waiting = b""
        while True:
            waiting = (waiting + await self._plug.line.read())[-600:]
            *blocks, waiting = waiting.split(b"\x1c\r")
            if any(b"|106|" in found for found in blocks):
                self._heard_s = now_s()

    async def _serve(self) -> None:
        pace = Pace(1.0)
        cuff_s = now_s()
        while True:
            if now_s() - self._heard_s < _PATIENCE_S:
                await self._plug.line.send(block(106, []))
                await self._say_values()
                if now_s() >= cuff_s:
                    cuff_s += _NIBP_S
                    await self._say_cuff(f"202603140924{int(now_s()) % 60:02d}")
            await asyncio.sleep(pace.next_s())

    async def _say_values(self) -> None:
        vitals = self._plug.measure()
        said: dict[str, str | None] = {}
        lines = ["PID|||X1||^|", "PV1||I|^^ICU&Bed3|", "OBR||||Monitor|||20260314092653|"]
        for id, (name, module, label, decimals, source) in _IDS.items():
            value = vitals[source]
            said[label] = None if value is None else f"{value:.{decimals}f}"
            lines.append(f"OBX||NM|{id}^{name}|{module}|{said[label] or _NO_VALUE}||||||F")
        lines.append("OBX||CE|2037^|101|3^||||||F")
        await self._plug.say(block(204, lines), 0, said)

    async def _say_cuff(self, stamp: str) -> None:
        vitals = self._plug.measure()
        said: dict[str, str | None] = {}
        lines = []
        for id, (name, label) in _CUFF.items():
            value = vitals[label]
            said[label] = None if value is None else f"{value:.0f}"
            shown = said[label] or _NO_VALUE
            lines.append(f"OBX||NM|{id}^{name}|2105|{shown}||||||F||APERIODIC|{stamp}")
        await self._plug.say(block(503, lines), 1, said)
        await self._plug.line.send(block(503, lines))  # the same measurement again
