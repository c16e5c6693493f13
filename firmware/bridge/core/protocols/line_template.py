"""Devices that print text: lines that are matched with patterns of the configuration.

A pattern is the line's text with "{}" for each field: "SpO2={} PR={}". Between two fields stands
at least one character; a blank in a pattern matches one or more blanks. A field ends where the
text that follows it begins. A line counts only when one pattern fits the whole of it and every
field is a number in its range, or one of the texts that mean no value. Nothing is ever sent.
Speed by device.

    {"lines": [{"pattern": "SpO2={} PR={}", "fields": [
                    {"parameter": 1, "low": 0, "high": 100, "none": ["---"]}, {"parameter": 2}]}],
     "ignore": ["TIME"], "check": "xor8"}
"""

from micropython import const

from bridge.core.checks import sum8, xor8
from bridge.core.digits import Decimal, any_hex_pair
from bridge.core.errors import ConfigError
from bridge.core.events import NO_VALUE, VALID, Damage, Observation
from bridge.core.options import choice, items, number, only, text
from bridge.core.protocols.textline import NOTHING, TOO_LONG, TextLines

PORTS = ("9600 8N1", "9600 7E1", "4800 8N1", "2400 8N1", "1200 8N1", "19200 8N1", "38400 8N1")
SENDS = ()

_RX_SIZE = const(384)
_LINE_MAX = const(250)
_LINES_MAX = const(8)
_FIELDS_MAX = const(24)
_TEXTS_MAX = const(8)
_IGNORE_MAX = const(16)
_LIMIT = const(1000000)
_SPACE = const(0x20)
_CHECKS = ("none", "sum8", "xor8")  # of all that stands before the last two digits
_SKIPPED = const(0)


class _Field:
    def __init__(self, options, where):
        only(options, ("parameter", "low", "high", "none"), where)
        self.parameter = number(options, "parameter", _SKIPPED, 0xFFFF, where)
        self.low = number(options, "low", -_LIMIT, _LIMIT, where, -_LIMIT)
        self.high = number(options, "high", -_LIMIT, _LIMIT, where, _LIMIT)
        if self.low > self.high:
            raise ConfigError("%s: low is above high" % where)
        texts = items(options, "none", _TEXTS_MAX, where, ("---", "--", "-"))
        if not all(isinstance(entry, str) for entry in texts):
            raise ConfigError("%s: none: want texts" % where)
        self.none = [entry.encode() for entry in texts]


class _Pattern:
    def __init__(self, options, group, where):
        only(options, ("pattern", "fields"), where)
        self.group = group
        parts = text(options, "pattern", _LINE_MAX, where).split("{}")
        entries = items(options, "fields", _FIELDS_MAX, where)
        if len(parts) != len(entries) + 1:
            raise ConfigError("%s: %d fields in the pattern, %d described" % (
                where, len(parts) - 1, len(entries)))  # fmt: skip
        if not all(parts[1:-1]):
            raise ConfigError("%s: two fields without a character between them" % where)
        self.literals = [part.encode() for part in parts]
        self.fields = [
            _Field(entry, "%s field %d" % (where, index)) for index, entry in enumerate(entries)
        ]


class LineDecoder:
    """Lines to observations; the group is the pattern's place in the list.

    options  as above; "check" is "none", "sum8" or "xor8", two hex digits at the line's end,
             default "none"; lines that begin with one of "ignore" are passed over
    """

    def __init__(self, options):
        where = "line_template"
        only(options, ("lines", "ignore", "check"), where)
        self._patterns = [
            _Pattern(entry, group, "%s: line %d" % (where, group))
            for group, entry in enumerate(items(options, "lines", _LINES_MAX, where))
        ]
        self._check = choice(options, "check", _CHECKS, "none", where)
        ignore = options.get("ignore", ())
        if (
            not isinstance(ignore, (list, tuple))
            or len(ignore) > _IGNORE_MAX
            or not all(isinstance(entry, str) and entry for entry in ignore)
        ):
            raise ConfigError("%s: ignore: want at most %d texts" % (where, _IGNORE_MAX))
        self._ignore = [entry.encode() for entry in ignore]
        self._lines = TextLines(_RX_SIZE, _LINE_MAX)
        self.rx = self._lines.rx
        self._line = self._lines.line
        self._observation = Observation(_FIELDS_MAX)
        self._number = Decimal()
        self._damage = Damage()

    def next_request(self, now_ms):
        """Return None: the device speaks by itself."""

    def next_event(self):
        """Return the next event, or None until more bytes arrive. Raises nothing."""
        while True:
            found = self._lines.next()
            if found == NOTHING:
                return None
            if found == TOO_LONG:
                return self._damage.of("length", self._lines.skipped)
            size = self._lines.size
            if self._is_ignored(size):
                continue
            end = size
            if self._check:
                end = size - 2
                check = sum8 if _CHECKS[self._check] == "sum8" else xor8
                if end < 0 or any_hex_pair(self._line, end) != check(self._line, 0, end):
                    return self._damage.of("check", size)
            for pattern in self._patterns:
                if self._match(pattern, end):
                    return self._observation
            return self._damage.of("format", size)

    def _is_ignored(self, size):
        for entry in self._ignore:
            if size >= len(entry) and self._line.find(entry, 0, len(entry)) == 0:
                return True
        return False

    def _match(self, pattern, end):
        """Fill the observation from line[:end]; False when the pattern does not fit."""
        line = self._line
        while end and line[end - 1] == _SPACE:
            end -= 1
        observation = self._observation
        observation.begin(0, pattern.group)
        at = self._skip(pattern.literals[0], 0, end)
        for index in range(len(pattern.fields)):
            if at < 0:
                return False
            literal = pattern.literals[index + 1]
            stop = self._find(literal, at, end) if literal else end
            if stop < 0 or not self._value(pattern.fields[index], at, stop):
                return False
            at = self._skip(literal, stop, end)
        return at == end

    def _skip(self, literal, at, end):
        """Return where `literal` ends that begins at `at`, -1 when it does not stand there."""
        line = self._line
        for byte in literal:
            if byte == _SPACE:
                if at == end or line[at] != _SPACE:
                    return -1
                while at < end and line[at] == _SPACE:
                    at += 1
            elif at == end or line[at] != byte:
                return -1
            else:
                at += 1
        return at

    def _find(self, literal, at, end):
        """Return where `literal` next begins behind a field that has something in it, or -1."""
        while at < end and self._line[at] == _SPACE:
            at += 1
        for start in range(at + 1, end + 1):
            if self._skip(literal, start, end) >= 0:
                return start
        return -1

    def _value(self, field, at, stop):
        line = self._line
        while at < stop and line[at] == _SPACE:
            at += 1
        while stop > at and line[stop - 1] == _SPACE:
            stop -= 1
        if field.parameter == _SKIPPED:
            return True
        for entry in field.none:
            if len(entry) == stop - at and line.find(entry, at, stop) == at:
                return self._observation.add(field.parameter, 0, 0, NO_VALUE)
        found = self._number
        if not found.read(line, at, stop):
            return False
        scale = 10**found.decimals
        if not field.low * scale <= found.value <= field.high * scale:
            return False
        return self._observation.add(field.parameter, found.value, found.decimals, VALID)
