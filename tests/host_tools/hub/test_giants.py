"""Messages that are too large are passed over, however their bytes are cut."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.core import mqtt
from bridge.core.errors import ProtocolError
from vitalkeep.hub.giants import PatientDecoder

ROOM = 70_000  # a giant must be beyond 16,383 bytes, as the hub's bound is
TOPIC = "vk/0123456789abcdef/log/A"


def publish(size: int, packet_id: int) -> bytes:
    return bytes(mqtt.publish(TOPIC, b"x" * size, 1, packet_id))


def taken(stream: bytes, cuts: list[int], decoder: PatientDecoder) -> list[tuple[int, int]]:
    """Return (packet identifier, payload's size) of each packet that comes out."""
    found = []
    for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        piece = stream[start:stop]
        while piece:
            piece = piece[decoder.feed(piece) :]
            while (packet := decoder.next_packet()) is not None:
                found.append((packet.packet_id, len(packet.payload)))
    return found


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.sampled_from([0, 5, 100, 127, 16_000, 16_383, 20_000, 69_000, 70_001, 150_000]),
        max_size=5,
    ),
    st.data(),
)
def test_what_fits_arrives_and_giants_are_announced(sizes: list[int], data: st.DataObject) -> None:
    stream = b"".join(publish(size, 1 + place) for place, size in enumerate(sizes))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    decoder = PatientDecoder(ROOM)
    fits = [size if size < ROOM - 100 else 0 for size in sizes]
    assert taken(stream, cuts, decoder) == [(1 + n, size) for n, size in enumerate(fits)]
    assert decoder.giants == sum(size > ROOM - 100 for size in sizes)


def test_head_of_a_giant_may_come_byte_by_byte() -> None:
    stream = publish(100_000, 7) + publish(3, 8)
    decoder = PatientDecoder(ROOM)
    assert taken(stream, list(range(60)), decoder) == [(7, 0), (8, 3)]


def test_giants_of_other_kinds_and_endless_lengths_still_end_the_session() -> None:
    for head in (b"\x20\xff\xff\xff\x7f", b"\x30\xff\xff\xff\xff\x01"):
        with pytest.raises(ProtocolError):
            taken(head + bytes(100), [], PatientDecoder(ROOM))
