"""The tags of the runs that a prefix came in, kept beside it until a seal vouches for all of it.

    offset u16 | length u16 | tag 8      for each run, little-endian

With them another site can check those bytes as if they came from the gateway itself. Pure.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from bridge.core import wire
from bridge.core.journal import layout
from vitalkeep.hub.sectors import Place

_TAG = struct.Struct(f"<HH{wire.RUN_TAG}s")
_HEAD = struct.Struct("<B8sIH")  # of a run: version, log, sector, offset


class TaggedSpan(NamedTuple):
    """Bytes `offset` to `end` of a sector came as one run, with this tag."""

    offset: int
    end: int
    tag: bytes


def pack_tag(offset: int, length: int, tag: bytes) -> bytes:
    return _TAG.pack(offset, length, tag)


def parse_tags(data: bytes) -> Iterator[TaggedSpan]:
    for offset, length, tag in _TAG.iter_unpack(data[: len(data) // _TAG.size * _TAG.size]):
        yield TaggedSpan(offset, offset + length, tag)


def payloads(
    place: Place, prefix: bytes, spans: list[TaggedSpan], behind: int
) -> list[bytes] | None:
    """Return the runs that carry a prefix from `behind` on, as its gateway sent them.

    Each is behind the one before or touches it; None when the tags of some bytes are not here.
    """
    found = []
    at = behind
    for span in sorted(spans, key=lambda span: (span.offset, -span.end)):
        if span.end <= at or span.end > len(prefix):
            continue
        blank = prefix[at : span.offset]
        if span.offset > at and not (span.offset == layout.SEAL_AT and not blank.strip(b"\xff")):
            return None
        head = _HEAD.pack(wire.WIRE_VERSION, place.log, place.sector, span.offset)
        found.append(head + prefix[span.offset : span.end] + span.tag)
        at = span.end
    return found if at >= len(prefix) else None


def place_of(gateway: bytes, cls: int, payload: bytes) -> Place | None:
    """Return which sector a run says to be of; its tag is for whoever has the key."""
    if len(payload) < _HEAD.size:
        return None
    _, log, sector, _ = _HEAD.unpack_from(payload)
    return Place(gateway, log, cls, sector)
