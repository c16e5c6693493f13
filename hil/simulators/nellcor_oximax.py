"""Nellcor OxiMax oximeter (an N-600): the printout at 9600 8N1, and its menu.

A line each two seconds, a header before the first and after every 25. Ctrl-C twice opens the menu,
and nothing is printed until it is left; XOFF stops the printout, XON lets it go on.

Source: Nellcor NPB-290, NPB-295 and N-395 operator's manuals; public programs.
"""

from __future__ import annotations

import asyncio
import time

from hil.simulators.device import Pace, Plug
from hil.tasks import end_tasks
from hil.vitals import Vitals

BAUD = 9600
CHARACTER_BITS = 10
OPTIONS: dict[str, object] = {}
GROUP = 0

_PERIOD_S = 2.0
_LINES_TO_HEADER = 25
_SEARCH_LINES = 2
_SPO2_LOW, _PULSE_LOW, _PULSE_HIGH = 90, 60, 170
_PA_MAX = 254
_SLOTS, _SLOT_WIDTH = 4, 6

_CTRL_C, _XON, _XOFF = 0x03, 0x11, 0x13
HEADER = (
    b"N-600  VERSION 1.3.0.0  CRC:3A7F  SpO2 Limit: 90-100%    PR Limit: 60-170BPM\r\n"
    b"TIME                 %SpO2   BPM     PA      Status\r\n"
)
_MENU = (
    b"\r\n1) DUMP INSTRUMENT INFO\r\n2) SET DATE AND TIME\r\n3) DUMP TREND\r\n"
    b"4) DUMP ERROR LOG\r\n0) EXIT INTERACTIVE MODE\r\nENTER CHOICE: "
)

Values = dict[str, str | None]


def compose(
    vitals: Vitals, utc_s: float, searching: bool = False, alarm_off: bool = False
) -> tuple[bytes, Values]:
    """Return a line and what it says: {label: decimal string, None for no value}."""
    spo2, pulse, perfusion = vitals.get("SpO2"), vitals.get("PR"), vitals.get("PI")
    codes = ["", "", "", "AO" if alarm_off else ""]
    said: Values = {"SpO2": None, "PR": None, "PA": None}
    if spo2 is None or pulse is None:
        texts = ["---"] * 3
        codes[0] = "SD"
    elif searching:
        texts = ["0", "0", "---"]
        codes[2] = "PS"
    else:
        numbers = [
            min(100, max(1, round(spo2))),
            min(250, max(20, round(pulse))),
            min(_PA_MAX, max(0, round(17 * (2.0 if perfusion is None else perfusion)))),
        ]
        texts = [str(number) for number in numbers]
        said = dict(zip(said, texts, strict=True))
        if numbers[0] < _SPO2_LOW:
            codes[0] = "SL"
        if not _PULSE_LOW <= numbers[1] <= _PULSE_HIGH:
            codes[1] = "PL" if numbers[1] < _PULSE_LOW else "PH"
    stamp = time.strftime("%d-%b-%y %H:%M:%S", time.gmtime(utc_s)).upper()
    marks = ["*" if code else " " for code in codes[:2]] if said["SpO2"] else [" ", " "]
    columns = f"{texts[0]:>6}{marks[0]}{texts[1]:>7}{marks[1]}{texts[2]:>7} "
    status = "".join(f"{code:<{_SLOT_WIDTH}}" for code in codes)
    line = f"{stamp}{columns}    {status}".rstrip() + "\r\n"
    return line.encode(), said


class OximaxOximeter:
    """One oximeter. `refused` counts attempts to set its clock and choices that do not exist."""

    def __init__(self, plug: Plug) -> None:
        self.refused = 0
        self._plug = plug
        self._searching = 0
        self._lines = 0
        self._in_menu = False
        self._stopped = False
        self._last = 0

    async def run(self) -> None:
        """Print and obey, for ever."""
        listening = asyncio.ensure_future(self._listen())
        try:
            pace = Pace(_PERIOD_S)
            while True:
                if not self._in_menu and not self._stopped:
                    await self._print()
                await asyncio.sleep(pace.next_s())
        finally:
            await end_tasks([listening])

    async def _print(self) -> None:
        if self._lines % _LINES_TO_HEADER == 0:
            await self._plug.line.send(HEADER)
        self._lines += 1
        vitals = self._plug.measure()
        searching = False
        if vitals.get("SpO2") is None or vitals.get("PR") is None:
            self._searching = _SEARCH_LINES
        elif self._searching:
            self._searching -= 1
            searching = True
        message, values = compose(vitals, time.time(), searching)
        await self._plug.say(message, GROUP, values)

    async def _listen(self) -> None:
        while True:
            for byte in await self._plug.line.read():
                await self._hear(byte)

    async def _hear(self, byte: int) -> None:
        twice = byte == _CTRL_C == self._last
        self._last = byte
        if byte in (_XON, _XOFF):
            self._stopped = byte == _XOFF
        elif twice:
            self._in_menu = True
            self._last = 0
            await self._plug.line.send(_MENU)
        elif self._in_menu and byte not in b"\r\n\x03":
            await self._choose(byte)

    async def _choose(self, byte: int) -> None:
        send = self._plug.line.send
        if byte == ord("0"):
            self._in_menu = False
            self._lines = 0  # a header comes first
            return
        if byte == ord("1"):
            await send(HEADER)
        elif byte == ord("3"):
            message, _ = compose(self._plug.measure(), time.time() - 60)
            await send(message)
        elif byte == ord("4"):
            await send(b"NO ERRORS\r\n")
        else:
            self.refused += 1
        await send(_MENU)
