"""Every message between two hubs: bytes and JSON on the one side, checked values on the other.

The drawing is docs/formats/exchange.md. Nothing here trusts its input: a peer that speaks
nonsense is a PeerError with a few words, whatever it sent.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.core.journal import layout
from vitalkeep.hub import sectors
from vitalkeep.hub.batch import Sealed
from vitalkeep.hub.exchange.plan import Holding, Want
from vitalkeep.hub.exchange.ranges import Ranges
from vitalkeep.hub.sectors import Place, Stream

VERSION = 1
ASK_MAX = 64  # sectors in one question
PROVE_MAX = 256  # sectors in one challenge
HEADS_MAX = 500
LOGS_MAX = 1 << 18  # classes of logs that a site has something of
RANGES_MAX = 1 << 20  # pairs and parts in all that it says of them
REQUEST_MAX = 4 * 1024 * 1024
ANSWER_MAX = 8 * 1024 * 1024  # whoever sends more is hung up on
FRAME_MAX = 8192
NONCE_SIZE = 16
DIGEST_SIZE = 16
SECTOR_MAX = 2**32 - 1

_ID = 8
_STATES = range(5)
_PLACE = struct.Struct("<8s8sBI")
_SEALED = struct.Struct("<B16sH")
_LENGTH = struct.Struct("<I")
_SEALED_KIND, _RUN_KIND, _NONE_KIND = b"S", b"R", b"N"


def prefix_digest(prefix: bytes) -> bytes:
    """Return what says in a question, and in a receipt, which bytes somebody has."""
    return hashlib.sha256(prefix).digest()[:8]


class PeerError(Exception):
    """A peer did not answer, or said what makes no sense; the message says so in a few words."""


class RefusedError(PeerError):
    """A peer answered, and refused one question."""


# --- JSON, checked ---


def dump(fields: dict[str, Any]) -> bytes:
    return json.dumps({"v": VERSION} | fields, separators=(",", ":")).encode()


def parse(body: bytes) -> dict[str, Any]:
    """Return the fields of a message; raises PeerError."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise PeerError("not JSON") from None
    if not isinstance(fields, dict) or fields.get("v") != VERSION:
        raise PeerError(f"not version {VERSION} of the exchange")
    return fields


def whole(value: Any, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise PeerError(f"{value!r:.20}, want {low} to {high}")
    return value


def rows(value: Any, most: int = 1 << 20) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise PeerError(f"want a list of at most {most}")
    return value


def row(value: Any, size: int) -> list[Any]:
    if not isinstance(value, list) or len(value) != size:
        raise PeerError(f"want a list of {size}")
    return value


def octets(value: Any, size: int) -> bytes:
    """Return bytes written as hex digits."""
    try:
        found = binascii.unhexlify(value)
    except (TypeError, ValueError):
        found = b""
    if len(found) != size:
        raise PeerError(f"{value!r:.40}, want {2 * size} hex digits")
    return found


def stream_of(values: Sequence[Any]) -> Stream:
    cls = whole(values[2], 0, len(layout.CLASSES) - 1)
    return octets(values[0], _ID), octets(values[1], _ID), cls


def _named(stream: Stream) -> list[Any]:
    return [stream[0].hex(), stream[1].hex(), stream[2]]


@dataclass(frozen=True)
class Speaker:
    """Who says it: the site, and the epoch of its store; 8 bytes each."""

    site: bytes
    epoch: bytes

    def fields(self) -> dict[str, Any]:
        return {"site": self.site.hex(), "epoch": self.epoch.hex()}

    @classmethod
    def parse(cls, fields: dict[str, Any]) -> Speaker:
        return cls(octets(fields.get("site"), _ID), octets(fields.get("epoch"), _ID))


# --- summary: what a site has ---


@dataclass(frozen=True)
class Summary:
    """News of what a site has since a version.

    instance  of the counting: another one makes all versions void
    names     logs that were numbered since; the first of them has the number `first`
    holdings  by number
    more      there is more news already
    """

    speaker: Speaker
    instance: bytes
    version: int
    more: bool
    first: int
    names: list[Stream]
    holdings: dict[int, Holding]


def pack_summary(summary: Summary) -> bytes:
    held = [
        [
            number,
            holding.sealed.pairs(),
            [[sector, *part] for sector, part in holding.parts.items()],
        ]
        for number, holding in summary.holdings.items()
    ]
    return dump(
        summary.speaker.fields()
        | {
            "instance": summary.instance.hex(),
            "version": summary.version,
            "more": summary.more,
            "first": summary.first,
            "names": [_named(stream) for stream in summary.names],
            "held": held,
        }
    )


def parse_summary(body: bytes) -> Summary:
    fields = parse(body)
    holdings = {}
    for item in rows(fields.get("held")):
        number, pairs, parts = row(item, 3)
        holdings[whole(number, 0, LOGS_MAX)] = _holding(rows(pairs), rows(parts))
    return Summary(
        Speaker.parse(fields),
        octets(fields.get("instance"), _ID),
        whole(fields.get("version"), 0, 1 << 62),
        fields.get("more") is True,
        whole(fields.get("first"), 0, LOGS_MAX),
        [stream_of(row(item, 3)) for item in rows(fields.get("names"))],
        holdings,
    )


def _holding(pairs: list[Any], parts: list[Any]) -> Holding:
    sealed = Ranges()
    for pair in pairs:
        first, last = row(pair, 2)
        # In order, as every hub says them: else each one in front moves all that are behind it.
        sealed.add(whole(first, sealed.newest + 1, SECTOR_MAX), whole(last, first, SECTOR_MAX))
    made = Holding(sealed)
    for item in parts:
        sector, length, state = row(item, 3)
        part = (whole(length, 0, layout.SECTOR_SIZE), whole(state, 0, len(_STATES) - 1))
        if part[1] != sectors.PROVEN and sector not in sealed:
            made.parts[whole(sector, 0, SECTOR_MAX)] = part
    return made


# --- question: which sectors, and where their prefixes end here ---


@dataclass(frozen=True)
class Asked:
    """One sector that is asked for: all of it, or its runs behind a prefix with this digest."""

    place: Place
    sealed: bool
    length: int
    digest: bytes


def pack_question(wants: Iterable[tuple[Want, bytes]]) -> bytes:
    """Return the question for wants, each with 8 bytes of SHA-256 of the prefix we have."""
    asked = [
        [*_named(want.place[:3]), want.place.sector, int(want.sealed), want.length, digest.hex()]
        for want, digest in wants
    ]
    return dump({"want": asked})


def parse_question(body: bytes) -> list[Asked]:
    found = []
    for item in rows(parse(body).get("want"), ASK_MAX):
        values = row(item, 7)
        place = Place(*stream_of(values), whole(values[3], 0, SECTOR_MAX))
        length = whole(values[5], 0, layout.SECTOR_SIZE)
        found.append(Asked(place, bool(whole(values[4], 0, 1)), length, octets(values[6], _ID)))
    return found


# --- answer: frames, so that the first counts even if the last does not arrive ---


@dataclass(frozen=True)
class Tagged:
    """A run as its gateway sent it."""

    gateway: bytes
    cls: int
    payload: bytes


@dataclass(frozen=True)
class Nothing:
    """A sector of which there is nothing to give, or nothing that could be verified."""

    place: Place


Item = Sealed | Tagged | Nothing


def pack_item(item: Item) -> bytes:
    if isinstance(item, Tagged):
        body = _RUN_KIND + item.gateway + bytes((item.cls,)) + item.payload
    elif isinstance(item, Nothing):
        body = _NONE_KIND + _PLACE.pack(*item.place)
    else:
        found = layout.parse_seal(item.data)
        # All between the end and the seal is blank, and does not travel.
        end = found[0] if found else layout.SEAL_AT
        before = item.previous or bytes(layout.SEAL_TAG_SIZE)
        body = _SEALED_KIND + _PLACE.pack(*item.place)
        body += _SEALED.pack(item.previous is not None, before, end)
        body += item.data[:end] + item.data[layout.SEAL_AT :]
    return _LENGTH.pack(len(body)) + body


def _parse_item(body: bytes) -> Item:
    kind, rest = body[:1], body[1:]
    if kind == _RUN_KIND and len(rest) > _ID + 1 and rest[_ID] < len(layout.CLASSES):
        return Tagged(rest[:_ID], rest[_ID], rest[_ID + 1 :])
    if kind in (_SEALED_KIND, _NONE_KIND) and len(rest) >= _PLACE.size:
        place = Place(*_PLACE.unpack_from(rest))
        rest = rest[_PLACE.size :]
        if kind == _NONE_KIND and not rest:
            return Nothing(place)
        if kind == _SEALED_KIND and len(rest) >= _SEALED.size:
            known, before, end = _SEALED.unpack_from(rest)
            data = rest[_SEALED.size :]
            if end <= layout.SEAL_AT and len(data) == end + layout.SEAL_SIZE:
                blank = b"\xff" * (layout.SEAL_AT - end)
                return Sealed(place, data[:end] + blank + data[end:], before if known else None)
    raise PeerError(f"a frame of {len(body)} bytes that makes no sense")


class Frames:
    """Takes an answer as it arrives; `feed` yields the items that are complete."""

    def __init__(self) -> None:
        self._data = bytearray()
        self.total = 0

    def feed(self, data: bytes) -> Iterator[Item]:
        """Yield items; raises PeerError for what is no answer."""
        self.total += len(data)
        if self.total > ANSWER_MAX:
            raise PeerError(f"an answer of more than {ANSWER_MAX} bytes")
        self._data += data
        while len(self._data) >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(self._data)
            if size > FRAME_MAX:
                raise PeerError(f"a frame of {size} bytes, want at most {FRAME_MAX}")
            stop = _LENGTH.size + size
            if len(self._data) < stop:
                return
            body = bytes(self._data[_LENGTH.size : stop])
            del self._data[:stop]
            yield _parse_item(body)


# --- challenge: prove that you can read this ---

Claim = tuple[Place, int]  # a sector and how many of its bytes


def pack_challenge(nonce: bytes, claims: Iterable[Claim]) -> bytes:
    asked = [[*_named(place[:3]), place.sector, length] for place, length in claims]
    return dump({"nonce": nonce.hex(), "prove": asked})


def parse_challenge(body: bytes) -> tuple[bytes, list[Claim]]:
    fields = parse(body)
    claims = []
    for item in rows(fields.get("prove"), PROVE_MAX):
        values = row(item, 5)
        place = Place(*stream_of(values), whole(values[3], 0, SECTOR_MAX))
        claims.append((place, whole(values[4], 0, layout.SECTOR_SIZE)))
    return octets(fields.get("nonce"), NONCE_SIZE), claims


def pack_proof(speaker: Speaker, digests: Iterable[bytes | None]) -> bytes:
    said = [digest.hex() if digest else None for digest in digests]
    return dump(speaker.fields() | {"digests": said})


def parse_proof(body: bytes, count: int) -> tuple[Speaker, list[bytes | None]]:
    fields = parse(body)
    said = row(fields.get("digests"), count)
    digests = [None if text is None else octets(text, DIGEST_SIZE) for text in said]
    return Speaker.parse(fields), digests


# --- heads: heartbeats as their gateways sent them ---


def pack_heads(heard: Iterable[tuple[bytes, int, bytes]]) -> bytes:
    """Return the message for (gateway, when it came in UTC ms, payload)."""
    rows = [
        [gateway.hex(), at_ms, base64.b64encode(payload).decode()]
        for gateway, at_ms, payload in heard
    ]
    return dump({"heads": rows})


def parse_heads(body: bytes) -> list[tuple[bytes, int, bytes]]:
    found = []
    for item in rows(parse(body).get("heads"), HEADS_MAX):
        gateway, at_ms, text = row(item, 3)
        try:
            payload = base64.b64decode(text, validate=True)
        except (TypeError, ValueError):
            raise PeerError("a heartbeat that is not base64") from None
        found.append((octets(gateway, _ID), whole(at_ms, 0, 1 << 62), payload))
    return found
