"""Real traffic with its bytes changed, again and again: what gets through, and what it breaks.

A value is false when the device never gave it in all of that traffic. A changed value that is by
chance another true one is not seen; for what a checksum lets through that makes little difference.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from typing import Any

from bridge.core.codes import PARAMETERS
from bridge.core.events import NO_VALUE, Damage, Observation
from hil.rehearsal import Rehearsal
from hil.traffic import driver_of, traffic_of

_LABELS = {row[0]: row[1] for row in PARAMETERS}
_SECONDS = 60.0
_CHANGED = 0.5  # of the messages, once a session stands
_CHANGED_AT_FIRST = 0.05
_FIRST_MS = 10000
_CHANGES = 3
_BURST = 20
_SILENT_TURNS = 3  # between two messages


@dataclass
class Outcome:
    """What one protocol's driver made of it.

    random_bytes    that were fed, of no device
    random_values   observations that it made of those
    frames          messages that were changed; about as many were not
    values          values that were read in them all
    false_values    of these, that no device gave
    damaged_bytes   that were told as damage
    """

    protocol: str
    random_bytes: int = 0
    random_values: int = 0
    frames: int = 0
    values: int = 0
    false_values: int = 0
    damaged_bytes: int = 0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def _values(event: Any) -> list[tuple[Any, str | None]]:
    """Return (label, text) of each value of an event."""
    if not isinstance(event, Observation):
        return []
    found: list[tuple[Any, str | None]] = []
    for index in range(event.count):
        text = None
        if event.states[index] != NO_VALUE:
            text = f"{event.values[index]}e-{event.decimals[index]}"
        found.append((_LABELS.get(event.parameters[index], event.parameters[index]), text))
    return found


def _changed(data: bytes, draw: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(draw.randint(1, _CHANGES)):
        if not out:
            break
        at = draw.randrange(len(out))
        kind = draw.randrange(5)
        if kind == 0:
            out[at] ^= 1 << draw.randrange(8)
        elif kind == 1:
            out[at] = draw.randrange(256)
        elif kind == 2:
            del out[at]
        elif kind == 3:
            out.insert(at, draw.randrange(256))
        else:
            out[at : at + draw.randrange(_BURST)] = draw.randbytes(draw.randrange(_BURST))
    return bytes(out)


def fuzz(name: str, frames: int, random_bytes: int, seed: int) -> Outcome:
    """Feed a driver random bytes, then so many changed messages; raises what the driver raises."""
    outcome = Outcome(name)
    draw = random.Random(f"{name} {seed}")
    driver = driver_of(name)
    now_ms = 0
    while outcome.random_bytes < random_bytes:
        now_ms += 20
        data = draw.randbytes(256)
        outcome.random_bytes += len(data)
        outcome.random_values += len(_feed(driver, data, now_ms, outcome))
    traffic = traffic_of(name, _SECONDS, seed, _values)
    true = {value for values in traffic.events for value in values}
    messages = messages_of(traffic)
    while outcome.frames < frames:
        driver = driver_of(name)
        for now_ms, data in messages:
            chance = _CHANGED_AT_FIRST if now_ms < _FIRST_MS else _CHANGED
            if data and draw.random() < chance:
                data = _changed(data, draw)
                outcome.frames += 1
            for value in _feed(driver, data, now_ms, outcome):
                outcome.values += 1
                outcome.false_values += value not in true and value[1] is not None
    return outcome


def messages_of(traffic: Rehearsal) -> list[tuple[int, bytes]]:
    """Return the turns that matter: whole messages, each at its end, and those with a request.

    The silent rest only lets time pass, and there is a hundred times as much of it.
    """
    asked = {round(1000 * at_s) for at_s, _ in traffic.requests}
    found: list[tuple[int, bytes]] = []
    message, silent = b"", 0
    for now_ms, data in traffic.turns:
        message += data
        silent = 0 if data else silent + 1
        if now_ms in asked or silent == _SILENT_TURNS:
            if message or now_ms in asked:
                found.append((now_ms, message))
            message = b""
    return [*found, (traffic.turns[-1][0], message)]


def _feed(driver: Any, data: bytes, now_ms: int, outcome: Outcome) -> list[tuple[Any, str | None]]:
    found: list[tuple[Any, str | None]] = []
    while True:
        taken = driver.rx.feed(data)
        data = data[taken:]
        event = driver.next_event()
        while event is not None:
            if isinstance(event, Damage):
                outcome.damaged_bytes += event.count
            found += _values(event)
            event = driver.next_event()
        if not data:
            break
    driver.next_request(now_ms)
    return found
