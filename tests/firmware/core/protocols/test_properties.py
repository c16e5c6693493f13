"""What holds for every decoder, whatever the bytes and however they are cut."""

from collections.abc import Callable
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.core.checks import crc16_modbus
from bridge.core.protocols import PROTOCOLS, make_decoder
from tests.support.decoding import capture, drain, facts, observations

ITEM = {"offset": 0, "type": "u16", "parameter": 96, "decimals": 1}
BLOCK = {"function": 4, "start": 0, "count": 3, "items": [ITEM]}
OPTIONS: dict[str, dict[str, Any]] = {
    "draeger_medibus": {},
    "masimo_set": {},
    "modbus_rtu": {"units": [{"address": 17, "blocks": [BLOCK]}]},
}
GOOD = {
    "draeger_medibus": ("measured", "settings", "alarm", "identity"),
    "masimo_set": ("normal", "sensor_off", "low_perfusion"),
    "modbus_rtu": ("registers", "exception"),
}


def ready(name: str) -> Any:
    """Return a decoder that waits for an answer, if it is one that asks."""
    decoder = make_decoder(name, OPTIONS[name])
    now_ms = 0
    for _ in range(40):
        request = decoder.next_request(now_ms)
        if request is not None and name == "draeger_medibus" and request[1] != 0x24:
            body = bytes((1, request[1]))
            decoder.rx.feed(body + b"%02X\r" % (sum(body) & 0xFF))
            drain(decoder)
        elif request is not None:
            break
        now_ms += 100
    return decoder


def run(name: str, pieces: list[bytes]) -> list[Any]:
    decoder = ready(name)
    found = []
    for piece in pieces:
        while piece:
            piece = piece[decoder.rx.feed(piece) :]
            while (event := decoder.next_event()) is not None:
                found.append(facts(event))
            assert decoder.rx.count < len(decoder.rx.data), "the buffer is stuck"
    return found


def total(events: list[Any]) -> tuple[list[Any], int]:
    damage = sum(event[2] for event in events if event[0] == "damage")
    return [event for event in events if event[0] != "damage"], damage


def streams(name: str) -> st.SearchStrategy[bytes]:
    captures = [capture(f"{name}/{good}")[0] for good in GOOD[name]]
    part = st.one_of(st.sampled_from(captures), st.binary(max_size=60))
    return st.lists(part, max_size=8).map(b"".join)


def test_every_protocol_is_tried() -> None:
    assert set(OPTIONS) == set(GOOD) == set(PROTOCOLS)


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_events_are_the_same_however_the_bytes_are_cut(name: str) -> None:
    @settings(deadline=None, max_examples=150)
    @given(streams(name), st.lists(st.integers(1, 400), max_size=12))
    def holds(data: bytes, cuts: list[int]) -> None:
        edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
        pieces = [data[a:b] for a, b in pairwise(edges)]
        whole = run(name, [data[at : at + 1] for at in range(len(data))])
        assert total(run(name, pieces)) == total(whole)

    holds()


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_mutated_frames_never_raise(name: str) -> None:
    good = capture(f"{name}/{GOOD[name][0]}")[0]

    @settings(deadline=None, max_examples=300)
    @given(st.lists(st.tuples(st.integers(0, len(good) - 1), st.integers(0, 255)), max_size=6))
    def holds(changes: list[tuple[int, int]]) -> None:
        data = bytearray(good)
        for at, byte in changes:
            data[at] = byte
        run(name, [bytes(data)])

    holds()


def test_false_values_pass_only_at_the_rate_of_the_checksum() -> None:
    """Count them: 16 bits for Modbus, 8 for MEDIBUS, which no driver can better."""
    draw = Random(1)
    rates: dict[str, Callable[[], bytes]] = {
        "modbus_rtu": lambda: b"\x11\x04\x06" + draw.randbytes(8),
        "draeger_medibus": lambda: (
            b"\x01$7D" + draw.randbytes(4) + b"%02X\r" % draw.randrange(256)
        ),
    }
    limits = {"modbus_rtu": 2, "draeger_medibus": 40}
    for name, spoil in rates.items():
        false = 0
        for _ in range(4000):
            false += len(observations(run(name, [spoil()])))
        assert false <= limits[name], name
    assert crc16_modbus(b"123456789", 0, 9) == 0x4B37
