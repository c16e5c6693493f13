"""Nonin oximeter: serial data formats 1, 2, 7, 8 and 13 at 9600 8N1, and the commands of a 9560.

In formats 2 and 7 a packet of 25 frames leaves at once, three times a second; a real device spaces
the frames evenly. A wrong or late command is answered with NAK and counted. Each stored spot check
is sent once, the oldest first, before those of now.

Source: Nonin 9560 Bluetooth specification; OEM III data formats; public drivers.
"""

from __future__ import annotations

import asyncio
import calendar
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hil.errors import RigError
from hil.simulators.device import Pace, Plug, now_s
from hil.tasks import end_tasks
from hil.vitals import Vitals

BAUD = 9600
CHARACTER_BITS = 10
OPTIONS: dict[str, object] = {"format": 2}
GROUP, STORED_GROUP = 0, 1

_FRAMES = 25
_FRAMES_A_SECOND = 75
_SPOT_EVERY_S = 10.0
_SELECT_WITHIN_S = 5.0
_REVISION = 32
_NO_SPO2, _NO_PULSE = 127, 511
_PULSE_MIN, _PULSE_MAX = 18, 321

_ACK, _NAK = b"\x06", b"\x15"
_SELECT = 0x70
_LONGEST = 6  # of what stands between the length and the end of a command
_SET_TIME, _GET_TIME = b"\x02\x72\x06", b"\x02\x72\x00\x03"
_SELECTABLE = (2, 7, 8, 13)

# status bits of formats 2 and 7
_MARK, _SENSOR_ALARM, _RED, _GREEN, _SYNC = 0x80, 0x08, 0x04, 0x02, 0x01
SMART_POINT, LOW_BATTERY = 0x20, 0x01

Values = dict[str, str | None]


@dataclass(frozen=True)
class Reading:
    """What the oximeter has at one moment; None: it has none."""

    spo2: int | None
    pulse: int | None
    pulse_extended: int | None = None  # over 8 beats; pulse is over 4
    pulse_display: int | None = None
    flags: int = SMART_POINT
    status: tuple[int, ...] = (_GREEN,) * 12 + (0,) * 13

    @property
    def off(self) -> bool:
        """Say whether there is no finger."""
        return self.spo2 is None or self.pulse is None


def measured(vitals: Vitals, extended: float | None = None, flags: int = SMART_POINT) -> Reading:
    """Return what an oximeter makes of the patient."""
    spo2, pulse, perfusion = vitals.get("SpO2"), vitals.get("PR"), vitals.get("PI")
    if spo2 is None or pulse is None:
        return Reading(None, None, flags=flags & ~SMART_POINT, status=(_SENSOR_ALARM,) * _FRAMES)
    light = _GREEN
    if perfusion is not None and perfusion < 1.0:
        light = _RED if perfusion < 0.4 else _RED | _GREEN
    rate = _pulse(pulse)
    return Reading(
        min(100, max(1, round(spo2))),
        rate,
        rate if extended is None else _pulse(extended),
        rate,
        flags,
        (light,) * 12 + (0,) * 13,
    )


def _pulse(value: float) -> int:
    return min(_PULSE_MAX, max(_PULSE_MIN, round(value)))


def _data(reading: Reading, timer: int) -> list[int]:
    """Return the data byte of each frame of a packet."""
    data = [0] * _FRAMES

    def put_rate(frame: int, rate: int | None) -> None:
        rate = _NO_PULSE if reading.off or rate is None else rate
        data[frame - 1], data[frame] = rate >> 7, rate & 0x7F

    for frame in (3, 9, 10, 11, 16, 17):
        data[frame - 1] = _NO_SPO2 if reading.spo2 is None else reading.spo2
    extended = reading.pulse if reading.pulse_extended is None else reading.pulse_extended
    put_rate(1, reading.pulse)
    put_rate(14, extended)
    put_rate(20, reading.pulse if reading.pulse_display is None else reading.pulse_display)
    put_rate(22, extended)
    data[3] = _REVISION
    data[5], data[6] = timer >> 7 & 0x7F, timer & 0x7F
    data[7] = reading.flags
    return data


def packet(reading: Reading, timer: int, pleth: Sequence[int], data_format: int = 2) -> bytes:
    """Return 25 frames of format 2 or 7; `pleth` is in 16 bits for 7 and in 8 for 2."""
    whole = b""
    for index, byte in enumerate(_data(reading, timer)):
        status = _MARK | reading.status[index] | (0 if index else _SYNC)
        if data_format == 2:
            frame = bytes((0x01, status, pleth[index], byte))
        else:
            frame = bytes((status, pleth[index] >> 8, pleth[index] & 0xFF, byte))
        whole += frame + bytes((sum(frame) & 0xFF,))
    return whole


def short(reading: Reading, data_format: int = 8) -> bytes:
    """Return the frame of format 8, or of format 1, which is its first three bytes."""
    spo2 = _NO_SPO2 if reading.spo2 is None else reading.spo2
    pulse = _NO_PULSE if reading.pulse is None else reading.pulse
    light = reading.status[0] & (_RED | _GREEN)
    perfusion = 0x10 if light == _RED else 0x08 if light == _RED | _GREEN else 0
    last = reading.flags | (0x08 if reading.off else 0)
    frame = bytes((_MARK | perfusion | pulse >> 7, pulse & 0x7F, spo2, last))
    return frame if data_format == 8 else frame[:3]


def spot_check(reading: Reading, utc_s: float, stored: bool = False) -> bytes:
    """Return the message of format 13."""
    stamp = time.strftime("%Y%m%d%H%M%S", time.gmtime(utc_s))
    spo2 = _NO_SPO2 if reading.spo2 is None else reading.spo2
    pulse = _NO_PULSE if reading.pulse is None else reading.pulse
    first = 0x01 if reading.off else 0x02 if reading.flags & SMART_POINT else 0
    second = (0x10 if stored else 0) | reading.flags & LOW_BATTERY
    data = bytes.fromhex(stamp) + bytes((0, first, second, pulse >> 8, pulse & 0xFF, 0, spo2))
    return b"\x00\x02\x00\x0d\x00\x0e" + data + bytes((sum(data) & 0xFF, 0x03))


class NoninOximeter:
    """One oximeter.

    data_format  1, 2, 7, 8 or 13
    stored       (when, what) of spot checks that nobody has fetched
    refused      commands that it did not take
    """

    def __init__(
        self,
        plug: Plug,
        data_format: int = 2,
        stored: Sequence[tuple[float, Reading]] = (),
        flags: int = SMART_POINT,
    ) -> None:
        self.data_format = data_format
        self.refused = 0
        self._plug = plug
        self._stored = list(stored)
        self._flags = flags
        self._extended: float | None = None
        self._timer = 0
        self._phase = 0.0
        self._clock_offset_s = 0.0

    async def run(self) -> None:
        """Send the chosen format and hear commands, for ever."""
        listening = asyncio.ensure_future(self._listen(now_s()))
        try:
            while True:
                data_format = self.data_format
                pace = Pace(self._period_s(data_format))
                while data_format == self.data_format:
                    await self._tell(data_format)
                    await asyncio.sleep(pace.next_s())
        finally:
            await end_tasks([listening])

    @staticmethod
    def _period_s(data_format: int) -> float:
        if data_format in (2, 7):
            return _FRAMES / _FRAMES_A_SECOND
        return _SPOT_EVERY_S if data_format == 13 else 1.0

    async def _tell(self, data_format: int) -> None:
        say = self._plug.say
        if data_format == 13:
            while self._stored:
                utc_s, old = self._stored.pop(0)
                await say(spot_check(old, utc_s, True), STORED_GROUP, _stored_values(old, utc_s))
        reading = self._measure()
        values = {"SpO2": _text(reading.spo2), "PR": _text(reading.pulse)}
        if data_format == 13:
            if not reading.off:  # without a finger there is no result
                await say(spot_check(reading, self._utc_s()), GROUP, values)
        elif data_format in (1, 8):
            await say(short(reading, data_format), GROUP, values)
        else:
            values |= {
                "SpO2 ext": _text(reading.spo2),
                "PR ext": _text(reading.pulse_extended),
                "SpO2 fast": _text(reading.spo2),
                "SpO2 beat": _text(reading.spo2),
            }
            message = packet(reading, self._timer, self._pleth(reading, data_format), data_format)
            self._timer = self._timer + 1 & 0x3FFF
            await say(message, GROUP, values)

    def _measure(self) -> Reading:
        vitals = self._plug.measure()
        pulse = vitals.get("PR")
        if pulse is None or vitals.get("SpO2") is None:
            self._extended = None
        else:
            last = pulse if self._extended is None else self._extended
            self._extended = last + (pulse - last) / 8
        return measured(vitals, self._extended, self._flags)

    def _pleth(self, reading: Reading, data_format: int) -> list[int]:
        """Return the next 25 samples of a pulse wave."""
        if reading.off or reading.pulse is None:
            return [0] * _FRAMES
        highest = 0xFF if data_format == 2 else 0xFFFF
        samples = []
        for _ in range(_FRAMES):
            self._phase = (self._phase + reading.pulse / 60 / _FRAMES_A_SECOND) % 1
            systole = math.exp(-(((self._phase - 0.25) / 0.12) ** 2))
            notch = 0.4 * math.exp(-(((self._phase - 0.6) / 0.15) ** 2))
            samples.append(round(highest * (0.2 + 0.6 * systole + 0.4 * notch)))
        return samples

    def _utc_s(self) -> float:
        return time.time() + self._clock_offset_s

    # --- commands ---

    async def _listen(self, start_s: float) -> None:
        waiting = b""
        while True:
            waiting += await self._plug.line.read()
            while waiting:
                size = self._command_size(waiting)
                if not size or len(waiting) < size:
                    break
                command, waiting = waiting[:size], waiting[size:]
                answer = self._answer(command, now_s() - start_s)
                if answer:
                    await self._plug.line.send(answer)

    @staticmethod
    def _command_size(waiting: bytes) -> int:
        """Return the size of the command at the front; 0 until that is known."""
        if waiting[0] != 0x02:
            return 1
        if len(waiting) < 3:
            return 0
        return waiting[2] + 4 if waiting[2] <= _LONGEST else 1

    def _answer(self, command: bytes, age_s: float) -> bytes:
        if command[0] != 0x02:
            return b""  # not a command at all
        whole = len(command) >= 4 and command[-1] == 0x03
        if whole and command[1] == _SELECT and _selects(command):
            if age_s <= _SELECT_WITHIN_S:
                self.data_format = command[4]
                return _ACK
        elif command == _GET_TIME:
            year, *rest = time.gmtime(self._utc_s())[:6]
            return b"\x02\xf2\x06" + bytes((year % 100, *rest)) + b"\x03"
        elif whole and command.startswith(_SET_TIME):
            return self._set_clock(command[3:9])
        self.refused += 1
        return _NAK

    def _set_clock(self, stamp: bytes) -> bytes:
        """Take a new time; there is no answer."""
        text = "20" + " ".join(f"{part:02d}" for part in stamp)
        try:
            wanted = time.strptime(text, "%Y %m %d %H %M %S")
        except ValueError:
            self.refused += 1
        else:
            self._clock_offset_s = calendar.timegm(wanted) - time.time()
        return b""


def configured(plug: Plug, options: Mapping[str, Any]) -> NoninOximeter:
    """Return an oximeter that sends {"format": 1, 2, 7, 8 or 13}; raises RigError."""
    data_format = options.get("format", 2)
    if set(options) - {"format"} or data_format not in (1, *_SELECTABLE):
        raise RigError(
            f"nonin: no such format: {dict(options)}", 'As {"format": 8}; or 1, 2, 7, 13.'
        )
    return NoninOximeter(plug, data_format)


def _selects(command: bytes) -> bool:
    """Say whether a command chooses a format that there is, in its short or its long form."""
    if command[3] != 0x02 or command[4] not in _SELECTABLE:
        return False
    if command[2] == 0x02:
        return True
    return command[2] == 0x04 and command[6] == (_SELECT + 0x04 + 0x02 + command[4]) & 0xFF


def _text(value: int | None) -> str | None:
    return None if value is None else str(value)


def _stored_values(reading: Reading, utc_s: float) -> Values:
    stamp = time.gmtime(utc_s)
    return {
        "SpO2 stored": _text(reading.spo2),
        "PR stored": _text(reading.pulse),
        "Stored date": str(int(time.strftime("%y%m%d", stamp))),
        "Stored time": str(int(time.strftime("%H%M%S", stamp))),
    }
