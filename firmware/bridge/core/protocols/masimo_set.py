"""Masimo SET oximeters (Radical-7, Rad-8, Rad-87, Root), ASCII 1: a line a second, no request.

    MM/DD/YY HH:MM:SS SN=nnnnnnnnnn SPO2=nnn% BPM=nnn PI=nn.nn% ... ALARM=hhhh EXC=hhhhhh CR LF

Keys and their order differ by model, so a line is split on spaces and "="; no value is dashes in
the same shape. There is no checksum: a line counts only when it is whole, when it has the stamp,
SN, SPO2, BPM, ALARM and EXC, when it has no key twice and none that we do not know, and when each
value has exactly its digits and lies in its range. What nobody can see: a digit that became
another digit of the same range, the loss of a whole optional "KEY=value" with its space, or of
all between one key and a later value of the same shape, and the loss of one digit of an EXC that
has seven where others have six.
Speed 9600 bit/s 8N1. Source: Masimo Rad-8 and Rad-87 operator's manuals; EXC bits by four public
sources, ALARM bits by one, found by experiment.
"""

from micropython import const

from bridge.core.digits import hex_value
from bridge.core.events import NO_VALUE, QUESTIONABLE, VALID, Alarm, Damage, Observation
from bridge.core.options import flag, only
from bridge.core.protocols.textline import NOTHING, TOO_LONG, TextLines

_SPACE = const(0x20)
_PLUS = const(0x2B)
_DASH = const(0x2D)
PORTS = ("9600 8N1", "19200 8N1")
SENDS = ()

_RX_SIZE = const(256)
_LINE_MAX = const(240)  # the longest documented line has 190

_EXC_NO_VALUE = const(0xEB)  # no or bad sensor, searching, off the patient, light, unrecognised
_EXC_QUESTIONABLE = const(0x414)  # low perfusion, interference, low signal
_ALARM_BITS = const(0x0F)

# Shapes: d digit, s sign, h hex digit, ? hex digit that older software leaves out, % may be absent
_STAMP_DATE = b"dd/dd/dd"
_STAMP_TIME = b"dd:dd:dd"
_STAMP_SIZE = const(17)

# key, shape, parameter of codes.py (0 is checked and not used), decimals, highest in digits
_FIELDS = (
    (b"SPO2=", b"ddd%", 1, 0, 100),
    (b"BPM=", b"ddd%", 2, 0, 300),  # Rad-8 writes "---%"
    (b"ALARM=", b"hhhh??", 0, 0, 0xFFFFFF),
    (b"EXC=", b"hhhhhh?", 0, 0, 0xFFFFFF),
    (b"SN=", b"dddddddddd", 0, 0, 0xFFFFFF),
    (b"PI=", b"dd.dd%", 3, 2, 2000),
    (b"SPCO=", b"dd.d%", 7, 1, 999),
    (b"SPMET=", b"dd.d%", 8, 1, 999),
    (b"SPHB=", b"dd.d", 9, 1, 300),
    (b"SPOC=", b"dd", 10, 0, 99),
    (b"PVI=", b"ddd", 11, 0, 100),
    (b"DESAT=", b"dd", 12, 0, 99),
    (b"PIDELTA=", b"sdd", 13, 0, 99),
    (b"RESVD=", b"ddd", 0, 0, 999),
    (b"EXC1=", b"hhhhhhhh", 0, 0, 0xFFFFFF),
)
_BPM = const(1)
_ALARM = const(2)
_EXC = const(3)
_REQUIRED = const(0x1F)  # bits of the first five
_SPHB = const(9)
_SPHB_MMOL = const(14)

# bit of ALARM: phrase, priority
_ALARMS = (("SPO2 HIGH", 2), ("SPO2 LOW", 3), ("BPM HIGH", 2), ("BPM LOW", 2))


class MasimoDecoder:
    """Lines to observations.

    options  {"sphb_mmol": true when the device shows haemoglobin in mmol/L, default false}: the
             line does not say its unit
    """

    def __init__(self, options):
        only(options, ("sphb_mmol",), "masimo_set")
        sphb_mmol = flag(options, "sphb_mmol", False, "masimo_set")
        self._lines = TextLines(_RX_SIZE, _LINE_MAX)
        self.rx = self._lines.rx
        self._line = self._lines.line
        self._sphb = _SPHB_MMOL if sphb_mmol else _SPHB
        self._value = 0
        self._observation = Observation(len(_FIELDS))
        self._alarm = Alarm()
        self._damage = Damage()
        self._alarms_now = 0
        self._alarms_told = 0

    def next_request(self, now_ms):
        """Return None: the device speaks by itself."""

    def next_event(self):
        """Return the next event, or None until more bytes arrive. Raises nothing."""
        if self._alarms_now != self._alarms_told:
            return self._next_alarm()
        found = self._lines.next()
        if found == NOTHING:
            return None
        if found == TOO_LONG:
            return self._damage.of("length", self._lines.skipped)
        size = self._lines.size
        return self._observation if self._parse(size) else self._damage.of("format", size)

    def _next_alarm(self):
        changed = self._alarms_now ^ self._alarms_told
        bit = 0
        while not changed >> bit & 1:
            bit += 1
        self._alarms_told ^= 1 << bit
        alarm = self._alarm
        alarm.code = bit
        alarm.text, alarm.priority = _ALARMS[bit]
        alarm.active = self._alarms_now >> bit & 1 == 1
        return alarm

    # --- one line ---

    def _parse(self, end):
        """Fill the observation from line[:end]; False when anything is out of shape."""
        line = self._line
        while end and line[end - 1] == _SPACE:
            end -= 1
        if not self._is_stamp(end):
            return False
        observation = self._observation
        observation.begin(0, 0)
        seen = alarms = exc = 0
        at = _STAMP_SIZE
        while at < end:
            if line[at] != _SPACE:
                return False
            at += 1
            stop = line.find(b" ", at, end)
            if stop < 0:
                stop = end
            index = self._field(at, stop)
            if index < 0 or seen >> index & 1:
                return False
            seen |= 1 << index
            key, shape, parameter, decimals, highest = _FIELDS[index]
            state = self._match(shape, at + len(key), stop)
            value = self._value
            if state < 0 or not -highest <= value <= highest:
                return False
            if index == _ALARM:
                if (stop - at - len(key)) & 1:
                    return False  # 4 or 6 digits: one of them is gone
                alarms = value
            elif index == _EXC:
                exc = value
            elif parameter:
                if value == 0 and index <= _BPM:
                    state = NO_VALUE  # software that writes zeros for dashes
                observation.add(
                    self._sphb if parameter == _SPHB else parameter, value, decimals, state
                )
            at = stop
        if seen & _REQUIRED != _REQUIRED:
            return False
        self._doubt(exc)
        self._alarms_now = alarms & _ALARM_BITS
        return True

    def _is_stamp(self, end):
        """Say whether the line opens with a date and a time; the device's clock is not used."""
        line = self._line
        if end < _STAMP_SIZE or line[8] != _SPACE:
            return False
        return self._match(_STAMP_DATE, 0, 8) == VALID and self._match(_STAMP_TIME, 9, 17) == VALID

    def _field(self, at, stop):
        """Return the index in _FIELDS of the key at `at`, or -1."""
        line = self._line
        for index in range(len(_FIELDS)):
            key = _FIELDS[index][0]
            after = at + len(key)
            if after < stop and line.find(key, at, after) == at:
                return index
        return -1

    def _match(self, shape, at, stop):
        """Compare line[at:stop] with a shape, leaving its number in `_value`.

        Returns VALID, NO_VALUE for dashes in the same shape, -1 for anything else. Numbers wrap
        at 24 bits, so that a small board makes no long integers of serial numbers.
        """
        line = self._line
        self._value = 0
        value = digits = dashes = 0
        negative = False
        for want in shape:
            if at == stop:
                if want == 0x25 or want == 0x3F:
                    continue
                return -1
            byte = line[at]
            at += 1
            if want == 0x73:  # s
                if byte != _PLUS and byte != _DASH:
                    return -1
                negative = byte == _DASH
            elif want == 0x64:  # d
                if byte == _DASH:
                    dashes += 1
                elif 0x30 <= byte <= 0x39:
                    digits += 1
                    value = (10 * value + byte - 0x30) & 0xFFFFFF
                else:
                    return -1
            elif want == 0x68 or want == 0x3F:  # h, ?
                digit = hex_value(byte)
                if digit < 0:
                    return -1
                digits += 1
                value = (value << 4 | digit) & 0xFFFFFF
            elif byte != want:
                return -1
        if at != stop or (digits and dashes):
            return -1
        if dashes:
            return NO_VALUE
        self._value = -value if negative else value
        return VALID

    def _doubt(self, exc):
        """Take back or doubt every value, as the device's status asks."""
        observation = self._observation
        for index in range(observation.count):
            if exc & _EXC_NO_VALUE:
                observation.states[index] = NO_VALUE
                observation.values[index] = 0
            elif exc & _EXC_QUESTIONABLE and observation.states[index] == VALID:
                observation.states[index] = QUESTIONABLE
