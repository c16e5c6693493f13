"""Runs decoders over captures, on both interpreters."""

import json

from bridge.core.events import Alarm, Damage, Identity, Observation


def capture(path):
    """Return (bytes, events) of tests/captures/<path>.hex and .json."""
    base = __file__.rsplit("/", 2)[0] + "/captures/" + path
    with open(base + ".hex") as file:
        data = bytes(int(word, 16) for word in file.read().split())
    with open(base + ".json") as file:
        return data, json.load(file)


def facts(event):
    """Return what an event says as plain lists, before the decoder fills it anew."""
    if isinstance(event, Observation):
        rows = []
        for index in range(event.count):
            rows.append(
                [
                    event.parameters[index],
                    event.values[index],
                    event.decimals[index],
                    event.states[index],
                ]
            )
        return ["observation", event.unit, event.group, rows]
    if isinstance(event, Alarm):
        return ["alarm", event.page, event.code, event.priority, event.active, event.text]
    if isinstance(event, Identity):
        return ["identity", event.text]
    assert isinstance(event, Damage)
    return ["damage", event.kind, event.count]


def drain(decoder):
    """Return the facts of every event that is ready."""
    found = []
    event = decoder.next_event()
    while event is not None:
        found.append(facts(event))
        event = decoder.next_event()
    return found


def feed(decoder, data, size=None):
    """Feed bytes in pieces of `size` and return the facts of all events."""
    found = []
    size = size or max(1, len(data))
    for start in range(0, len(data), size):
        piece = data[start : start + size]
        while piece:
            taken = decoder.rx.feed(piece)
            piece = piece[taken:]
            found += drain(decoder)
    return found


def observations(events):
    return [event for event in events if event[0] == "observation"]


def damaged(events):
    """Return the number of damaged bytes."""
    return sum(event[2] for event in events if event[0] == "damage")


class Random:
    """Repeatable bytes, the same on both interpreters."""

    def __init__(self, seed):
        self._state = seed or 1

    def below(self, limit):
        self._state = (self._state * 1103515245 + 12345) & 0x3FFFFFFF
        return (self._state >> 8) % limit

    def bytes(self, count):
        return bytes(self.below(256) for _ in range(count))
