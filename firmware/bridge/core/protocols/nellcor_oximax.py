"""Nellcor OxiMax oximeters (N-595, N-560, N-600, NPB-290, N-395): printout, a line each 2 s.

    DD-MMM-YY HH:MM:SS   sss*    bbb*    ppp*    CC CC CC CC CR LF   spo2, pulse, amplitude

The values stand flush right in three columns, "---" where there is none and "*" behind one that
is past its limit. Header lines come between. There is no check: a line counts only when its stamp,
its values and its codes have their shape and when its columns end where they ended before; a model
with columns of its own is believed from its third line. What nobody can see: a digit that became
another one.

Nothing may be sent: two bytes 03H stop the printout, and so does XOFF.
Speed 9600 bit/s 8N1, unless the device's menu says otherwise. Source: Nellcor NPB-290, NPB-295 and
N-395 operator's manuals; public programs for N-595, N-560 and N-600.
"""

from micropython import const

from bridge.core.digits import matches, number_of
from bridge.core.events import NO_VALUE, QUESTIONABLE, VALID, Damage, Observation
from bridge.core.options import only
from bridge.core.protocols.driver import FORMAT, LENGTH, AlarmBits
from bridge.core.protocols.textline import NOTHING, TOO_LONG, TextLines

PORTS = ("9600 8N1",)
SENDS = ()

_RX_SIZE = const(256)
_LINE_MAX = const(200)  # a torn line and the next one, or the longest header
_SPACE = const(0x20)
_STAR = const(0x2A)
_DASH = const(0x2D)
_TILDE = const(0x7E)

_STAMP_SIZE = const(18)
_STAMP = b"dd-aaa-dd dd:dd:dd"
_MONTHS = b"JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC"
_HEADS = (b"N-", b"NPB-", b"TIME", b"ADULT", b"NEO")

_FIELDS = const(3)
# parameter, highest value
_VALUES = ((1, 100), (2, 300), (524, 254))
_PULSE = const(1)
_DIGITS_MAX = const(3)
_ENDS = b"\x18\x20\x28"  # behind the last digits, counted from the stamp's first
_ALIKE = const(2)  # lines with the same new columns before one is believed

_CODES_MAX = const(4)
_CODES = b"SLSHPLPHLPLMSDSOLBMOPSBUASAO"
_ALARMS = (
    ("SPO2 LOW", 3),
    ("SPO2 HIGH", 2),
    ("PULSE LOW", 2),
    ("PULSE HIGH", 2),
    ("LOSS OF PULSE", 3),
    ("LOSS OF PULSE WITH MOTION", 3),
    ("SENSOR DISCONNECTED", 1),
    ("SENSOR OFF", 1),
    ("LOW BATTERY", 1),
    ("MOTION", 0),
    ("PULSE SEARCH", 0),
    ("BATTERY IN USE", 0),
    ("ALARM SILENCED", 0),
    ("ALARM OFF", 0),
)
_NO_SENSOR = const(0x0C0)
_DOUBT = const(0x630)  # loss of pulse, motion, search


class OximaxDecoder:
    """Lines to observations; takes no options."""

    def __init__(self, options):
        only(options, (), "nellcor_oximax")
        self._lines = TextLines(_RX_SIZE, _LINE_MAX)
        self.rx = self._lines.rx
        self._line = self._lines.line
        self._observation = Observation(_FIELDS)
        self._damage = Damage()
        self._alarms = AlarmBits(_ALARMS)
        self._read = False  # the observation is not told yet
        self._ends = bytearray(_ENDS)
        self._found_ends = bytearray(_FIELDS)
        self._other_ends = bytearray(_FIELDS)
        self._alike = 0
        self._value = 0
        self._codes = 0
        self._unknown_code = False

    def next_request(self, now_ms):
        """Return None: the device speaks by itself."""

    def next_event(self):
        """Return the next event, or None until more bytes arrive. Raises nothing."""
        if self._read:
            self._read = False
            return self._observation
        event = self._alarms.next()
        if event is not None:
            return event
        while True:
            found = self._lines.next()
            if found == NOTHING:
                return None
            if found == TOO_LONG:
                return self._damage.of(LENGTH, self._lines.skipped)
            end = self._lines.size
            start = self._find(end)
            if start == 0:
                return self._observation
            if start > 0:
                self._read = True
                return self._damage.of(FORMAT, start)
            if not self._is_header(end):
                return self._damage.of(FORMAT, end)

    # --- one line ---

    def _find(self, end):
        """Return where a good line starts, which it does behind noise or a torn one, or -1."""
        line = self._line
        while end and line[end - 1] == _SPACE:
            end -= 1
        for start in range(end - _STAMP_SIZE + 1):
            if self._is_stamp(start) and self._parse(start, end):
                return start
        return -1

    def _is_header(self, end):
        """Say whether the line is one of those that come between values."""
        line = self._line
        for at in range(end):
            if not _SPACE <= line[at] <= _TILDE:
                return False
        at = 0
        while at < end and line[at] == _SPACE:
            at += 1
        if at == end:
            return True
        for head in _HEADS:
            if at + len(head) <= end and matches(line, at, head):
                return True
        return False

    def _is_stamp(self, at):
        """Say whether date and time stand here; the device's clock is not used."""
        line = self._line
        for index in range(_STAMP_SIZE):
            want = _STAMP[index]
            byte = line[at + index]
            if want == 0x64:  # d
                if not 0x30 <= byte <= 0x39:
                    return False
            elif want != 0x61 and byte != want:  # a: a letter of the month
                return False
        if not 1 <= number_of(line, at, at + 2) <= 31 or self._month(at + 3) < 0:
            return False
        return (
            number_of(line, at + 10, at + 12) < 24
            and number_of(line, at + 13, at + 15) < 60
            and number_of(line, at + 16, at + 18) < 60
        )

    def _month(self, at):
        line = self._line
        for month in range(0, len(_MONTHS), 3):
            same = 0
            while same < 3 and line[at + same] & 0xDF == _MONTHS[month + same]:
                same += 1
            if same == 3:
                return month
        return -1

    def _parse(self, start, end):
        """Fill the observation from line[start:end]; False when anything is out of shape."""
        observation = self._observation
        observation.begin(0, 0)
        at = start + _STAMP_SIZE
        for index in range(_FIELDS):
            parameter, highest = _VALUES[index]
            at = self._value_at(at, end)
            if at < 0 or self._value > highest:
                return False
            self._found_ends[index] = at - start
            if at < end and self._line[at] == _STAR:
                at += 1
            value = self._value
            if value < 0 or (value == 0 and index <= _PULSE):  # zeros while it searches
                observation.add(parameter, 0, 0, NO_VALUE)
            else:
                observation.add(parameter, value, 0, VALID)
        if not self._read_codes(at, end) or not self._columns_are_known():
            return False
        self._alarms.now = self._codes
        self._doubt()
        return True

    def _value_at(self, at, end):
        """Return the end of the value that follows spaces, or -1; `_value` is -1 for dashes."""
        line = self._line
        first = at
        while at < end and line[at] == _SPACE:
            at += 1
        if at == first:
            return -1
        first = at
        dashes = 0
        while at < end and (line[at] == _DASH or 0x30 <= line[at] <= 0x39):
            if line[at] == _DASH:
                dashes += 1
            at += 1
        size = at - first
        self._value = -1
        if dashes:
            return at if dashes == size == _DIGITS_MAX else -1
        if not 1 <= size <= _DIGITS_MAX:
            return -1
        self._value = number_of(line, first, at)
        return at

    def _read_codes(self, at, end):
        """Take the status codes of line[at:end]; False when there is anything else."""
        line = self._line
        self._codes = count = 0
        self._unknown_code = False
        while at < end:
            if line[at] != _SPACE:
                return False
            while line[at] == _SPACE:  # the line does not end with one
                at += 1
            count += 1
            if at + 2 > end or count > _CODES_MAX:
                return False
            bit = 0
            while 2 * bit < len(_CODES) and (
                line[at] != _CODES[2 * bit] or line[at + 1] != _CODES[2 * bit + 1]
            ):
                bit += 1
            if 2 * bit < len(_CODES):
                self._codes |= 1 << bit
            elif 0x41 <= line[at] <= 0x5A and 0x41 <= line[at + 1] <= 0x5A:
                self._unknown_code = True
            else:
                return False
            at += 2
        return True

    def _columns_are_known(self):
        """Say whether the values end where they did; new places are learnt when they stay."""
        found = self._found_ends
        if _are_same(found, self._ends):
            self._alike = 0
            return True
        if self._alike and _are_same(found, self._other_ends):
            self._alike += 1
        else:
            self._alike = 1
            _copy(self._other_ends, found)
        if self._alike <= _ALIKE:
            return False
        self._alike = 0
        _copy(self._ends, found)
        return True

    def _doubt(self):
        """Take back or doubt every value, as the codes ask."""
        observation = self._observation
        for index in range(observation.count):
            if self._codes & _NO_SENSOR:
                observation.states[index] = NO_VALUE
                observation.values[index] = 0
            elif observation.states[index] == VALID and (
                self._codes & _DOUBT or self._unknown_code
            ):
                observation.states[index] = QUESTIONABLE


def _are_same(left, right):
    for index in range(_FIELDS):
        if left[index] != right[index]:
            return False
    return True


def _copy(target, source):
    for index in range(_FIELDS):
        target[index] = source[index]
