"""What the decoders' tests share: captures, streams cut anywhere, events as plain values.

A capture is a file of bytes beside a .json of the events they mean. In .hex files "<" opens a line
of bytes from the device, ">" one of bytes to it, "#" a comment; .txt files are lines that end with
CR LF on the wire.
"""

import json

from bridge.core.codes import PARAMETERS
from bridge.core.events import NO_SAMPLE, Alarm, Damage, Identity, Observation, Wave
from bridge.core.protocols import make_decoder

CAPTURES = __file__.rsplit("/", 2)[0] + "/captures/"
_LABELS = {row[0]: row[1] for row in PARAMETERS}
_STATES = ("valid", "no value", "questionable", "over range", "under range")


def capture(name):
    """Return (bytes from the device, bytes to it, expected) of a capture such as "model/data"."""
    with open(CAPTURES + name + ".json") as file:
        expected = json.load(file)
    received = sent = b""
    try:
        with open(CAPTURES + name + ".txt") as file:
            return file.read().replace("\n", "\r\n").encode(), b"", expected
    except OSError:
        pass
    with open(CAPTURES + name + ".hex") as file:
        for line in file.read().split("\n"):
            if line.startswith("<"):
                received += bytes.fromhex(line[1:].strip())
            elif line.startswith(">"):
                sent += bytes.fromhex(line[1:].strip())
    return received, sent, expected


def decimal(value, decimals):
    if not decimals:
        return str(value)
    digits = str(abs(value))
    digits = "0" * (decimals + 1 - len(digits)) + digits
    return ("-" if value < 0 else "") + digits[:-decimals] + "." + digits[-decimals:]


def plain(event):
    """Return an event as a list of plain values, as captures spell it."""
    if isinstance(event, Observation):
        values = []
        for index in range(event.count):
            parameter = event.parameters[index]
            state = _STATES[event.states[index]]
            text = None
            if state != "no value":
                text = decimal(event.values[index], event.decimals[index])
            values.append([_LABELS.get(parameter, parameter), text, state])
        return ["observation", event.unit, event.group, values]
    if isinstance(event, Alarm):
        facts = [event.unit, event.page, event.code, event.priority, event.active, event.text]
        facts.insert(0, "alarm")
        return facts
    if isinstance(event, Wave):
        samples = [None if s == NO_SAMPLE else s for s in event.samples[: event.count]]
        label = _LABELS.get(event.parameter, event.parameter)
        return ["wave", event.unit, label, event.decimals, event.period_us, samples]
    if isinstance(event, Identity):
        return ["identity", event.unit, event.text]
    assert isinstance(event, Damage), event
    return ["damage", event.kind, event.count]


def drain(decoder):
    """Return all events that the bytes already there mean."""
    found = []
    event = decoder.next_event()
    while event is not None:
        found.append(plain(event))
        event = decoder.next_event()
    return found


def decode(decoder, data, size=None):
    """Feed data in pieces of `size` bytes, as they fit, and return all events."""
    found = []
    at = 0
    while at < len(data):
        end = len(data) if size is None else min(at + size, len(data))
        taken = decoder.rx.feed(data[at:end])
        assert taken, "stuck with a full buffer"
        at += taken
        found += drain(decoder)
    return found


def capture_events(name, path, options):
    """Return what a driver says to a capture; ">" lines are what it is waited for to ask."""
    decoder = make_decoder(name, options)
    now_ms = 1000
    found = []
    with open(path) as file:
        for line in file.read().split("\n"):
            if line.startswith(">"):
                now_ms = _until_asked(decoder, bytes.fromhex(line[1:].strip()), now_ms)
            elif line.startswith("<"):
                now_ms += 20
                found += decode(decoder, bytes.fromhex(line[1:].strip()))
    return found


def _until_asked(decoder, request, now_ms):
    for _ in range(1000):
        asked = decoder.next_request(now_ms)
        if asked is not None and bytes(asked) == request:
            return now_ms
        now_ms += 20
        drain(decoder)
    raise AssertionError("it never asks that: " + repr(request))


def readings(events):
    return [event for event in events if event[0] != "damage"]


def damage(events):
    """Return {kind: total} of the damage among events."""
    totals = {}
    for event in events:
        if event[0] == "damage":
            totals[event[1]] = totals.get(event[1], 0) + event[2]
    return totals


class Noise:
    """Bytes from a fixed seed, the same on both interpreters (xorshift32)."""

    def __init__(self, seed):
        self._state = seed

    def number(self, below):
        state = self._state
        state ^= state << 13 & 0xFFFFFFFF
        state ^= state >> 17
        state ^= state << 5 & 0xFFFFFFFF
        self._state = state
        return state % below

    def bytes(self, count):
        out = bytearray(count)
        for index in range(count):
            out[index] = self.number(256)
        return bytes(out)
