"""What ingest and receipts must know: which bytes of which sectors are stored."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from vitalkeep.hub.ingest import Stream
from vitalkeep.hub.sectors import Place, Stored
from vitalkeep.hub.store import tables
from vitalkeep.hub.store.database import Database, StoreError
from vitalkeep.hub.store.tables import at_places, in_stream, place_of

LOAD_CHUNK = 100


class Prefixes(Database):
    """Reads on the writer's connection: they see the commit before."""

    def load(self, places: Sequence[Place]) -> dict[Place, Stored | None]:
        """Return what is stored of each sector; raises StoreError."""
        found: dict[Place, Stored | None] = dict.fromkeys(places)
        with self.writing() as connection:
            for start in range(0, len(places), LOAD_CHUNK):
                load_into(connection, places[start : start + LOAD_CHUNK], found)
        return found

    def states(self, stream: Stream, first: int, last: int) -> list[tuple[int, int, int]]:
        """Return (sector, length, state) of a log's sectors first to last; raises StoreError."""
        table = tables.sectors
        query = (
            sa.select(table.c.sector, table.c.length, table.c.state)
            .where(*in_stream(table, stream), table.c.sector.between(first, last))
            .order_by(table.c.sector)
        )
        with self.writing() as connection:
            return [(row.sector, row.length, row.state) for row in connection.execute(query)]


def load_into(
    connection: Connection, places: Sequence[Place], found: dict[Place, Stored | None]
) -> None:
    """Read at most LOAD_CHUNK sectors; what is not stored is left as it is in `found`."""
    parts: dict[Place, bytearray] = {}
    pieces, sectors = tables.pieces, tables.sectors
    query = sa.select(pieces).where(at_places(pieces, places)).order_by(pieces.c.offset)
    for row in connection.execute(query):
        prefix = parts.setdefault(place_of(row), bytearray())
        if row.offset == len(prefix):
            prefix += row.data
    for row in connection.execute(sa.select(sectors).where(at_places(sectors, places))):
        place = place_of(row)
        data = row.data if row.data is not None else bytes(parts.get(place, b""))
        if len(data) != row.length:
            raise StoreError(f"{place}: {len(data)} bytes are stored, want {row.length}")
        found[place] = Stored(bytes(data), row.state)
