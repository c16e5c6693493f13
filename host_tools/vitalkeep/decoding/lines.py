"""A decoder's events as JSON lines. Runs on both interpreters, and as a script under MicroPython:

    micropython lines.py ORDER.json

ORDER.json names the protocol, its options, and pieces in order: whether it was sent to the
device, and the bytes in hexadecimal.
"""

import json
import sys

from bridge.core import codes
from bridge.core.events import (
    NO_SAMPLE,
    NO_VALUE,
    Alarm,
    Damage,
    Identity,
    Observation,
    Wave,
)
from bridge.core.protocols import make_decoder

STATES = ("valid", "no-value", "questionable", "over-range", "under-range")
_PARAMETERS = {row[0]: row for row in codes.PARAMETERS}
_PIECE = 64  # bytes that are fed at once
_PIECE_MS = 100
_ASK_TRIES = 600  # a minute of the driver's time


def _quote(value):
    try:
        return json.dumps(value, ensure_ascii=False)
    except TypeError:
        return json.dumps(value)  # MicroPython, which knows no other way


def _decimal(value, decimals):
    if not decimals:
        return str(value)
    digits = str(abs(value))
    digits = "0" * (decimals + 1 - len(digits)) + digits
    return ("-" if value < 0 else "") + digits[:-decimals] + "." + digits[-decimals:]


def _line(pairs):
    # Dictionaries have no order on MicroPython; a line has.
    return "{" + ", ".join('"%s": %s' % (name, value) for name, value in pairs) + "}"


def _named(parameter):
    known = _PARAMETERS.get(parameter)
    label, mdc, code, unit = known[1:5] if known else ("#%d" % parameter, "", 0, "")
    return [
        ("parameter", _quote(label)),
        ("mdc", _quote(mdc or None)),
        ("mdc_code", _quote(code or None)),
        ("ucum", _quote(unit)),
    ]


def _value(event, index):
    state = event.states[index]
    text = None
    if state != NO_VALUE:
        text = _decimal(event.values[index], event.decimals[index])
    named = _named(event.parameters[index])
    return _line(named + [("value", _quote(text)), ("state", _quote(STATES[state]))])


def describe(event):
    """Return one event as a line of JSON."""
    if isinstance(event, Observation):
        values = ", ".join(_value(event, index) for index in range(event.count))
        return _line(
            [
                ("event", '"observation"'),
                ("unit", event.unit),
                ("group", event.group),
                ("values", "[" + values + "]"),
            ]
        )
    if isinstance(event, Wave):
        samples = []
        for index in range(event.count):
            sample = event.samples[index]
            samples.append(None if sample == NO_SAMPLE else sample)
        return _line(
            [("event", '"wave"'), ("unit", event.unit)]
            + _named(event.parameter)
            + [
                ("decimals", event.decimals),
                ("period_us", event.period_us),
                ("samples", _quote(samples)),
            ]
        )
    if isinstance(event, Alarm):
        return _line(
            [
                ("event", '"alarm"'),
                ("unit", event.unit),
                ("page", event.page),
                ("code", event.code),
                ("priority", event.priority),
                ("active", _quote(event.active)),
                ("text", _quote(event.text)),
            ]
        )
    if isinstance(event, Identity):
        return _line([("event", '"identity"'), ("unit", event.unit), ("text", _quote(event.text))])
    if isinstance(event, Damage):
        return _line([("event", '"damage"'), ("kind", _quote(event.kind)), ("count", event.count)])
    raise TypeError("no such event: %r" % event)


def decode(name, options, pieces):
    """Yield a line for each event that the pieces of a capture mean.

    options  as in the line's configuration
    pieces   iterable of (whether it was sent to the device, bytes)
    """
    follower = Follower(name, options)
    for sent, piece in pieces:
        yield from follower.feed(sent, piece)


class Follower:
    """A driver that is given a line's bytes as they come.

    What was sent is what the driver is waited for to ask, so that it knows which answer comes
    next; without it the driver asks what it would have asked.
    """

    def __init__(self, name, options):
        self._name = name
        self._decoder = make_decoder(name, options)
        self._now_ms = 1000
        self._in_step = False

    def feed(self, sent, piece):
        """Yield a line for each event that a piece completes."""
        decoder = self._decoder
        if sent:
            self._ask(piece)
            return
        for start in range(0, len(piece), _PIECE):
            if not self._in_step:
                decoder.next_request(self._now_ms)
            self._now_ms += _PIECE_MS
            part = piece[start : start + _PIECE]
            at = 0
            while at < len(part):
                taken = decoder.rx.feed(part[at:])
                at += taken
                event = decoder.next_event()
                if event is None and not taken:
                    text = "%s: its buffer is full and it goes no further"
                    raise ValueError(text % self._name)
                while event is not None:
                    yield describe(event)
                    event = decoder.next_event()

    def _ask(self, request):
        """Let time pass until the driver asks this.

        What it asks before that gets no answer here, and none was in the capture: not told.
        """
        self._in_step = False
        for _ in range(_ASK_TRIES):
            asked = self._decoder.next_request(self._now_ms)
            if asked is not None and bytes(asked) == request:
                self._in_step = True
                return
            self._now_ms += _PIECE_MS
            while self._decoder.next_event() is not None:
                pass


def main():
    with open(sys.argv[1]) as file:
        order = json.load(file)
    pieces = [(sent, bytes.fromhex(piece)) for sent, piece in order["pieces"]]
    for line in decode(order["name"], order["options"], pieces):
        print(line)


if __name__ == "__main__":
    main()
