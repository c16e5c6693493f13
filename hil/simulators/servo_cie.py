"""SERVO-i ventilator, Computer Interface Emulator version 005 on RS232, 9600 8E1.

    text CHK CHK 04; CHK CHK: exclusive or of the text in hexadecimal; in basic mode text 04

Source: CIE reference manual, protocol version 005.
"""

import asyncio
from functools import reduce
from operator import xor

from hil.simulators.device import Plug

BAUD = 9600
CHARACTER_BITS = 11
OPTIONS: dict[str, object] = {}

_ANSWER_S = 0.05
_MISSING = 9999
# channel: gain, offset, unit, label of what is measured
_BREATH = {
    200: ("+1000E-004", "-", 6, "RR", "RR"),
    201: ("+1000E-003", "-", 1, "VT", "VTe"),
    204: ("+1000E-005", "-", 8, "MV", "MVe"),
    205: ("+1000E-004", "-", 4, "PIP", "PIP cmH2O"),
    206: ("+1000E-004", "-", 4, "Pmean", "Pmean cmH2O"),
    207: ("+1000E-004", "-", 4, "Pplat", "Pplat cmH2O"),
    208: ("+1000E-004", "-", 4, "PEEP", "PEEP cmH2O"),
    209: ("+1000E-004", "-", 7, "FiO2", "FiO2"),
    260: ("+1000E-004", "-", 10, "EtCO2", "EtCO2"),
}
_SETTINGS = {
    300: ("+1000E-004", "-", 6, 12.0, "RR set"),
    308: ("+1000E-004", "-", 4, 5.0, "PEEPset cmw"),
    323: ("+1000E-004", "-", 7, 40.0, "FiO2 set"),
}
_DECIMALS = {"+1000E-003": 0, "+1000E-004": 1, "+1000E-005": 2}
_COMMANDS = ("RCTY", "RHVE", "RPVE", "SPVE", "RCCO", "SDAD", "RADA", "RTIM", "RSEN", "HO")


def check(text: str) -> str:
    """Return the two digits of a text."""
    return f"{reduce(xor, text.encode(), 0):02X}"


def framed(text: str) -> bytes:
    """Return an answer in extended mode."""
    return f"{text}{check(text)}\x04".encode()


class ServoVentilator:
    """One ventilator; `refused` counts commands that it does not know or that set something."""

    def __init__(self, plug: Plug) -> None:
        self.refused = 0
        self._plug = plug
        self._extended = False
        self._tables: dict[str, list[int]] = {}

    async def run(self) -> None:
        """Answer, for ever."""
        waiting = b""
        while True:
            for byte in await self._plug.line.read():
                if byte == 0x1B:
                    waiting = b""
                elif byte != 0x04:
                    waiting = (waiting + bytes((byte,)))[-300:]
                else:
                    text, waiting = waiting.decode("latin-1"), b""
                    await asyncio.sleep(_ANSWER_S)
                    await self._take(text)

    async def _take(self, text: str) -> None:
        if text == "RCTY":
            self._extended = True
            self._tables.clear()
            await self._plug.line.send(b"Servo-i0\x04")
            return
        if not self._extended:
            return
        text, given = text[:-2], text[-2:]
        if given != check(text):
            await self._plug.line.send(framed("ER18"))
        elif text == "HO":
            self._extended = False
        elif text == "RCTY":
            await self._plug.line.send(framed("Servo-i0"))
        elif text == "RHVE":
            await self._plug.line.send(framed("005"))
        elif text.startswith("SPVE"):
            known = text[4:] in ("001", "002", "003", "004", "005")
            await self._plug.line.send(framed("*" if known else "ER12"))
        elif text == "RCCO":
            await self._plug.line.send(framed(self._configuration()))
        elif text.startswith("SDAD"):
            digits = text[5:]
            channels = [int(digits[at : at + 3]) for at in range(0, len(digits), 3)]
            self._tables[text[4]] = channels
            await self._plug.line.send(framed("*"))
        elif text in ("RADAB", "RADAS", "RADAE"):
            await self._read(text[4])
        else:
            self.refused += text[:4] not in _COMMANDS
            await self._plug.line.send(framed("ER10"))

    def _configuration(self) -> str:
        rows = ["0020"]
        for kind, table in (("BT", _BREATH), ("SD", _SETTINGS)):
            for channel, (gain, offset, unit, *_) in table.items():
                rows.append(f"{channel},{gain},{offset},{unit:02d},{kind},{channel}")
        return ";".join(rows) + ";"

    async def _read(self, kind: str) -> None:
        if kind not in self._tables:
            await self._plug.line.send(framed("ER16"))
            return
        if kind == "E":
            await self._plug.line.send(framed("0" * len(self._tables[kind])))
            return
        said: dict[str, str | None] = {}
        digits = ""
        vitals = self._plug.measure()
        for channel in self._tables[kind]:
            known = (_BREATH if kind == "B" else _SETTINGS).get(channel)
            if known is None:
                digits += f"{_MISSING}"
                continue
            gain, _, _, source, label = known
            value = vitals[source] if isinstance(source, str) else source
            decimals = _DECIMALS[gain]
            if value is None:
                digits += f"{_MISSING}"
                said[label] = None
            else:
                digits += f"{round(value * 10**decimals):04d}"
                said[label] = f"{round(value * 10**decimals) / 10**decimals:.{decimals}f}"
        await self._plug.say(framed(digits), "BS".index(kind), said)
