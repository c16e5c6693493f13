"""Packs: sectors of one class with an index, as one object. Pure (docs/formats/pack.md).

    header | entry | entry | ... | bytes of the first | bytes of the second | ... | SHA-256

A pack proves itself twice: by digests, which anyone can count, and by a tag for each sector under
a key of its gateway, which whoever holds the bucket cannot make.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import NamedTuple

from bridge.core.journal.layout import CLASSES, SECTOR_SIZE
from vitalkeep.hub.sectors import Place

VERSION = 1
COUNT_MAX = 16384  # sectors, 64 MiB
_MAGIC = b"VKPK"
_HEADER = struct.Struct("<4sBBH8sI")
_ENTRY = struct.Struct("<8s8sBBHIQ32s")
_TAG_SIZE = 16
_DIGEST_SIZE = 32
_LABEL = b"vitalkeep pack"
HEADER_SIZE = _HEADER.size
ENTRY_SIZE = _ENTRY.size + _TAG_SIZE

# What is wrong with a pack, or with one sector in it
FOREIGN = "foreign"  # not a pack, or of a version that is not ours
SHORT = "short"  # bytes are missing, or too many are there
DAMAGED = "damaged"  # its bytes are not those of its digest
FORGED = "forged"  # its tag is wrong: no hub with this vault wrote it
STRANGER = "stranger"  # the vault knows no such gateway


class PackError(Exception):
    """A pack that cannot be used; `code` is one of the constants above."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Item(NamedTuple):
    """One sector to pack: its bytes in use, its state at this site, when they were stored."""

    place: Place
    state: int
    stored_ms: int
    data: bytes


@dataclass(frozen=True)
class Entry:
    """One line of the index.

    start   where its bytes begin in the pack
    digest  SHA-256 of them
    tag     under the gateway's archive key, over all of the line
    """

    place: Place
    state: int
    length: int
    stored_ms: int
    start: int
    digest: bytes
    tag: bytes

    def line(self) -> bytes:
        place = self.place
        numbers = (place.cls, self.state, self.length, place.sector, self.stored_ms)
        return _ENTRY.pack(place.gateway, place.log, *numbers, self.digest)


KeyOf = Callable[[bytes], "bytes | None"]  # a gateway's archive key, None when it is unknown


def _tag(key: bytes, line: bytes) -> bytes:
    return hmac.digest(key, _LABEL + line, "sha256")[:_TAG_SIZE]


def build(site: bytes, cls: int, items: Sequence[Item], key_of: KeyOf) -> bytes:
    """Return a pack.

    site    id of the site that writes it
    items   of class `cls`, at most COUNT_MAX, each not longer than a sector
    Raises  ValueError for a gateway without a key, or when an item does not belong
    """
    if len(items) > COUNT_MAX:
        raise ValueError(f"{len(items)} sectors, want at most {COUNT_MAX}")
    lines = []
    for item in items:
        key = key_of(item.place.gateway)
        if key is None or item.place.cls != cls or not 0 < len(item.data) <= SECTOR_SIZE:
            raise ValueError(f"{item.place}: does not belong in this pack")
        numbers = (cls, item.state, len(item.data), item.place.sector, item.stored_ms)
        digest = hashlib.sha256(item.data).digest()
        line = _ENTRY.pack(item.place.gateway, item.place.log, *numbers, digest)
        lines.append(line + _tag(key, line))
    header = _HEADER.pack(_MAGIC, VERSION, cls, 0, site, len(items))
    body = b"".join((header, *lines, *(item.data for item in items)))
    return body + hashlib.sha256(body).digest()


@dataclass(frozen=True)
class Index:
    """What a pack says it holds; believed only sector by sector, see `Index.take`."""

    site: bytes
    cls: int
    entries: tuple[Entry, ...]

    @property
    def size(self) -> int:
        """Bytes that the whole pack should have."""
        tail = self.entries[-1].start + self.entries[-1].length if self.entries else HEADER_SIZE
        return tail + _DIGEST_SIZE


def index_size(head: bytes) -> int:
    """Return how many bytes header and index take.

    head    at least the first HEADER_SIZE bytes of a pack
    Raises  PackError
    """
    return HEADER_SIZE + ENTRY_SIZE * _header(head)[2]


def _header(head: bytes) -> tuple[bytes, int, int]:
    if len(head) < HEADER_SIZE:
        raise PackError(SHORT, f"{len(head)} bytes, want at least {HEADER_SIZE}")
    magic, version, cls, _, site, count = _HEADER.unpack_from(head)
    if magic != _MAGIC or version != VERSION:
        raise PackError(FOREIGN, f"{magic!r} version {version}, want {_MAGIC!r} {VERSION}")
    if cls >= len(CLASSES) or count > COUNT_MAX:
        raise PackError(DAMAGED, f"class {cls} with {count} sectors")
    return site, cls, count


def read_index(data: bytes) -> Index:
    """Return the index that opens a pack.

    data    header and index, or the whole pack
    Raises  PackError when it is none, is cut short, or names what cannot be
    """
    site, cls, count = _header(data)
    if len(data) < HEADER_SIZE + count * ENTRY_SIZE:
        raise PackError(SHORT, f"its index has {count} entries, and {len(data)} bytes are here")
    start = HEADER_SIZE + count * ENTRY_SIZE
    entries = []
    for number in range(count):
        at = HEADER_SIZE + number * ENTRY_SIZE
        gateway, log, of, state, length, sector, stored_ms, digest = _ENTRY.unpack_from(data, at)
        if of != cls or not 0 < length <= SECTOR_SIZE:
            raise PackError(DAMAGED, f"entry {number}: class {of}, {length} bytes")
        tag = data[at + _ENTRY.size : at + ENTRY_SIZE]
        place = Place(gateway, log, of, sector)
        entries.append(Entry(place, state, length, stored_ms, start, digest, bytes(tag)))
        start += length
    return Index(site, cls, tuple(entries))


def check_entry(entry: Entry, key_of: KeyOf) -> str:
    """Return what is wrong with a line of the index, "" when a hub with this vault wrote it."""
    key = key_of(entry.place.gateway)
    if key is None:
        return STRANGER
    return "" if hmac.compare_digest(_tag(key, entry.line()), entry.tag) else FORGED


def check_bytes(entry: Entry, data: bytes) -> str:
    """Return what is wrong with the bytes of one sector, "" when they are those of the index."""
    if len(data) != entry.length:
        return SHORT
    return "" if hashlib.sha256(data).digest() == entry.digest else DAMAGED


def check_whole(data: bytes) -> str:
    """Return what is wrong with a whole pack, "" when its size and digest fit; takes no key."""
    try:
        index = read_index(data)
    except PackError as error:
        return error.code
    if len(data) != index.size:
        return SHORT
    fits = hashlib.sha256(data[:-_DIGEST_SIZE]).digest() == data[-_DIGEST_SIZE:]
    return "" if fits else DAMAGED


def read(data: bytes, key_of: KeyOf) -> Iterator[tuple[Entry, bytes, str]]:
    """Yield (entry, its bytes, what is wrong or "") of each sector in a whole pack.

    One bad sector does not spoil the others: each has a digest and a tag of its own.
    Raises  PackError when there is no index to go by
    """
    for entry in read_index(data).entries:
        found = data[entry.start : entry.start + entry.length]
        yield entry, found, check_bytes(entry, found) or check_entry(entry, key_of)


def day_of(utc_ms: int) -> str:
    """Return the UTC day as it stands in names of objects: 20261125."""
    return datetime.fromtimestamp(utc_ms / 1000, timezone.utc).strftime("%Y%m%d")


def name(kind: str, data: bytes, again: int = 0) -> str:
    """Return the name of a pack, which its content decides: two writers cannot collide.

    kind   "backup" or "cold", the first part of the name: a bucket's rules go by prefix
    again  counts the names under which something else stood already
    """
    index = read_index(data)
    day = day_of(max(entry.stored_ms for entry in index.entries))
    digest = hashlib.sha256(data).hexdigest()[:40]
    if again:
        digest = f"{digest}-{again}"
    return f"{kind}/{index.site.hex()}/{CLASSES[index.cls]}/{day}/{digest}.pack"
