"""Masimo SET oximeters (Radical-7, Rad-8, Rad-87, Root), ASCII 1: a line a second, no request.

    MM/DD/YY HH:MM:SS SN=nnnnnnnnnn SPO2=nnn% BPM=nnn PI=nn.nn% ... ALARM=hhhh EXC=hhhhhh CR LF

Keys and their order differ by model, so a line is split on spaces and "="; no value is dashes in
the same shape. There is no checksum: a line counts only when it is whole, every key and value has
its shape, and every number is in its range. A digit that became another digit goes unseen.
Speed 9600 bit/s 8N1. Source: Masimo Rad-8 and Rad-87 operator's manuals; EXC bits by four public
sources, ALARM bits by one, found by experiment.
"""

from micropython import const

from bridge.core.digits import hex_number
from bridge.core.events import NO_VALUE, QUESTIONABLE, VALID, Alarm, Damage, Observation
from bridge.core.rxbuf import RxBuffer

_LF = const(0x0A)
_CR = const(0x0D)
_SPACE = const(0x20)
_DASH = const(0x2D)
_POINT = const(0x2E)
_LINE_MAX = const(240)

_EXC_NO_VALUE = const(0xEB)  # no or bad sensor, searching, off the patient, light, unrecognised
_EXC_QUESTIONABLE = const(0x414)  # low perfusion, interference, low signal

# key, parameter of codes.py, highest number in digits as they stand on the wire, digits, decimals
_KEYS = (
    (b"SPO2", 1, 100, 3, 0),
    (b"BPM", 2, 300, 3, 0),
    (b"PI", 3, 2000, 4, 2),
    (b"SPCO", 7, 1000, 3, 1),
    (b"SPMET", 8, 1000, 3, 1),
    (b"SPHB", 9, 300, 3, 1),
    (b"SPOC", 10, 99, 2, 0),
    (b"PVI", 11, 100, 3, 0),
    (b"DESAT", 12, 99, 2, 0),
    (b"PIDELTA", 13, 99, 2, 0),
)
_MUST_HAVE = const(3)  # SPO2 and BPM: bits of the first two keys
_SILENT_KEYS = (b"SN", b"RESVD", b"EXC1")

# bit of ALARM: phrase, priority
_ALARMS = (("SPO2 HIGH", 2), ("SPO2 LOW", 3), ("PULSE HIGH", 2), ("PULSE LOW", 2))


class MasimoDecoder:
    """Lines to observations; takes no options."""

    def __init__(self, options):
        self.rx = RxBuffer(2 * _LINE_MAX)
        self._observation = Observation(len(_KEYS))
        self._alarm = Alarm()
        self._damage = Damage()
        self._alarms = 0  # bits that are active at the device, as last told
        self._told = 0  # and as last reported
        self._exc = 0
        self._number = 0
        self._digits = 0

    def next_request(self, now_ms):
        """Return None: the device speaks by itself."""

    def next_event(self):
        """Return the next event, or None until more bytes arrive. Raises nothing."""
        if self._told != self._alarms:
            return self._next_alarm()
        rx = self.rx
        while True:
            end = rx.find(_LF)
            if end < 0:
                return self._broken(rx.count) if rx.count > _LINE_MAX else None
            size = end + 1
            if end and rx.data[end - 1] == _CR:
                end -= 1
            if end:
                break
            rx.drop(size)  # an empty line may follow each line
        if size > _LINE_MAX or not self._parse(rx.data, end):
            return self._broken(size)
        rx.drop(size)
        return self._observation

    def _broken(self, count):
        self.rx.drop(count)
        self._damage.kind = "format"
        self._damage.count = count
        return self._damage

    def _next_alarm(self):
        changed = self._told ^ self._alarms
        bit = 0
        while not changed >> bit & 1:
            bit += 1
        self._told ^= 1 << bit
        alarm = self._alarm
        alarm.code = bit
        alarm.text, alarm.priority = _ALARMS[bit]
        alarm.active = bool(self._alarms >> bit & 1)
        return alarm

    # --- one line ---

    def _parse(self, data, end):
        """Fill the observation from data[:end]; False when anything is out of shape."""
        if not _is_stamp(data, end):
            return False
        self._observation.begin(0, 0)
        self._exc = -1
        alarms = -1
        seen = 0
        at = 18
        while at < end:
            equals = at
            while equals < end and data[equals] != 0x3D:
                equals += 1
            stop = equals + 1
            while stop < end and data[stop] != _SPACE:
                stop += 1
            if equals >= end or stop == equals + 1:
                return False
            index = _key_index(data, at, equals)
            if index >= 0:
                if seen >> index & 1 or not self._value(data, equals + 1, stop, index):
                    return False
                seen |= 1 << index
            elif _equal(data, at, equals, b"EXC"):
                self._exc = _hex(data, equals + 1, stop, 6, 7)
                if self._exc < 0:
                    return False
            elif _equal(data, at, equals, b"ALARM"):
                alarms = _hex(data, equals + 1, stop, 4, 6)
                if alarms < 0:
                    return False
            elif not _is_silent(data, at, equals):
                return False
            at = stop + 1
        # A line that was cut ends before EXC.
        if seen & _MUST_HAVE != _MUST_HAVE or alarms < 0 or self._exc < 0:
            return False
        self._doubt()
        self._alarms = alarms & (1 << len(_ALARMS)) - 1
        return True

    def _value(self, data, start, stop, index):
        """Add the value of one key, "097%", "02.35%", "+00" or dashes; False for other shapes."""
        _, parameter, highest, width, decimals = _KEYS[index]
        if data[stop - 1] == 0x25:
            stop -= 1
        if start < stop and data[start] == 0x2B:
            start += 1
        digits = dashes = point = number = 0
        for at in range(start, stop):
            byte = data[at]
            if byte == _POINT and not point:
                point = at
            elif byte == _DASH:
                dashes += 1
            elif 0x30 <= byte <= 0x39:
                digits += 1
                number = 10 * number + byte - 0x30
            else:
                return False
        places = stop - 1 - point if point else 0
        if (digits and dashes) or digits + dashes != width or places != decimals:
            return False
        if dashes:
            return self._observation.add(parameter, 0, decimals, NO_VALUE)
        return number <= highest and self._observation.add(parameter, number, decimals, VALID)

    def _doubt(self):
        state = VALID
        if self._exc & _EXC_NO_VALUE:
            state = NO_VALUE
        elif self._exc & _EXC_QUESTIONABLE:
            state = QUESTIONABLE
        if state == VALID:
            return
        made = self._observation
        for index in range(made.count):
            if made.states[index] == VALID:
                made.states[index] = state
                if state == NO_VALUE:
                    made.values[index] = 0


_STAMP = b"00/00/00 00:00:00 "


def _is_stamp(data, end):
    """Say whether a line opens with a date and a time; the device's own clock is not used."""
    if end < len(_STAMP):
        return False
    for index in range(len(_STAMP)):
        want, byte = _STAMP[index], data[index]
        if want == 0x30:
            if not 0x30 <= byte <= 0x39:
                return False
        elif byte != want:
            return False
    return True


def _equal(data, start, stop, text):
    if stop - start != len(text):
        return False
    for index in range(len(text)):
        if data[start + index] != text[index]:
            return False
    return True


def _key_index(data, start, stop):
    for index in range(len(_KEYS)):
        if _equal(data, start, stop, _KEYS[index][0]):
            return index
    return -1


def _is_silent(data, start, stop):
    for index in range(len(_SILENT_KEYS)):
        if _equal(data, start, stop, _SILENT_KEYS[index]):
            return True
    return False


def _hex(data, start, stop, low, high):
    """Return the number that low to high hex digits say, -1 when they are no such thing."""
    return hex_number(data, start, stop) if low <= stop - start <= high else -1
