"""Hamilton G5 ventilator, polling protocol on RS232, 9600 8E2: one value for each question.

Source: a public driver of the polling protocol and its tests.
"""

import asyncio

from hil.simulators.device import Plug

BAUD = 9600
CHARACTER_BITS = 12
OPTIONS: dict[str, object] = {}

_ANSWER_S = 0.032
_ERROR = b"\x02RERROR\x03\r"
# id: label of the value, label of what is measured, decimals; a round ends with the last
_IDS = {
    35: ("EtCO2", "EtCO2", 0),
    36: ("SpO2", "SpO2", 0),
    37: ("PR", "PR", 0),
    61: ("VTe", "VT", 0),
    62: ("MVe", "MV", 1),
    63: ("RR", "RR", 1),
    66: ("PIP cmH2O", "PIP", 1),
    67: ("Pmean cmH2O", "Pmean", 1),
    68: ("PEEP cmH2O", "PEEP", 1),
    69: ("Pplat cmH2O", "Pplat", 1),
    71: ("FiO2", "FiO2", 0),
    74: ("Cstat", "Cdyn", 1),
}
_LAST = 115


class HamiltonVentilator:
    """One ventilator; what its sensors do not give is dashes."""

    def __init__(self, plug: Plug) -> None:
        self._plug = plug
        self._round: dict[str, str | None] = {}

    async def run(self) -> None:
        """Answer, for ever."""
        waiting = b""
        while True:
            waiting = (waiting + await self._plug.line.read())[-8:]
            start = waiting.find(b"\x02")
            if start >= 0 and len(waiting) - start >= 4:
                question, waiting = waiting[start : start + 4], waiting[start + 4 :]
                if question[2:] == b"\x03\r":
                    await asyncio.sleep(_ANSWER_S)
                    await self._answer(question[1])

    async def _answer(self, asked: int) -> None:
        if asked in _IDS:
            label, measured, decimals = _IDS[asked]
            value = self._plug.measure()[measured]
            text = "  -- " if value is None else f"{value:5.{decimals}f}"
            whole = await self._plug.line.send(bytes((2, asked)) + text.encode() + b"\x03\r")
            if whole:
                self._round[label] = None if value is None else text.strip()
        else:
            await self._plug.line.send(_ERROR)
        if asked == _LAST:
            if len(self._round) == len(_IDS):
                self._plug.ledger.record(self._plug.bed, self._plug.device, 0, self._round)
            self._round = {}
