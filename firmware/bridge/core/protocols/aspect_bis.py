"""Aspect A-2000 and BIS VISTA: processed EEG in the binary protocol, RS232.

    BA AB | counter u16 | size u16 | type u16 | body | sum u16    all low byte first
    body: route u32 | message u32 | counter u16 | size u16 | data    sum of all bytes after BA AB

One request starts the processed data (73), which then come each second; it is sent again after ten
seconds of silence. It sets nothing but what the port sends.
Speed 57600 bit/s 8N1. Source: one public driver.
"""

from micropython import const

from bridge.core.events import NO_VALUE, QUESTIONABLE, VALID
from bridge.core.options import only
from bridge.core.protocols.driver import CHECK, LENGTH, NOISE, WAIT, Driver
from bridge.core.protocols.polls import Polls

PORTS = ("57600 8N1",)
SENDS = (
    b"\xba\xab\x00\x00\x0d\x00\x01\x00\x04\x00\x00\x00\x73\x00\x00\x00\x00\x00\x01\x00\x00\x86\x00",
)

_RX_SIZE = const(768)
_HEAD = const(8)
_BODY_MAX = const(340)
_BODY_MIN = const(12)
_DATA_AT = const(20)
_PROCESSED = const(0x34)
_TREND = const(96)  # of both channels, in the data
_DATA_MIN = const(120)
_TIMEOUT_MS = const(10000)
_NO_DATA = const(-3277)  # and below
_SQI_LOW = const(500)  # tenths of a percent: the monitor shows the index hollow

# place in the trend variables, parameter, decimals
_VALUES = ((0, 305, 1), (2, 306, 2), (6, 24, 1), (12, 307, 2), (14, 25, 2), (16, 304, 1))
_BIS = const(24)
_SQI_AT = const(16)
_IMPEDANCE_AT = const(24)


class BisDecoder(Driver):
    """One monitor. Takes no options."""

    def __init__(self, options):
        only(options, (), "aspect_bis")
        super().__init__(_RX_SIZE, 8, Polls((0,), _TIMEOUT_MS), SENDS)
        self._polls.again(0)
        self._heard = False

    def next_request(self, now_ms):
        """Return the bytes to send now, or None."""
        polls = self._polls
        if self._heard:
            self._heard = False
            polls.heard(now_ms)
        missed = polls.missed
        request = super().next_request(now_ms)
        if polls.missed != missed:
            polls.again(0)
        return request

    def _frame(self, at, count):
        data = self.rx.data
        self._why = NOISE
        if data[at] != 0xBA:
            return -1
        if count < 2:
            return WAIT
        if data[at + 1] != 0xAB:
            return -1
        if count < _HEAD:
            return WAIT
        size = data[at + 4] | data[at + 5] << 8
        if not _BODY_MIN <= size <= _BODY_MAX:
            self._why = LENGTH
            return -1
        total = _HEAD + size + 2
        if count < total:
            return WAIT
        found = 0
        for index in range(at + 2, at + total - 2):
            found += data[index]
        if found & 0xFFFF != data[at + total - 2] | data[at + total - 1] << 8:
            self._why = CHECK
            return -1
        return total

    def _take(self, at, size):
        data = self.rx.data
        self._heard = True
        if data[at + 6] == 3:
            return self._damage.of("refused", 1)
        if data[at + 6] != 1 or data[at + 12] != _PROCESSED or size < _DATA_AT + _DATA_MIN + 2:
            return None
        start = at + _DATA_AT
        observation = self._observation
        observation.begin(0, 0)
        quality = _i16(data, start + _TREND + _SQI_AT)
        for place, parameter, decimals in _VALUES:
            value = _i16(data, start + _TREND + place)
            state = VALID
            if value <= _NO_DATA:
                value, state = 0, NO_VALUE
            elif parameter == _BIS and quality < _SQI_LOW:
                state = QUESTIONABLE
            observation.add(parameter, value, decimals, state)
        for index in range(2):
            value = data[start + _IMPEDANCE_AT + 4 * index]
            value |= data[start + _IMPEDANCE_AT + 4 * index + 1] << 8
            observation.add(308 + index, value, 0, VALID)
        return observation


def _i16(data, at):
    value = data[at] | data[at + 1] << 8
    return value - 0x10000 if value & 0x8000 else value
