"""What ingest and receipts must know: which bytes of which sectors are stored."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bridge.core.journal.layout import SECTOR_SIZE
from vitalkeep.hub.ingest import Stream
from vitalkeep.hub.sectors import ORPHAN, Place, Stored
from vitalkeep.hub.store import bulk
from vitalkeep.hub.store.database import Database, StoreError
from vitalkeep.hub.store.tables import PLACE, in_stream, pieces, sectors

_LOAD_CHUNK = 100


class Prefixes(Database):
    """Reads on the writer's connection: they see the commit before."""

    def load(self, places: Sequence[Place]) -> dict[Place, Stored | None]:
        """Return what is stored of each sector; raises StoreError."""
        found: dict[Place, Stored | None] = dict.fromkeys(places)
        with self.writing() as connection:
            for start in range(0, len(places), _LOAD_CHUNK):
                _load(connection, places[start : start + _LOAD_CHUNK], found)
        return found

    def states(self, stream: Stream, first: int, last: int) -> list[tuple[int, int, int]]:
        """Return (sector, length, state) of a log's sectors first to last; raises StoreError."""
        table = sectors
        query = (
            sa.select(table.c.sector, table.c.length, table.c.state)
            .where(*in_stream(table, stream), table.c.sector.between(first, last))
            .order_by(table.c.sector)
        )
        with self.writing() as connection:
            return [(row.sector, row.length, row.state) for row in connection.execute(query)]

    def undecoded(self, before_ms: int, count: int) -> dict[Place, Stored]:
        """Return sectors that have bytes of which the rows are not stored yet, the oldest first.

        before_ms  when a sector must have grown last that is not closed
        """
        closed = sa.or_(sectors.c.length == SECTOR_SIZE, sectors.c.state == ORPHAN)
        rest = sa.or_(closed, sectors.c.stored_ms < before_ms)
        query = (
            sa.select(*(sectors.c[name] for name in PLACE))
            .where(sectors.c.decoded < sectors.c.length, rest)
            .order_by(sectors.c.stored_ms)
            .limit(count)
        )
        found: dict[Place, Stored | None] = {}
        with self.reading() as connection:
            places = [Place(*row) for row in connection.execute(query)]
            _load(connection, places, found)
        return {place: stored for place in places if (stored := found.get(place)) is not None}


def _load(
    connection: Connection, places: Sequence[Place], found: dict[Place, Stored | None]
) -> None:
    parts: dict[Place, bytearray] = {}
    of_pieces = (*PLACE, "offset", "data")
    for *key, offset, data in sorted(bulk.select(connection, pieces, of_pieces, PLACE, places)):
        prefix = parts.setdefault(Place(*key), bytearray())
        if offset == len(prefix):
            prefix += data
    names = (*PLACE, "length", "state", "decoded", "day", "data")
    for *key, length, state, decoded, day, data in bulk.select(
        connection, sectors, names, PLACE, places
    ):
        place = Place(*key)
        known = data if data is not None else parts.get(place, b"")
        if len(known) != length:
            raise StoreError(f"{place}: {len(known)} bytes are stored, want {length}")
        found[place] = Stored(bytes(known), state, decoded, day)
