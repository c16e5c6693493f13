"""Alaris and Asena GH, GS, CC, TIVA, PK syringe pumps: status by polls, RS232.

    "!" text "|" CRC CR    fields of the text are parted by "^"; CRC-16/CCITT-FALSE of the text,
                           four upper-case hex digits

INF answers: serial, alarm, mode, rate, its unit, dose, volume infused, its unit, pressure, its
unit, time left ("24+" for more than 24 hours), and the newest entry of the pump's log. Only INF
and INST_SERIALNO are asked, and both read. Remote control, which a pump must be kept in and
stops infusing without, is never enabled: those commands are not in this file. Speed 38400 bit/s
8N1. Source: two public drivers (frame, CRC), one of them for INF; directions for use of the
Alaris CC.
"""

from micropython import const

from bridge.core.checks import crc16_ccitt
from bridge.core.digits import Decimal, hex_number_of, matches, text_of
from bridge.core.events import NO_VALUE, OVER_RANGE, VALID, Alarm, Identity
from bridge.core.options import number, only
from bridge.core.protocols.driver import CHECK, FORMAT, LENGTH, NOISE, WAIT, Driver
from bridge.core.protocols.polls import Polls

PORTS = ("38400 8N1",)
SENDS = (b"!INST_SERIALNO|457D\r", b"!INF|4961\r")

_RX_SIZE = const(384)
_FRAME_MAX = const(180)
_BANG = const(0x21)
_CR = const(0x0D)
_CARET = const(0x5E)
_DASH = const(0x2D)
_TIMEOUT_MS = const(500)

_FIELDS_MAX = const(16)
_INF = b"INF^"
_SERIAL = b"INST_SERIALNO^"
_ALARM_FIELD = const(2)
# field, the unit that must follow it, its parameter
_VALUES = ((4, b"ml/h", 448), (7, b"ml", 449), (9, b"mmHg", 452))
_LEFT_FIELD = const(11)
_LEFT = const(451)
_HOUR_S = const(3600)
_DAY_H = const(24)


class AlarisDecoder(Driver):
    """One pump.

    options  {"poll_ms": time between two readings, default 2000}
    """

    def __init__(self, options):
        only(options, ("poll_ms",), "alaris_asena")
        poll_ms = number(options, "poll_ms", 1000, 60000, "alaris_asena", 2000)
        super().__init__(_RX_SIZE, 4, Polls((0, poll_ms), _TIMEOUT_MS), SENDS)
        self._polls.again(0)
        self._starts = bytearray(_FIELDS_MAX + 1)  # of the fields, from the text's start
        self._fields = 0
        self._number = Decimal()
        self._identity = Identity(0, "")
        self._alarm = Alarm()
        self._alarm.priority = 3
        self._changed = False

    def _frame(self, at, count):
        data = self.rx.data
        if data[at] != _BANG:
            self._why = NOISE
            return -1
        end = data.find(b"\r", at, at + min(count, _FRAME_MAX))
        if end < 0:
            self._why = LENGTH
            return WAIT if count < _FRAME_MAX else -1
        if end - at < 7 or data[end - 5] != 0x7C:
            self._why = FORMAT
            return -1
        if hex_number_of(data, end - 4, end) != crc16_ccitt(data, at + 1, end - 5):
            self._why = CHECK
            return -1
        return end + 1 - at

    def _take(self, at, size):
        data = self.rx.data
        start = at + 1
        end = at + size - 6
        if end - start > len(_SERIAL) and matches(data, start, _SERIAL):
            self._close(0)
            start += len(_SERIAL)
            self._identity.text = "".join(
                chr(byte) if 32 <= byte < 127 else "."
                for byte in data[start : min(end, start + 64)]
            )
            return self._identity
        if end - start > len(_INF) and matches(data, start, _INF):
            self._close(1)
            if self._split(start, end) and self._read(start):
                return self._observation
            return self._damage.of(FORMAT, size)
        return None  # the answer to a question that another program asked

    def _close(self, index):
        if self._polls.open == index:
            self._polls.answered()

    def _split(self, start, end):
        """Find the fields; False when there are too few or too many."""
        data = self.rx.data
        starts = self._starts
        count = 1
        starts[0] = 0
        for at in range(start, end):
            if data[at] == _CARET:
                if count == _FIELDS_MAX:
                    return False
                starts[count] = at + 1 - start
                count += 1
        starts[count] = end + 1 - start
        self._fields = count
        return count > _LEFT_FIELD

    def _read(self, start):
        data = self.rx.data
        starts = self._starts
        observation = self._observation
        observation.begin(0, 0)
        for field, unit, parameter in _VALUES:
            first = start + starts[field]
            last = start + starts[field + 1] - 1
            unit_at = start + starts[field + 1]
            unit_size = starts[field + 2] - 1 - starts[field + 1]
            if last == first or (last == first + 1 and data[first] == _DASH):
                observation.add(parameter, 0, 0, NO_VALUE)
            elif unit_size != len(unit) or not matches(data, unit_at, unit):
                return False
            elif self._number.read(data, first, last):
                observation.add(parameter, self._number.value, self._number.decimals, VALID)
            else:
                return False
        self._read_left(start + starts[_LEFT_FIELD], start + starts[_LEFT_FIELD + 1] - 1)
        self._read_alarm(start + starts[_ALARM_FIELD], start + starts[_ALARM_FIELD + 1] - 1)
        return True

    def _read_left(self, first, last):
        """Add the time left where it says "24+"; other forms are not known."""
        data = self.rx.data
        if last - first == 3 and matches(data, first, b"24+"):
            self._observation.add(_LEFT, _DAY_H * _HOUR_S, 0, OVER_RANGE)
        else:
            self._observation.add(_LEFT, 0, 0, NO_VALUE)

    def _read_alarm(self, first, last):
        data = self.rx.data
        active = last > first and not (last == first + 1 and data[first] == _DASH)
        alarm = self._alarm
        if active != alarm.active:
            if active:
                alarm.text = text_of(data, first, min(last, first + 32))
            alarm.active = active
            self._changed = True

    def _pending(self):
        if not self._changed:
            return None
        self._changed = False
        return self._alarm
