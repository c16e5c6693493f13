"""What ingest and receipts must know: which bytes of which sectors are stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bridge.core.journal.layout import SECTOR_SIZE
from vitalkeep.hub.sectors import OPEN, ORPHAN, Cold, Place, Spoilt, Stored, Stream
from vitalkeep.hub.store import bulk
from vitalkeep.hub.store.database import Database, StoreError
from vitalkeep.hub.store.tables import PLACE, archived, at_place, pieces, sectors

State = tuple[int, int, int]  # sector, length, state

_LOOKS_MAX = 5
_STREAM = ("gateway", "log", "cls")

# How many bytes of a sector are there; neither engine reads a blob to say how long it is.
_HELD = sa.case(
    (sectors.c.data.is_not(None), sa.func.length(sectors.c.data)),
    (
        sa.and_(
            sectors.c.length == SECTOR_SIZE,
            sa.exists().where(archived.c.cold, *(archived.c[n] == sectors.c[n] for n in PLACE)),
        ),
        SECTOR_SIZE,
    ),
    else_=sa.select(sa.func.coalesce(sa.func.sum(sa.func.length(pieces.c.data)), 0))
    .where(*(pieces.c[name] == sectors.c[name] for name in PLACE))
    .correlate(sectors)
    .scalar_subquery(),
)
SOUND = sectors.c.length == _HELD
# Columns of what a site says that it has, see `claimed`.
CLAIM = (sectors.c.length, sectors.c.state, SOUND.label("sound"))

# Made once: to make a statement takes longer than to execute it.
_STATES = (
    sa.select(sectors.c.sector, *CLAIM)
    .where(*(sectors.c[name] == sa.bindparam(name) for name in _STREAM))
    .where(sectors.c.sector.between(sa.bindparam("first"), sa.bindparam("last")))
    .order_by(sectors.c.sector)
)


class Prefixes(Database):
    """What is asked on the writer's connection sees the commit before."""

    def load(self, places: Sequence[Place]) -> dict[Place, Stored | None]:
        """Return what is stored of each sector; raises StoreError."""
        found: dict[Place, Stored | None] = dict.fromkeys(places)
        with self.writing() as connection:
            _load_into(connection, places, found)
        return found

    def read_back(self, places: Sequence[Place]) -> dict[Place, Stored | None]:
        """Return the same beside the write path; a cold sector is empty. Raises StoreError."""
        found: dict[Place, Stored | None] = dict.fromkeys(places)
        with self.reading() as connection:
            _load_into(connection, places, found)
        return found

    def states(self, stream: Stream, first: int, last: int) -> list[State]:
        """Return (sector, length, state) of a log's sectors first to last; raises StoreError.

        A spoilt one is open, and 0 bytes long.
        """
        return self.states_of([(stream, first, last)])[stream]

    def states_of(self, wanted: Iterable[tuple[Stream, int, int]]) -> dict[Stream, list[State]]:
        """Return the same of many logs at once: a whole ward may ask after an outage."""
        found: dict[Stream, list[State]] = {}
        with self.writing() as connection:
            for stream, first, last in wanted:
                places = dict(zip(_STREAM, stream, strict=True))
                rows = connection.execute(_STATES, places | {"first": first, "last": last})
                found[stream] = [(row[0], *claimed(*row[1:])) for row in rows]
        return found

    def undecoded(self, before_ms: int, count: int) -> dict[Place, int]:
        """Return the lengths of sectors of which not all rows are stored yet, the newest first.

        Spoilt ones are none of them before they are whole again.
        before_ms  when a sector must have grown last that is not closed
        Raises     StoreError
        """
        closed = sa.or_(sectors.c.length == SECTOR_SIZE, sectors.c.state == ORPHAN)
        rest = sa.or_(closed, sectors.c.stored_ms < before_ms)
        query = (
            sa.select(*(sectors.c[name] for name in PLACE), sectors.c.length)
            .where(sectors.c.decoded < sectors.c.length, rest, SOUND)
            .order_by(sectors.c.stored_ms.desc(), sectors.c.sector.desc())
            .limit(count)
        )
        with self.reading() as connection:
            return {Place(*place): length for *place, length in connection.execute(query)}


def claimed(length: int, state: int, sound: bool) -> tuple[int, int]:
    """Return the length and state that a site claims of a sector: nothing of a spoilt one."""
    return (length, state) if sound else (0, OPEN)


def _load_into(
    connection: Connection, places: Sequence[Place], found: dict[Place, Stored | None]
) -> None:
    """Read sectors; what is not stored is left as it is in `found`."""
    _load(connection, places, found)
    # On PostgreSQL a commit may come between two statements: what looks spoilt is looked at until
    # it is twice the same.
    for _ in range(_LOOKS_MAX):
        spoilt = {place: seen for place in places if (seen := found.get(place)) and seen.spoilt}
        _load(connection, list(spoilt), found)
        places = [place for place, before in spoilt.items() if found[place] != before]
        if not places:
            return
    raise StoreError(f"{places[0]} changes while it is read")


def _load(
    connection: Connection, places: Sequence[Place], found: dict[Place, Stored | None]
) -> None:
    parts: dict[Place, list[tuple[int, bytes]]] = {}
    of_pieces = (*PLACE, "offset", "data")
    for *key, offset, data in sorted(bulk.select(connection, pieces, of_pieces, PLACE, places)):
        parts.setdefault(Place(*key), []).append((offset, bytes(data)))
    names = (*PLACE, "length", "state", "decoded", "day", "data")
    for *key, length, state, decoded, day, data in bulk.select(
        connection, sectors, names, PLACE, places
    ):
        place = Place(*key)
        if data is None and length == SECTOR_SIZE and (cold := _cold(connection, place)):
            found[place] = Stored(b"", state, decoded, day, cold)
            continue
        some = parts.get(place, [])
        known = bytes(data) if data is not None else _prefix(some)
        if len(known) == length:
            found[place] = Stored(known, state, decoded, day)
        else:
            remains = tuple(([(0, bytes(data))] if data else []) + some)
            found[place] = Stored(b"", OPEN, decoded, day, spoilt=Spoilt(length, remains))


def _prefix(parts: Sequence[tuple[int, bytes]]) -> bytes:
    prefix = bytearray()
    for offset, data in parts:
        if offset == len(prefix):
            prefix += data
    return bytes(prefix)


def _cold(connection: Connection, place: Place) -> Cold | None:
    """Return what is known of a sector whose bytes are in the archive, None when they are not."""
    query = sa.select(archived.c.digest, archived.c.tag)
    query = query.where(*at_place(archived, place), archived.c.cold)
    row = connection.execute(query).one_or_none()
    return Cold(bytes(row.digest), bytes(row.tag)) if row is not None else None
