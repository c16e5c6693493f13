"""Draeger Evita 4 ventilator on MEDIBUS, 19200 8E1: answers polls, insists on being answered.

    command   ESC code [argument] CK CK CR        response  SOH code [data] CK CK CR
    CK CK: sum of all bytes before, modulo 256, two upper-case hex digits

Both sides command and answer. A command may stand inside a response; bytes with bit 7 are realtime
data and may stand anywhere. Suspend, resume and abort (DC1, DC3, CAN) are not simulated.

Source: Draeger MEDIBUS protocol definition 90 28 258 rev 4.03; MEDIBUS for intensive care devices
90 28 329.
"""

import asyncio
import random
import time
from dataclasses import dataclass

from hil.simulators.device import Plug, now_s
from hil.simulators.medibus_data import (
    IDENTITY,
    TEXT,
    Limits,
    Said,
    alarms,
    date_and_time,
    measured,
    settings,
)
from hil.simulators.medibus_waves import Waves

BAUD = 19200
CHARACTER_BITS = 11
OPTIONS: dict[str, object] = {"waves": True}
GROUP_MEASURED, GROUP_SETTINGS = 0x24, 0x29

_ESC, _SOH, _CR, _NAK = 0x1B, 0x01, 0x0D, 0x15
_MEASURED, _ALARMS_1, _ALARMS_2, _SETTINGS, _TEXT = 0x24, 0x27, 0x2E, 0x29, 0x2A
_DATE, _NOP, _CHOOSE_DATA, _ICC, _IDENTITY, _STOP = 0x28, 0x30, 0x4A, 0x51, 0x52, 0x55
_REALTIME, _CHOOSE_REALTIME = 0x53, 0x54
_FRAME_MAX = 256
_TICK_S, _WAVE_TICK_S = 0.1, 0.03


@dataclass(frozen=True)
class Timing:
    """The device's patience, in seconds; tests have less of it."""

    icc_s: float = 3.0  # between two ICC while nobody answers
    session_s: float = 3.0  # without slow bytes from the host, a session is over
    answer_s: float = 10.0  # until an unanswered command is repeated
    repeats: int = 3  # then the session is over too
    nop_s: float = 7.0  # between two commands of our own
    turn_s: float = 0.01
    settle_s: float = 0.2  # after the identification, before which 4AH is ignored


def framed(start: int, body: bytes) -> bytes:
    """Return a frame: start byte, body, checksum, CR."""
    data = bytes((start,)) + body
    return data + f"{sum(data) & 0xFF:02X}".encode() + b"\r"


class MedibusVentilator:
    """One ventilator and its session with the gateway.

    embeds  its own commands come in the midst of its responses, as the protocol allows
    """

    def __init__(
        self,
        plug: Plug,
        limits: Limits | None = None,
        timing: Timing | None = None,
        embeds: bool = False,
        seed: int = 0,
    ) -> None:
        self.sessions = 0
        self._plug = plug
        self._limits = limits or Limits()
        self._timing = timing or Timing()
        self._embeds = embeds
        self._random = random.Random(seed)
        self._waves = Waves()
        self._wanted: dict[int, set[int]] = {}
        self._up = False
        self._heard_s = 0.0
        self._settled_s = 0.0
        self._asked: tuple[int, float, int] | None = None  # our open command, since when, repeats
        self._next_s = 0.0
        self._embedded = b""
        self._frames = {_ESC: bytearray(), _SOH: bytearray()}  # that are coming in
        self._inner = 0  # which of the two takes the next byte

    async def run(self) -> None:
        """Speak MEDIBUS, for ever."""
        while True:
            await self._mind_the_session()
            records = self._records()
            if records:
                await self._plug.line.send(b"".join(records))
            tick_s = _WAVE_TICK_S if self._waves.running else _TICK_S
            try:
                data = await asyncio.wait_for(self._plug.line.read(), tick_s)
            except asyncio.TimeoutError:
                continue
            for byte in data:
                await self._take(byte)

    # --- the session ---

    async def _mind_the_session(self) -> None:
        now, timing = now_s(), self._timing
        if self._up and now - self._heard_s > timing.session_s:
            self._end()
        if self._up and self._asked is not None:
            code, since, repeats = self._asked
            if now - since > timing.answer_s and repeats >= timing.repeats:
                self._end()
            elif now - since > timing.answer_s:
                await self._ask(code, repeats + 1)
        elif now >= self._next_s:
            await self._ask(_NOP if self._up else _ICC)

    def _end(self) -> None:
        self._up = False
        self._asked = None
        self._embedded = b""
        self._waves.stop()
        self._next_s = now_s()

    async def _begin(self) -> None:
        self._up = True
        self.sessions += 1
        self._wanted.clear()
        self._waves.stop()
        await self._ask(_IDENTITY)

    async def _ask(self, code: int, repeats: int = 0) -> None:
        now = now_s()
        self._next_s = now + (self._timing.nop_s if self._up else self._timing.icc_s)
        self._asked = (code, now, repeats)
        frame = framed(_ESC, bytes((code,)))
        if self._embeds and code == _NOP:
            self._embedded = frame
        else:
            await self._plug.line.send(self._woven(frame))

    # --- what comes in ---

    async def _take(self, byte: int) -> None:
        if byte & 0x80:
            self._waves.take(byte)
        elif byte in (_ESC, _SOH):
            self._inner = byte
            self._frames[byte] = bytearray((byte,))
            if byte == _SOH:
                self._frames[_ESC].clear()
        elif self._inner:
            frame = self._frames[self._inner]
            if byte != _CR:
                frame.append(byte)
                if len(frame) > _FRAME_MAX:
                    frame.clear()
                    self._inner = 0
                return
            whole = bytes(frame)
            frame.clear()
            # After a command the response that it stood in goes on.
            self._inner = _SOH if self._frames[_SOH] else 0
            if len(whole) >= 4:
                await self._frame_came(whole)

    async def _frame_came(self, frame: bytes) -> None:
        self._heard_s = now_s()
        body, check = frame[:-2], frame[-2:]
        right = f"{sum(body) & 0xFF:02X}".encode() == check
        code = body[1]
        if body[0] == _SOH:
            if right and self._asked is not None and self._asked[0] == code:
                self._asked = None
                if code == _ICC:
                    await self._begin()
                elif code == _IDENTITY:
                    self._settled_s = self._heard_s + self._timing.settle_s
            return
        await asyncio.sleep(self._timing.turn_s)
        if right:
            await self._answer(code, body[2:])
        else:
            await self._send(bytes((_NAK,)))

    # --- what goes out ---

    async def _answer(self, code: int, argument: bytes) -> None:
        if code == _ICC:
            await self._send(bytes((code,)))
            await self._begin()
        elif not self._up:
            return
        elif code == _MEASURED:
            data = measured(self._plug.measure(), self._wanted.get(code))
            await self._say(code, data, GROUP_MEASURED)
        elif code == _SETTINGS:
            data = settings(self._plug.measure(), self._wanted.get(code))
            await self._say(code, data, GROUP_SETTINGS)
        else:
            await self._send(bytes((code,)) + self._other(code, argument))
            if code == _STOP:
                self._end()
                self._next_s = now_s() + self._timing.icc_s

    def _other(self, code: int, argument: bytes) -> bytes:
        """Return the data of a response that carries no observation, empty for most."""
        if code in (_ALARMS_1, _ALARMS_2):
            return alarms(self._plug.measure(), self._limits)[code == _ALARMS_2]
        if code == _CHOOSE_DATA and now_s() >= self._settled_s:
            self._choose(argument)
        elif code == _CHOOSE_REALTIME:
            self._waves.choose(argument)
        elif code == _REALTIME:
            return self._waves.config()
        elif code == _DATE:
            return date_and_time(time.time())
        return {_IDENTITY: IDENTITY, _TEXT: TEXT}.get(code, b"")

    def _choose(self, argument: bytes) -> None:
        """Take the argument of a 4AH command: a data type and the codes wanted, none for all."""
        try:
            codes = set(bytes.fromhex(argument[1:].decode()))
        except ValueError:
            return
        if argument:
            self._wanted.pop(argument[0], None)
        if codes:
            self._wanted[argument[0]] = codes

    async def _send(self, body: bytes) -> None:
        await self._plug.line.send(self._woven(framed(_SOH, body)))

    async def _say(self, code: int, data: tuple[bytes, Said], group: int) -> None:
        frame = framed(_SOH, bytes((code,)) + data[0])
        if self._embedded:
            at = self._random.randrange(2, len(frame) - 3)
            frame, self._embedded = frame[:at] + self._embedded + frame[at:], b""
        await self._plug.say(self._woven(frame), group, data[1])

    def _records(self) -> list[bytes]:
        if not self._waves.running:
            return []
        return self._waves.due(now_s(), self._plug.measure())

    def _woven(self, frame: bytes) -> bytes:
        """Return the frame with the realtime records that are due between its bytes."""
        records = self._records()
        places = sorted(self._random.randrange(len(frame) + 1) for _ in records)
        # From the back: a record's own bytes stay together.
        for at, record in reversed(list(zip(places, records, strict=True))):
            frame = frame[:at] + record + frame[at:]
        return frame
