"""Puritan Bennett 840 ventilator on RS232, 9600 8N1: SNDA, SNDF and RSET.

    MISCF,1225,169 ,02 fields 03 CR, each field padded with blanks to its width and ended by ","

Source: operator's and service manuals of the 840 and 980.
"""

import asyncio
import time
from collections.abc import Mapping

from hil.simulators.device import Plug

BAUD = 9600
CHARACTER_BITS = 10
OPTIONS: dict[str, object] = {}

_WIDTH = 6
_WIDTHS_A = {6: 18, 8: 12, 62: 12, 100: 9}
_WIDTHS_F = {6: 18, 7: 12, 8: 9, 53: 18, 55: 9, 66: 9, 156: 9}
_THINK_S = 0.2
_UNUSED = (
    *("VTi", "PEEPi cmH2O", "RSBI", "MVspon", "PEEPt cmH2O", "Cstat", "Raw cmH2O"),
    *("Pplat cmH2O", "Cdyn cmH2O", "Rdyn", "Flow insp", "Flow exp", "NIF"),
    *("P0.1 cmH2O", "Vital cap", "VTespon", "Leak part"),
)

Values = dict[str, str | None]


def report(name: str, head: str, last: int, fields: Mapping[int, str]) -> bytes:
    """Return a report; fields that are not given are blank."""
    widths = _WIDTHS_A if name == "MISCA" else _WIDTHS_F
    body = "".join(
        fields.get(at, "").ljust(widths.get(at, _WIDTH))[: widths.get(at, _WIDTH)] + ","
        for at in range(5, last + 1)
    )
    return f"{name},{len(body)},{head},\x02{body}\x03\r".encode()


class PuritanVentilator:
    """One ventilator."""

    def __init__(self, plug: Plug) -> None:
        self.refused = 0
        self._plug = plug

    async def run(self) -> None:
        """Answer, for ever."""
        waiting = b""
        while True:
            waiting = (waiting + await self._plug.line.read())[-20:]
            while b"\r" in waiting:
                command, _, waiting = waiting.partition(b"\r")
                await asyncio.sleep(_THINK_S)
                if command == b"SNDF":
                    await self._send_full()
                elif command == b"SNDA":
                    await self._send_short()
                elif command != b"RSET":
                    self.refused += 1

    def _measured(self) -> dict[str, str]:
        vitals = self._plug.measure()
        wanted = {"RR": 0, "VT": 2, "MV": 1, "PIP": 1, "Pmean": 1, "PEEP": 1, "FiO2": 0}
        found = {}
        for label, decimals in wanted.items():
            value = vitals[label]
            if value is not None:
                value = value / 1000 if label == "VT" else value
                found[label] = f"{value:.{decimals}f}"
        return found

    async def _send_full(self) -> None:
        is_at = {"RR": 70, "VT": 71, "MV": 72, "PIP": 73, "Pmean": 74, "FiO2": 77, "PEEP": 87}
        found = self._measured()
        fields = {is_at[label]: text for label, text in found.items()} | self._date(7)
        fields |= {9: "SIMV", 13: "12.0", 14: "0.45", 15: "55", 16: "40", 18: "5.0", 31: "10.0"}
        fields |= {75: "2.0", 76: "1:2.0", 105: "OFF"}
        fields |= dict.fromkeys(range(106, 154), "NORMAL")
        if not found:
            fields[124] = "HIGH"
        measured = _said(found, {"E part": "2.0"})
        measured |= dict.fromkeys(_UNUSED)
        settings: Values = {"RR set": "12.0", "VT set": "450", "Flow set": "55", "FiO2 set": "40"}
        settings |= {"PEEPset cmw": "5.0", "PSset cmw": "10.0"}
        settings |= dict.fromkeys(("Trigset cmw", "PCset cmw", "Tinsp set", "Weight"))
        await self._say(report("MISCF", "169 ", 173, fields), measured, settings)

    async def _send_short(self) -> None:
        is_at = {"RR": 34, "VT": 35, "MV": 36, "PIP": 38, "Pmean": 39}
        found = self._measured()
        fields = {is_at[label]: text for label, text in found.items() if label in is_at}
        fields |= self._date(8) | {9: "SIMV", 10: "12.0", 11: "0.45", 13: "40"}
        fields |= dict.fromkeys((51, 52, 53, 54, 55, 57), "NORMAL")
        measured = _said({label: found[label] for label in is_at if label in found}, {})
        measured.pop("PEEP cmH2O", None)
        measured.pop("FiO2", None)
        measured |= dict.fromkeys(("MVspon", "Cstat", "Raw cmH2O", "Cdyn cmH2O", "Rdyn", "NIF"))
        measured |= dict.fromkeys(("Vital cap", "Flow insp"))
        settings: Values = {"RR set": "12.0", "VT set": "450", "FiO2 set": "40"}
        settings |= dict.fromkeys(("Flow set", "Trigset cmw", "PEEPset cmw", "PSset cmw"))
        await self._say(report("MISCA", "97", 101, fields), measured, settings)

    def _date(self, at: int) -> dict[int, str]:
        now = time.gmtime()
        date = time.strftime("%b %d %Y", now).upper()
        return {5: time.strftime("%H:%M", now), 6: "840 3512345678", at: date}

    async def _say(self, message: bytes, measured: Values, settings: Values) -> None:
        await self._plug.say(message, 0, measured)
        self._plug.ledger.record(self._plug.bed, self._plug.device, 1, settings)


def _said(found: Mapping[str, str], more: Values) -> Values:
    names = {"RR": "RR", "VT": "VTe", "MV": "MVe", "PIP": "PIP cmH2O", "Pmean": "Pmean cmH2O"}
    names |= {"FiO2": "FiO2", "PEEP": "PEEP cmH2O"}
    said: Values = {}
    for label, name in names.items():
        text = found.get(label)
        if label == "VT" and text is not None:
            text = str(round(1000 * float(text)))
        said[name] = text
    return said | more
