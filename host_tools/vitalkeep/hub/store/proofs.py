"""What a verification asks of rows: those of one sector, and those of none."""

from __future__ import annotations

import sqlalchemy as sa

from vitalkeep.hub.decode import OF_THE_HUB, Row
from vitalkeep.hub.sectors import Place
from vitalkeep.hub.store import tables
from vitalkeep.hub.store.database import Database
from vitalkeep.hub.store.tables import PLACE, at_place, place_of

_TOLD = (tables.alarms, tables.events, tables.gaps)


class Proofs(Database):
    """Each raises StoreError."""

    def told_rows(self, place: Place) -> dict[str, list[Row]]:
        """Return {table: rows} of what a sector's records told but for values, in their order."""
        found = {}
        for table in _TOLD:
            query = sa.select(table).where(*at_place(table, place), *_of_gateways(table))
            rows = self.read(query.order_by(table.c.offset, table.c.idx))
            found[table.name] = [row | place._asdict() for row in rows]
        return found

    def strays(self, gateway: bytes, limit: int) -> list[tuple[str, Place, int]]:
        """Return (table, place, number) of a gateway's rows whose sector is not in the store."""
        s = tables.sectors
        found = []
        for table in (tables.observations, *_TOLD):
            same = sa.and_(*(s.c[name] == table.c[name] for name in PLACE))
            of_place = [table.c[name] for name in PLACE]
            query = (
                sa.select(*of_place, sa.func.count().label("n"))
                .where(table.c.gateway == gateway, *_of_gateways(table))
                .where(~sa.exists().where(same))
                .group_by(*of_place)
                .order_by(*of_place)
                .limit(limit)
            )
            with self.reading() as connection:
                rows = connection.execute(query)
                found += [(table.name, place_of(row), int(row.n)) for row in rows]
        return found


def _of_gateways(table: sa.Table) -> tuple[sa.ColumnElement[bool], ...]:
    # What the hub notes itself stands where no record does.
    return (table.c.event != OF_THE_HUB,) if table is tables.events else ()
