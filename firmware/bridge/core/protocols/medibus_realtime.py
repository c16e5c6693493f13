"""MEDIBUS realtime extension: curves in bytes with bit 7 set, between the bytes of slow data.

    1101xxxx               a value follows for each stream whose bit is set
    10dddddd 10dddddd      one value of 12 bits, low bits first
    1100cccc 1100aaaa      a command; 1111 says that the record is corrupt

What streams there are, their scale and pace, the device says (53H); up to three are asked for
(54H) and then enabled, again and again, since that is not acknowledged.
Source: Draeger MEDIBUS protocol definition 90 28 258 rev 4.03.
"""

from array import array

from micropython import const

from bridge.core.digits import hex_digit, hex_number_of
from bridge.core.events import NO_SAMPLE, Wave

# code: parameter, decimals
_CURVES = ((0x00, 218, 2), (0x01, 219, 2), (0x03, 220, 1))
_STREAMS = const(3)
_ENTRY = const(23)
_SAMPLES = const(32)  # of a wave: half a second at the usual 16 ms
_AGAIN_MS = const(5000)
_SYNC = const(0xD0)
_COMMAND = const(0xC0)
_CORRUPT = const(0xCF)

_ASK = const(0)
_CHOOSE = const(1)
_ENABLE = const(2)
CONFIGURE = 0x53
CHOOSE = 0x54
ENABLE = b"\xd0\xc1"  # then the streams, and the end of the sequence
_OFF_LIMITS = const(32767)


class Realtime:
    """The curves of one device."""

    def __init__(self):
        self._waves = [Wave(_SAMPLES) for _ in range(_STREAMS)]
        self._low = array("h", bytes(2 * _STREAMS))
        self._span = array("h", bytes(2 * _STREAMS))
        self._bins = array("h", bytes(2 * _STREAMS))
        self._decimals = bytearray(_STREAMS)
        self._codes = bytearray(_STREAMS)
        self._choice = bytearray(2 + 4 * _STREAMS + 3)
        self._enabling = ENABLE
        self.strange = 0  # bytes that fit nowhere, not yet told
        self.forget()

    def forget(self):
        """Begin anew: the session or the device's configuration is another one."""
        self._state = _ASK
        self._count = 0
        self._due_ms = 0
        self._left = 0  # streams of this record that are to come, as bits
        self._half = -1  # the low bits of a value
        self._command = 0

    def next_code(self):
        """Return the slow command to send now, 0 for none."""
        if self._state == _ASK:
            return CONFIGURE
        return CHOOSE if self._state == _CHOOSE else 0

    def choice(self):
        """Return the command that chooses the streams."""
        out = self._choice
        out[0] = 0x1B
        out[1] = CHOOSE
        at = 2
        total = 0x1B + CHOOSE
        for index in range(self._count):
            for digit in (self._codes[index] >> 4, self._codes[index] & 15, 0, 1):
                out[at] = hex_digit(digit)
                total += out[at]
                at += 1
        out[at] = hex_digit(total >> 4 & 15)
        out[at + 1] = hex_digit(total & 15)
        out[at + 2] = 0x0D
        return bytes(out[: at + 3])

    def enable(self, now_ms):
        """Return the bytes that switch the streams on, None when it is not time for it."""
        if self._state != _ENABLE or not self._count or now_ms < self._due_ms:
            return None
        self._due_ms = now_ms + _AGAIN_MS
        return self._enabling

    def chosen(self):
        """The device has taken the choice."""
        if self._state == _CHOOSE:
            self._state = _ENABLE
            self._due_ms = 0

    def configure(self, data, at, end):
        """Take the device's own list of streams."""
        self._count = 0
        while at + _ENTRY <= end:
            code = hex_number_of(data, at, at + 2)
            for known, parameter, decimals in _CURVES:
                if known == code and self._count < _STREAMS:
                    self._add(data, at, parameter, decimals)
            at += _ENTRY
        self._state = _CHOOSE if self._count else _ENABLE
        mask = (1 << self._count) - 1
        self._enabling = ENABLE + bytes((_COMMAND | mask, _COMMAND, _COMMAND))

    def _add(self, data, at, parameter, decimals):
        period = _whole(data, at + 2, at + 10)
        low = _whole(data, at + 10, at + 15)
        high = _whole(data, at + 15, at + 20)
        bins = hex_number_of(data, at + 20, at + 23)
        if None in (period, low, high) or period < 1 or bins < 1 or high <= low:
            return
        index = self._count
        while decimals and (high - low) * 10**decimals > _OFF_LIMITS:
            decimals -= 1
        self._codes[index] = hex_number_of(data, at, at + 2)
        self._low[index] = low * 10**decimals
        self._span[index] = (high - low) * 10**decimals
        self._bins[index] = bins
        wave = self._waves[index]
        wave.parameter = parameter
        wave.decimals = decimals
        wave.period_us = period if period >= 1000 else 1000 * period
        wave.count = 0
        self._count = index + 1

    def take(self, byte):
        """Take one byte with bit 7; return the Wave that it completes, or None."""
        if self._state != _ENABLE:
            return None
        if byte & 0x40:
            self._half = -1
            if byte & 0xF0 == _SYNC:
                self._left = byte & 0x0F
                self._command = 0
            elif not self._command:
                self._command = byte
            else:
                if self._command == _CORRUPT:
                    self._left = 0
                self._command = 0
            return None
        if not self._left:
            self.strange += 1
            return None
        if self._half < 0:
            self._half = byte & 0x3F
            return None
        value = (byte & 0x3F) << 6 | self._half
        self._half = -1
        stream = 0
        while not self._left >> stream & 1:
            stream += 1
        self._left &= ~(1 << stream)
        return self._sample(stream, value) if stream < self._count else None

    def _sample(self, stream, value):
        wave = self._waves[stream]
        if wave.count == _SAMPLES:
            wave.count = 0
        bins = self._bins[stream]
        if value > bins:
            wave.samples[wave.count] = NO_SAMPLE
        else:
            wave.samples[wave.count] = self._low[stream] + value * self._span[stream] // bins
        wave.count += 1
        return wave if wave.count == _SAMPLES else None


def _whole(data, at, end):
    """Return the integer that stands in data[at:end] with blanks and a sign, None for none."""
    value = 0
    negative = False
    digits = 0
    for index in range(at, end):
        byte = data[index]
        if byte == 0x2D and not digits:
            negative = True
        elif 0x30 <= byte <= 0x39:
            value = 10 * value + byte - 0x30
            digits += 1
        elif byte != 0x20 or digits:
            return None
    if not digits:
        return None
    return -value if negative else value
