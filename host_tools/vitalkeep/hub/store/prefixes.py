"""What ingest and receipts must know: which bytes of which sectors are stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from vitalkeep.hub.ingest import Stream
from vitalkeep.hub.sectors import Place, Stored
from vitalkeep.hub.store import tables
from vitalkeep.hub.store.database import Database, StoreError
from vitalkeep.hub.store.tables import at_places, place_of

State = tuple[int, int, int]  # sector, length, state

_LOAD_CHUNK = 100
_STREAM = ("gateway", "log", "cls")
# Made once: to make a statement takes longer than to execute it.
_STATES = (
    sa.select(tables.sectors.c.sector, tables.sectors.c.length, tables.sectors.c.state)
    .where(*(tables.sectors.c[name] == sa.bindparam(name) for name in _STREAM))
    .where(tables.sectors.c.sector.between(sa.bindparam("first"), sa.bindparam("last")))
    .order_by(tables.sectors.c.sector)
)


class Prefixes(Database):
    """Reads on the writer's connection: they see the commit before."""

    def load(self, places: Sequence[Place]) -> dict[Place, Stored | None]:
        """Return what is stored of each sector; raises StoreError."""
        found: dict[Place, Stored | None] = dict.fromkeys(places)
        with self.writing() as connection:
            for start in range(0, len(places), _LOAD_CHUNK):
                _load(connection, places[start : start + _LOAD_CHUNK], found)
        return found

    def states(self, stream: Stream, first: int, last: int) -> list[State]:
        """Return (sector, length, state) of a log's sectors first to last; raises StoreError."""
        return self.states_of([(stream, first, last)])[stream]

    def states_of(self, wanted: Iterable[tuple[Stream, int, int]]) -> dict[Stream, list[State]]:
        """Return the same of many logs at once: a whole ward may ask after an outage."""
        found: dict[Stream, list[State]] = {}
        with self.writing() as connection:
            for stream, first, last in wanted:
                places = dict(zip(_STREAM, stream, strict=True))
                rows = connection.execute(_STATES, places | {"first": first, "last": last})
                found[stream] = [(row[0], row[1], row[2]) for row in rows]
        return found


def _load(
    connection: Connection, places: Sequence[Place], found: dict[Place, Stored | None]
) -> None:
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
