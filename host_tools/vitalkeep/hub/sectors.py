"""One sector of a log as it grows at a site. No I/O."""

from __future__ import annotations

from typing import NamedTuple

from bridge.core.errors import FormatError
from bridge.core.journal import layout

# States of a sector
OPEN = 0
WHOLE = 1  # every byte is here; the sector before, to which its seal is chained, is not yet
PROVEN = 2
BROKEN = 3  # every byte is here and the seal fits neither them nor the sector before
ORPHAN = 4  # closed without a seal: the gateway lost its key and goes on without it, or is silent

PENDING_BYTES_MAX = 8192  # of one sector, held in memory until what lies before them comes
DAY_MS = 24 * 3600 * 1000
_BLANK = b"\xff"

Stream = tuple[bytes, bytes, int]  # gateway, log, class

# What a run means to a prefix
APPEND = 0
DUPLICATE = 1
BEYOND = 2  # something before it is missing
CONFLICT = 3  # it contradicts what is stored


class Place(NamedTuple):
    """Which sector: `sector` counts upward for ever within (gateway, log, class)."""

    gateway: bytes
    log: bytes
    cls: int
    sector: int

    def __str__(self) -> str:
        return f"{self.gateway.hex()} {layout.CLASSES[self.cls]} sector {self.sector}"


class Cold(NamedTuple):
    """What is known of a proven sector whose bytes are in the archive alone.

    digest  SHA-256 of its 4096 bytes
    tag     to which the next sector is chained
    """

    digest: bytes
    tag: bytes


class Spoilt(NamedTuple):
    """A sector whose stored bytes are not as long as its row says.

    length   what the row says
    remains  (offset, bytes) of all that is left of it
    """

    length: int
    remains: tuple[tuple[int, bytes], ...]


class Stored(NamedTuple):
    """What the store has of a sector.

    data     its prefix, empty for a cold one
    state    one of the above
    decoded  where the commits begin of which it has no rows yet, all of it when none are left
    day      since 1970, on which its first bytes came
    spoilt   not None: nothing of it is relied on, so it is open and without data
    """

    data: bytes
    state: int
    decoded: int = 0
    day: int = 0
    cold: Cold | None = None
    spoilt: Spoilt | None = None


def describe_spoilt(place: Place, spoilt: Spoilt) -> str:
    """Return in words what is wrong with a spoilt sector."""
    size = sum(len(some) for _, some in spoilt.remains)
    return f"{place}: spoilt: {size} bytes are stored, want {spoilt.length}"


def normalised(offset: int, data: bytes) -> bytes:
    """Return a run's bytes with the released mark as it was when the sector was written."""
    at = layout.RELEASED_AT - offset
    if 0 <= at < len(data) and data[at] != layout.BLANK:
        return data[:at] + _BLANK + data[at + 1 :]
    return data


def fit(prefix: bytes | bytearray, offset: int, data: bytes) -> tuple[int, bytes]:
    """Say what bytes at `offset` mean to a prefix: (verdict, bytes to append behind it)."""
    have = len(prefix)
    if offset > have:
        if offset == layout.SEAL_AT and len(data) == layout.SEAL_SIZE:
            sealed = layout.parse_seal(data, 0)
            if sealed and layout.HEADER_SIZE <= sealed[0] <= have:
                # All from the seal's `end` to its place is blank and never travels.
                if prefix[sealed[0] :].strip(_BLANK):
                    return CONFLICT, b""
                return APPEND, _BLANK * (layout.SEAL_AT - have) + data
        return BEYOND, b""
    both = min(have - offset, len(data))
    if prefix[offset : offset + both] != data[:both]:
        return CONFLICT, b""
    return (APPEND, data[both:]) if both < len(data) else (DUPLICATE, b"")


class Sector:
    """The prefix of one sector and what waits behind a hole in it.

    stored  what the store has, empty for a sector never heard of
    """

    def __init__(self, place: Place, stored: Stored | None) -> None:
        self.place = place
        self.data = bytearray(stored.data if stored else b"")
        self.state = stored.state if stored else OPEN
        self.cold = stored.cold if stored else None
        self.spoilt = stored.spoilt if stored else None
        self.pending: list[tuple[int, bytes, bytes]] = []  # offset, bytes, the run's tag
        self.day = stored.day if stored else -1
        self.decoded = stored.decoded if stored else 0

    @property
    def whole(self) -> bool:
        return bool(len(self.data) == layout.SECTOR_SIZE)

    def tag(self) -> bytes | None:
        """Return the tag to which the next sector is chained, None while it is not here."""
        if self.cold is not None:
            return self.cold.tag
        sealed = layout.parse_seal(self.data) if self.whole else None
        return sealed[1] if sealed else None

    def hold(self, offset: int, data: bytes, tag: bytes = b"") -> bool:
        """Keep bytes that lie behind a hole; False when there is no room for them."""
        size = len(data)
        for known_at, known, _ in self.pending:
            at = offset - known_at
            if at >= 0 and known[at : at + size] == data:
                return True
        if size + sum(len(known) for _, known, _ in self.pending) > PENDING_BYTES_MAX:
            return False
        self.pending.append((offset, data, tag))
        self.pending.sort()
        return True


def check_header(place: Place, data: bytes | bytearray) -> str:
    """Return what is wrong with the header that opens `data`, "" when it names this place."""
    try:
        header = layout.parse_header(data)
    except FormatError as error:
        return str(error)
    found = Place(header.gateway, header.log_id, header.cls, header.number)
    return "" if found == place else f"header of {found} in {place}"
