"""What holds for every driver, by the table: its cutting, its calm, and what it may send."""

import os
import random
import re
from importlib import import_module
from typing import Any

import pytest

from bridge.core.events import Damage
from bridge.core.protocols import PROTOCOLS
from hil.traffic import driver_of
from tests.support.decoding import damage, plain, readings
from tests.support.sendable import FORBIDDEN, SENDABLE
from tests.support.traffic import replay, traffic

NAMES = sorted(PROTOCOLS)
# Each driver meets so many random bytes, and so many of mutated frames.
FUZZ_BYTES = int(os.environ.get("VITALKEEP_FUZZ_BYTES", "30000"))
HOUR_MS = 3_600_000


@pytest.mark.parametrize("name", NAMES)
def test_readings_and_damage_are_the_same_however_the_bytes_are_cut(name: str) -> None:
    turns = list(traffic(name, 20.0).turns)
    draw = random.Random(name)
    speaking = [at for at, (_, data) in enumerate(turns) if len(data) > 2]
    for at in draw.sample(speaking, min(6, len(speaking) // 4)):  # and on spoilt bytes too
        now_ms, data = turns[at]
        spoilt = bytearray(data)
        spoilt[draw.randrange(len(spoilt))] = draw.randrange(256)
        turns[at] = now_ms, bytes(spoilt)
    whole = replay(name, turns, None)
    assert readings(whole)
    for size in (1, 2, 3, 7, 64):
        events = replay(name, turns, size)
        assert readings(events) == readings(whole), size
        assert damage(events) == damage(whole), size


def _feed(decoder: Any, data: bytes, now_ms: int) -> list[Any]:
    """Feed as a line does, and return plain events; raises when the driver is stuck."""
    events = []
    while data:
        taken = decoder.rx.feed(data)
        data = data[taken:]
        event = decoder.next_event()
        assert event is not None or taken, "its buffer is full and it goes no further"
        while event is not None:
            assert not isinstance(event, Damage) or event.count > 0
            events.append(plain(event))
            event = decoder.next_event()
    decoder.next_request(now_ms)
    return events


@pytest.mark.parametrize("name", NAMES)
def test_random_bytes_never_raise_and_nothing_grows(name: str) -> None:
    draw = random.Random(f"random {name}")
    decoder = driver_of(name)
    size = len(decoder.rx.data)
    for turn in range(FUZZ_BYTES // 200):
        _feed(decoder, draw.randbytes(200), 20 * turn)
    assert len(decoder.rx.data) == size


@pytest.mark.parametrize("name", NAMES)
def test_mutated_frames_never_raise(name: str) -> None:
    draw = random.Random(f"mutated {name}")
    turns = list(traffic(name).turns)
    decoder = driver_of(name)
    fed, now_ms = 0, 0
    while fed < FUZZ_BYTES:
        start_ms = now_ms
        for at_ms, data in turns:
            now_ms = start_ms + at_ms
            changed = bytearray(data)
            for _ in range(draw.randrange(3) if changed else 0):
                at = draw.randrange(len(changed))
                kind = draw.randrange(3)
                if kind == 0:
                    changed[at] ^= 1 << draw.randrange(8)
                elif kind == 1:
                    del changed[at]
                else:
                    changed.insert(at, draw.randrange(256))
                if not changed:
                    break
            fed += len(changed)
            _feed(decoder, bytes(changed), now_ms)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_sent_but_what_the_closed_table_has(name: str) -> None:
    allowed = [re.compile(pattern, re.DOTALL) for pattern in SENDABLE[name]]
    # A master on a bus sends the address first: the patterns judge alone.
    sends = getattr(import_module(PROTOCOLS[name][0]), "SENDS", (b"",))
    requests = {request for _, request in traffic(name).requests}
    requests |= _when_provoked(name) | _goodbye(name)
    if not sends:
        assert requests == set()
    for request in requests:
        assert any(pattern.fullmatch(request) for pattern in allowed), request
        assert any(request.startswith(entry) for entry in sends), request
    for command in FORBIDDEN[name]:
        assert not any(pattern.fullmatch(command) for pattern in allowed), command


def _when_provoked(name: str) -> set[bytes]:
    """Return what a driver sends to silence, to noise, to mutated answers and to its own echo."""
    draw = random.Random(f"provoked {name}")
    answers = [data for _, data in traffic(name).turns if data]
    found: set[bytes] = set()
    decoder = driver_of(name)
    now_ms = 0
    while now_ms < HOUR_MS // 4:
        now_ms += draw.choice((10, 50, 300, 1500))
        request = decoder.next_request(now_ms)
        data = b""
        if request is not None:
            found.add(bytes(request))
            data = draw.choice((b"", bytes(request), draw.choice(answers), draw.randbytes(20)))
        elif draw.random() < 0.2:
            changed = bytearray(draw.choice(answers))
            changed[draw.randrange(len(changed))] = draw.randrange(256)
            data = bytes(changed)
        while data:
            data = data[decoder.rx.feed(data) :]
            while decoder.next_event() is not None:
                pass
    return found


def _goodbye(name: str) -> set[bytes]:
    """Return what a driver says when it leaves a device in the midst of a session."""
    decoder = driver_of(name)
    if not hasattr(decoder, "goodbye"):
        return set()
    assert decoder.goodbye() is None, "to a device that it has not met"
    decoder = driver_of(name)
    for now_ms, data in traffic(name).turns[:2000]:
        _feed(decoder, data, now_ms)
    return {bytes(decoder.goodbye())}


@pytest.mark.parametrize("name", NAMES)
def test_a_driver_says_how_its_line_is_set(name: str) -> None:
    ports = import_module(PROTOCOLS[name][0]).PORTS
    assert ports and all(re.fullmatch(r"\d{3,6} [78][NEO][12]", port) for port in ports)
