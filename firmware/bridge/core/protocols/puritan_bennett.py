"""Puritan Bennett 840 and 980 ventilators: the MISCF and MISCA reports by polls, RS232.

    "MISCF," bytes "," fields " ," 02 field "," field "," ... 03 CR

Both counts say what stands between 02 and 03; there is no other check, so a report counts only
when both are right. A blank field is no value. SNDF or SNDA asks for a report and changes
nothing. Speed as set at the ventilator, often 9600 bit/s 8N1 with RTS and CTS. Source:
operator's and service manuals of the 840 and 980, and three public decoders.
"""

from micropython import const

from bridge.core.digits import Decimal, matches, number_of
from bridge.core.events import NO_VALUE, VALID, Alarm
from bridge.core.options import choice, number, only
from bridge.core.protocols import puritan_bennett_data as reports
from bridge.core.protocols.driver import FORMAT, LENGTH, NOISE, WAIT, Driver
from bridge.core.protocols.polls import Polls

PORTS = ("9600 8N1", "38400 8N1", "19200 8N1", "115200 8N1")
SENDS = (b"SNDF\r", b"SNDA\r")

_RX_SIZE = const(1536)
_FRAME_MAX = const(1300)
_HEAD_MAX = const(20)
_VALUES_MAX = const(40)
_FIRST_FIELD = const(5)
_FIELDS_MAX = const(180)
_STX = const(0x02)
_ETX = const(0x03)
_CR = const(0x0D)
_SPACE = const(0x20)
_COMMA = const(0x2C)
_TIMEOUT_MS = const(3000)
_F = const(0x46)
_A = const(0x41)
_LONGEST = const(40000)  # of a value in millilitres: more litres are not believed

_PRIORITIES = (
    (b"NORMAL", 0),
    (b"RESET", 0),
    (b"LOW", 1),
    (b"MEDIUM", 2),
    (b"HIGH", 3),
    (b"ALARM", 2),
)


class PuritanDecoder(Driver):
    """One ventilator. Group 0 is measured, group 1 what it is set to.

    options  {"report": "SNDF", or "SNDA" of older software, default "SNDF";
              "poll_ms": 2000 to 60000, default 2000}
    """

    def __init__(self, options):
        only(options, ("report", "poll_ms"), "puritan_bennett")
        report = choice(options, "report", ("SNDF", "SNDA"), "SNDF", "puritan_bennett")
        poll_ms = number(options, "poll_ms", 2000, 60000, "puritan_bennett", 2000)
        polls = Polls((poll_ms,), _TIMEOUT_MS)
        super().__init__(_RX_SIZE, _VALUES_MAX, polls, (SENDS[report],))
        self._number = Decimal()
        self._starts = bytearray(2 * (_FIELDS_MAX + 1))  # of the fields, from 02 on
        self._stx = 0
        self._fields = 0
        self._left = None  # settings that follow the measured values
        self._is_full = False
        self._priorities = bytearray(len(reports.MISCF_ALARMS))
        self._told = bytearray(len(reports.MISCF_ALARMS))
        self._alarm = Alarm()

    def next_request(self, now_ms):
        """Return the bytes to send now, or None."""
        if self.rx.count > self._at:
            self._polls.heard(now_ms)  # a report takes longer than the patience for its start
        return super().next_request(now_ms)

    def _frame(self, at, count):
        data = self.rx.data
        if data[at] != 0x4D:
            self._why = NOISE
            return -1
        for index in range(min(count, 4)):
            if data[at + index] != b"MISC"[index]:
                self._why = NOISE
                return -1
        if count < _HEAD_MAX:
            return WAIT
        stx = data.find(b"\x02", at, at + _HEAD_MAX)
        first = data.find(b",", at, at + _HEAD_MAX) + 1
        second = data.find(b",", first, at + _HEAD_MAX) + 1
        if stx < 0 or not first or not second or data[at + 4] not in (_F, _A):
            self._why = FORMAT
            return -1
        size = number_of(data, first, second - 1)
        third = second
        while third < stx and 0x30 <= data[third] <= 0x39:
            third += 1
        fields = number_of(data, second, third)
        total = stx - at + size + 3
        if size < 0 or fields < 1 or fields > _FIELDS_MAX or total > _FRAME_MAX:
            self._why = LENGTH
            return -1
        if count < total:
            # A report that has lost bytes must not wait for those of the next.
            again = data.find(b"MISC", at + 4, at + count)
            if again >= 0:
                self._why = LENGTH
                return at - again
            return WAIT
        if data[stx + 1 + size] != _ETX or data[stx + 2 + size] != _CR:
            self._why = LENGTH
            return -1
        if not self._split(stx, stx + 1 + size, fields):
            self._why = FORMAT
            return -1
        return total

    def _split(self, stx, end, fields):
        """Find the fields; say whether there are as many as were announced."""
        data = self.rx.data
        starts = self._starts
        found = 0
        starts[0] = 1
        starts[1] = 0
        for at in range(stx + 1, end):
            byte = data[at]
            if byte == _COMMA:
                found += 1
                if found > fields:
                    return False
                offset = at + 1 - stx
                starts[2 * found] = offset & 0xFF
                starts[2 * found + 1] = offset >> 8
            elif not _SPACE <= byte < 0x7F:
                return False
        self._stx = stx
        self._fields = found
        return found == fields and data[end - 1] == _COMMA

    def _start(self, field):
        index = 2 * (field - _FIRST_FIELD)
        return self._stx + (self._starts[index] | self._starts[index + 1] << 8)

    def _take(self, at, size):
        self._is_full = self.rx.data[at + 4] == _F
        self._polls.answered()
        if self._is_full:
            measured, self._left = reports.MISCF_MEASURED, reports.MISCF_SETTINGS
            self._read_alarms(reports.MISCF_ALARMS_AT, reports.MISCF_ALARMS)
        else:
            measured, self._left = reports.MISCA_MEASURED, reports.MISCA_SETTINGS
            self._read_alarms(reports.MISCA_ALARMS_AT, reports.MISCA_ALARMS)
        return self._read(measured, 0)

    def _read(self, table, group):
        observation = self._observation
        observation.begin(0, group)
        for field in table:
            parameter, litres = table[field]
            if field - _FIRST_FIELD >= self._fields:
                continue
            start = self._start(field)
            end = self._start(field + 1) - 1
            while end > start and self.rx.data[end - 1] == _SPACE:
                end -= 1
            found = self._number
            if start == end:
                observation.add(parameter, 0, 0, NO_VALUE)
            elif not found.read(self.rx.data, start, end):
                observation.add(parameter, 0, 0, NO_VALUE)  # OFF and other words
            elif litres and found.decimals <= 3:
                value = found.value * 10 ** (3 - found.decimals)
                state = VALID if -_LONGEST < value < _LONGEST else NO_VALUE
                observation.add(parameter, value if state == VALID else 0, 0, state)
            else:
                observation.add(parameter, found.value, found.decimals, VALID)
        return observation

    def _read_alarms(self, first, names):
        data = self.rx.data
        for index in range(len(names)):
            field = first + index
            if field - _FIRST_FIELD >= self._fields or not names[index]:
                continue
            start = self._start(field)
            for word, priority in _PRIORITIES:
                if matches(data, start, word):
                    self._priorities[index] = priority
        self._names = names

    def _pending(self):
        if self._left is not None:
            table = self._left
            self._left = None
            return self._read(table, 1)
        for index in range(len(self._told)):
            priority = self._priorities[index]
            if priority != self._told[index]:
                alarm = self._alarm
                alarm.code = index
                alarm.active = priority > 0
                alarm.priority = priority or self._told[index]
                alarm.text = self._names[index]
                self._told[index] = priority
                return alarm
        return None
