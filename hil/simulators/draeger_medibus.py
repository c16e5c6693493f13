"""Draeger Evita 4 ventilator on MEDIBUS, 19200 8E1: answers polls, insists on being answered.

    command   ESC code [argument] CK CK CR        response  SOH code [data] CK CK CR
    CK CK: sum of all bytes before, modulo 256, two upper-case hex digits

Source: Draeger MEDIBUS protocol definition 90 28 258 rev 4.03; MEDIBUS for intensive care devices
90 28 329.
"""

import asyncio
import time

from hil.simulators.device import Plug
from hil.vitals import Vitals

BAUD = 19200
CHARACTER_BITS = 11
GROUP_MEASURED, GROUP_SETTINGS = 0x24, 0x29

_ESC, _SOH, _CR, _NAK = 0x1B, 0x01, 0x0D, 0x15
_MEASURED, _ALARMS_1, _ALARMS_2, _SETTINGS, _TEXT = 0x24, 0x27, 0x2E, 0x29, 0x2A
_DATE, _NOP, _ICC, _IDENTITY, _STOP = 0x28, 0x30, 0x51, 0x52, 0x55
_FRAME_MAX = 256

_ICC_EVERY_S = 3.0
_SESSION_S = 3.0  # without a byte from the host, it is over
_ANSWER_S = 10.0
_NOP_EVERY_S = 7.0
_TURN_S = 0.01

_NAME = b"8240'Evita 4'04.12:04.00"
_PAW_LIMIT, _MV_LIMIT = 40.0, 3.0


def framed(start: int, body: bytes) -> bytes:
    """Return a frame: start byte, body, checksum, CR."""
    data = bytes((start,)) + body
    return data + f"{sum(data) & 0xFF:02X}".encode() + b"\r"


def measured(vitals: Vitals) -> tuple[bytes, dict[str, str | None]]:
    """Return the data of a 24H response and what it says; what is not measured is not sent."""
    out = b""
    said: dict[str, str | None] = {}

    def put(code: int, text: str, label: str, exact: str | None = None) -> None:
        nonlocal out
        out += f"{code:02X}".encode() + text.encode()
        said[label] = exact or text.strip()

    def whole(code: int, label: str) -> None:
        value = vitals[label]
        if value is not None:
            put(code, f"{value:.0f}".rjust(3) + " ", label)

    compliance, resistance = vitals["Cdyn"], vitals["Raw"]
    if compliance is not None:
        if compliance < 99.95:
            put(0x06, f"{compliance:4.1f}", "Cdyn")
        else:
            put(0x07, f" {compliance:3.0f}", "Cdyn")
    if resistance is not None:
        if resistance < 99.95:
            put(0x0B, f"{resistance:4.1f}", "Raw")
        else:
            put(0x08, f"{resistance:3.0f} ", "Raw")
    whole(0x73, "Pmean")
    whole(0x74, "Pplat")
    whole(0x78, "PEEP")
    whole(0x7D, "PIP")
    volume = vitals["VT"]
    if volume is not None:
        if volume < 999.5:
            put(0x88, f" {volume:3.0f}", "VT")
        else:
            text = f"{volume / 1000:4.2f}"
            put(0x82, text, "VT", f"{float(text) * 1000:.0f}")
    minute = vitals["MV"]
    if minute is not None:
        if minute < 0.995:
            put(0xB8, f"{minute:4.2f}", "MV")
        else:
            put(0xB9, f"{minute:4.1f}", "MV")
    whole(0xD6, "RR")
    whole(0xF0, "FiO2")
    return out, said


def settings(vitals: Vitals) -> tuple[bytes, dict[str, str | None]]:
    """Return the data of a 29H response and what it says."""
    oxygen, peep = f"{vitals['FiO2'] or 21:.0f}", f"{vitals['PEEP'] or 5:.1f}"
    out = b"01" + f" {oxygen:>3} ".encode() + b"0A" + b" 15.0" + b"0B" + f" {peep:>4}".encode()
    return out, {"FiO2 set": oxygen, "RR set": "15.0", "PEEP set": peep}


class MedibusVentilator:
    """One ventilator and its session with the gateway."""

    def __init__(self, plug: Plug) -> None:
        self.sessions = 0
        self._plug = plug
        self._up = False
        self._heard_s = 0.0
        self._asked: tuple[int, float] | None = None  # our open command, and since when
        self._next_s = 0.0
        self._frame = bytearray()

    async def run(self) -> None:
        """Speak MEDIBUS, for ever."""
        while True:
            await self._mind_the_session()
            try:
                data = await asyncio.wait_for(self._plug.line.read(), 0.2)
            except asyncio.TimeoutError:
                continue
            for byte in data:
                await self._take(byte)

    async def _mind_the_session(self) -> None:
        now = time.monotonic()
        unanswered = self._asked is not None and now - self._asked[1] > _ANSWER_S
        if self._up and (now - self._heard_s > _SESSION_S or unanswered):
            self._up = False
            self._asked = None
            self._next_s = now
        if now >= self._next_s:
            await self._ask(_NOP if self._up else _ICC)

    async def _ask(self, code: int) -> None:
        self._next_s = time.monotonic() + (_NOP_EVERY_S if self._up else _ICC_EVERY_S)
        self._asked = (code, time.monotonic())
        await self._plug.line.send(framed(_ESC, bytes((code,))))

    async def _take(self, byte: int) -> None:
        if byte in (_ESC, _SOH):
            self._frame = bytearray((byte,))
        elif self._frame and byte != _CR:
            self._frame.append(byte)
            if len(self._frame) > _FRAME_MAX:
                self._frame.clear()
        elif self._frame:
            frame, self._frame = bytes(self._frame), bytearray()
            if len(frame) >= 4:
                await self._frame_came(frame)

    async def _frame_came(self, frame: bytes) -> None:
        self._heard_s = time.monotonic()
        body, check = frame[:-2], frame[-2:]
        right = f"{sum(body) & 0xFF:02X}".encode() == check
        code = body[1]
        if body[0] == _SOH:
            if right and self._asked is not None and self._asked[0] == code:
                self._asked = None
                if code == _ICC:
                    await self._begin()
            return
        await asyncio.sleep(_TURN_S)
        if not right:
            await self._plug.line.send(framed(_SOH, bytes((_NAK,))))
            return
        await self._answer(code)

    async def _begin(self) -> None:
        self._up = True
        self.sessions += 1
        await self._ask(_IDENTITY)

    async def _answer(self, code: int) -> None:
        echo = bytes((code,))
        if code == _ICC:
            await self._plug.line.send(framed(_SOH, echo))
            await self._begin()
        elif not self._up:
            return
        elif code == _MEASURED:
            data, said = measured(self._plug.measure())
            await self._plug.say(framed(_SOH, echo + data), GROUP_MEASURED, said)
        elif code == _SETTINGS:
            data, said = settings(self._plug.measure())
            await self._plug.say(framed(_SOH, echo + data), GROUP_SETTINGS, said)
        else:
            await self._plug.line.send(framed(_SOH, echo + self._other(code)))
            if code == _STOP:
                self._up = False

    def _other(self, code: int) -> bytes:
        if code == _IDENTITY:
            return _NAME
        if code == _DATE:
            return time.strftime("%H:%M:%S%d-%b-%y", time.gmtime()).upper().encode()
        if code == _TEXT:
            return b"06" + bytes((0x30 + 9,)) + b"Mode SIMV" + b"\x03"
        if code == _ALARMS_1:
            return self._alarms()
        return b""

    def _alarms(self) -> bytes:
        vitals = self._plug.measure()
        out = b""
        if (vitals["PIP"] or 0) > _PAW_LIMIT:
            out += bytes((0x30 + 30,)) + b"10" + b"PAW HIGH".ljust(12)
        if vitals["MV"] is not None and vitals["MV"] < _MV_LIMIT:
            out += bytes((0x30 + 30,)) + b"19" + b"MV LOW".ljust(12)
        if (vitals["SpO2"] or 100) < 90:
            out += bytes((0x30 + 14,)) + b"07" + b"SPO2 LOW".ljust(12)
        return out
