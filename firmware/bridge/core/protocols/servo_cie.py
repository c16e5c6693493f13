"""Maquet SERVO-i and SERVO-s: Computer Interface Emulator, extended mode by polls, RS232.

    text CHK CHK 04    CHK CHK: exclusive or of the text, two upper-case hex digits

A session: ESC, RCTY (who are you, and extended mode), RHVE and SPVE (protocol version), RCCO
(what each channel counts in), SDADB, SDADS and SDADE (which channels are asked for), then RADAB
(breath), RADAS (settings) and RADAE (alarms) again and again. All of it belongs to the
interface; the ventilator is not set. A value is four digits, 9999 none; answers do not name
their question, so one is open at a time and sizes differ. Gains and units come from the
ventilator itself. Speed 9600 bit/s 8E1. Source: CIE reference manual, protocol version 005, and
two public drivers.
"""

from micropython import const

from bridge.core.checks import xor8
from bridge.core.digits import hex_digit, hex_pair, matches, number_of, text_of
from bridge.core.events import Identity
from bridge.core.options import number, only
from bridge.core.protocols.driver import CHECK, FORMAT, LENGTH, NOISE, WAIT, Driver
from bridge.core.protocols.servo_channels import ALARMS, BREATH, SETTINGS, Channels, ServoAlarms

PORTS = ("9600 8E1",)
SENDS = (
    b"\x1b",
    b"RCTY\x04",
    b"RHVE09\x04",
    b"SPVE00",
    b"RCCO1D\x04",
    b"SDADB",
    b"SDADS",
    b"SDADE",
    b"RADAB54\x04",
    b"RADAS45\x04",
    b"RADAE53\x04",
)
_ESC = const(0)
_TYPE = const(1)
_HIGHEST = const(2)
_VERSION = const(3)
_CONFIG = const(4)
_SET_BREATH = const(5)
_SET_SETTINGS = const(6)
_SET_ALARMS = const(7)
_READ_BREATH = const(8)
_READ_SETTINGS = const(9)
_READ_ALARMS = const(10)

_RX_SIZE = const(4800)  # the answer to RCCO
_TEXT_MAX = const(4700)
_EOT = const(0x04)
_TYPE_SIZE = const(8)  # Servo-i0
_ANSWER_MS = const(1500)
_SETTLE_MS = const(500)
_SETTINGS_MS = const(10000)
_ALARMS_MS = const(2000)
_AGAIN_MS = const(5000)
_MISSES_MAX = const(3)
_OUR_VERSION = const(5)


def _checked(text):
    return text + b"%02X\x04" % xor8(text, 0, len(text))


def _with_channels(command, table):
    """Return a command with the numbers of a table's channels."""
    size = len(command)
    out = bytearray(size + 3 * len(table) + 3)
    out[:size] = command
    for row in table:
        out[size] = 0x30 + row[0] // 100
        out[size + 1] = 0x30 + row[0] // 10 % 10
        out[size + 2] = 0x30 + row[0] % 10
        size += 3
    check = xor8(out, 0, size)
    out[size] = hex_digit(check >> 4)
    out[size + 1] = hex_digit(check & 15)
    out[size + 2] = _EOT
    return out


class ServoDecoder(Driver):
    """One ventilator. Group 0 is the breath, group 1 what it is set to.

    options  {"poll_ms": time between two readings of the breath, 1000 to 60000, default 2000}
    """

    def __init__(self, options):
        only(options, ("poll_ms",), "servo_cie")
        poll_ms = number(options, "poll_ms", 1000, 60000, "servo_cie", 2000)
        super().__init__(_RX_SIZE, len(BREATH))
        self._identity = Identity(0, "")
        self._channels = (Channels(BREATH), Channels(SETTINGS))
        self._alarms = ServoAlarms()
        self._requests = list(SENDS)
        self._requests[_VERSION] = _checked(b"SPVE%03d" % _OUR_VERSION)
        for index, table in (
            (_SET_BREATH, BREATH),
            (_SET_SETTINGS, SETTINGS),
            (_SET_ALARMS, ALARMS),
        ):
            self._requests[index] = _with_channels(SENDS[index], table)
        self._periods_ms = (poll_ms, _SETTINGS_MS, _ALARMS_MS)
        self._due_ms = [0, 0, 0]
        self._step = _ESC
        self._open = -1
        self._asked_ms = 0
        self._wait_ms = 0
        self._misses = self._missed = 0
        self._is_heard = False
        self._heard_count = 0  # bytes that waited for their end at that time
        self._is_torn = False  # what waits for its end will not have one

    # --- asking ---

    def next_request(self, now_ms):
        """Return the bytes to send now, or None."""
        if self._open >= 0:
            if self._is_heard:
                self._asked_ms = now_ms
                self._is_heard = False
            if now_ms - self._asked_ms < _ANSWER_MS:
                return None
            self._open = -1
            self._missed += 1
            self._misses += 1
            self._is_torn = True
            if self._misses >= _MISSES_MAX:
                self._restart(now_ms)
            return None  # the rest of a torn answer goes first
        if now_ms < self._wait_ms:
            return None
        if self._step == _ESC:
            self._step = _TYPE
            self._wait_ms = now_ms + _SETTLE_MS
            return SENDS[_ESC]
        index = self._step
        if index >= _READ_BREATH:
            index = self._choose(now_ms)
            if index < 0:
                return None
        self._open = index
        self._asked_ms = now_ms
        self._is_heard = self._is_torn = False
        return self._requests[index]

    def _choose(self, now_ms):
        for index in range(3):
            if now_ms >= self._due_ms[index]:
                self._due_ms[index] = now_ms + self._periods_ms[index]
                return _READ_BREATH + index
        return -1

    def _restart(self, now_ms):
        self._step = _ESC
        self._misses = 0
        self._wait_ms = now_ms + _AGAIN_MS

    # --- answers ---

    def _frame(self, at, count):
        data = self.rx.data
        if count != self._heard_count:
            self._heard_count = count
            self._is_heard = True
        if not 0x20 <= data[at] < 0x7F:
            self._why = NOISE
            return -1
        end = data.find(b"\x04", at, at + count)
        if end < 0:
            self._why = LENGTH
            return WAIT if count < _TEXT_MAX and not self._is_torn else -count
        size = end + 1 - at
        is_type = size == _TYPE_SIZE + 1 and matches(data, at, b"Servo-")
        if is_type:
            return size
        if size < 4:
            self._why = FORMAT
        elif hex_pair(data, end - 2) != xor8(data, at, end - 2):
            self._why = CHECK
        else:
            return size
        # Not from the next byte: one in 256 of all tails would pass.
        return -size

    def _take(self, at, size):
        data = self.rx.data
        asked = self._open
        end = at + size - 3
        if matches(data, at, b"Servo-"):
            self._misses = 0
            self._identity.text = text_of(data, at, at + _TYPE_SIZE)
            self._advance(_TYPE, _HIGHEST)
            return self._identity
        if asked < 0:
            return None
        self._misses = 0
        if matches(data, at, b"ER"):
            self._open = -1
            if self._step == _VERSION:
                self._step = _CONFIG  # older software has one version only
            elif self._step < _READ_BREATH:
                self._step = _ESC
            return self._damage.of("refused", 1)
        if asked == _HIGHEST:
            highest = number_of(data, at, end)
            if 1 <= highest < _OUR_VERSION:
                self._requests[_VERSION] = _checked(b"SPVE%03d" % highest)
            self._advance(_HIGHEST, _VERSION)
        elif asked == _CONFIG:
            for channels in self._channels:
                channels.learn(data, at, end)
            self._advance(_CONFIG, _SET_BREATH)
        elif asked in (_READ_BREATH, _READ_SETTINGS):
            self._open = -1
            return self._read(asked - _READ_BREATH, at, end)
        elif asked == _READ_ALARMS:
            self._open = -1
            return None if self._alarms.take(data, at, end) else self._damage.of(FORMAT, size)
        elif data[at] == 0x2A:
            self._advance(asked, asked + 1)
        return None

    def _advance(self, asked, step):
        if self._open == asked:
            self._open = -1
            self._step = step

    def _read(self, group, at, end):
        channels = self._channels[group]
        if end - at != 4 * channels.count:
            return self._damage.of(FORMAT, end - at + 3)
        observation = self._observation
        observation.begin(0, group)
        if not channels.read(self.rx.data, at, observation):
            return self._damage.of(FORMAT, end - at + 3)
        return observation if observation.count else None

    def _pending(self):
        if self._missed:
            self._missed -= 1
            return self._damage.of("timeout", 1)
        return self._alarms.next()
