"""What people and the page ask of the store, beside the write path and never in its way."""

from __future__ import annotations

import json
from collections.abc import Collection

import sqlalchemy as sa

from vitalkeep.hub.decode import Row
from vitalkeep.hub.store import tables
from vitalkeep.hub.store.database import Database
from vitalkeep.hub.store.tables import PLACE

_LAST_WORDS = 10  # of a gateway and class: more than it has devices in one


class Views(Database):
    """Reads on connections of their own; each raises StoreError."""

    def clocks(self, gateway: bytes, since_ms: int = 0) -> list[Row]:
        """Return the clock records of a gateway that were true after `since_ms` (UTC)."""
        table = tables.clocks
        return self.read(
            sa.select(table)
            .where(table.c.gateway == gateway, table.c.utc_ms >= since_ms)
            .order_by(table.c.boot, table.c.mono_ms)
        )

    def spans(self, gateway: bytes, since_ms: int) -> list[Row]:
        """Return place, state, length and spans of sectors that grew after `since_ms`."""
        table = tables.sectors
        columns = (table.c.log, table.c.cls, table.c.sector, table.c.length)
        return self.read(
            sa.select(*columns, table.c.state, table.c.spans)
            .where(table.c.gateway == gateway, table.c.stored_ms >= since_ms)
            .order_by(table.c.cls, table.c.log, table.c.sector)
        )

    def gaps(self, gateway: bytes, since_ms: int) -> list[Row]:
        """Return what a gateway has said since then that it overwrote."""
        table = tables.gaps
        return self.read(
            sa.select(table).where(table.c.gateway == gateway, table.c.stored_ms >= since_ms)
        )

    def newest(self, table: str, gateway: bytes, count: int) -> list[Row]:
        """Return the last `count` rows of a table of ADDED for a gateway, newest sector first."""
        source = tables.ADDED[table]
        order = (source.c.sector.desc(), source.c.offset.desc(), source.c.idx.desc())
        rows: list[Row] = []
        for cls in range(3):
            query = sa.select(source).where(source.c.gateway == gateway, source.c.cls == cls)
            rows += self.read(query.order_by(*order).limit(count))
        return rows

    def recent(self, table: str, since_ms: int, count: int) -> list[Row]:
        """Return the last `count` rows of "events", "gaps" or "story", newest first."""
        source = {"events": tables.events, "gaps": tables.gaps, "story": tables.story}[table]
        when = source.c.at_ms if table == "story" else source.c.stored_ms
        return self.read(
            sa.select(source).where(when >= since_ms).order_by(when.desc()).limit(count)
        )

    def last_words(self, gateways: Collection[bytes]) -> list[Row]:
        """Return the newest observations of gateways, oldest first."""
        found = [self.newest("observations", gateway, _LAST_WORDS) for gateway in gateways]
        return [row for rows in found for row in reversed(rows)]

    def heads(self) -> list[Row]:
        """Return each gateway's last heartbeat, its fields decoded."""
        rows = self.read(sa.select(tables.heads))
        return [row | {"fields": json.loads(row["fields"])} for row in rows]

    def radio(self) -> list[Row]:
        """Return what each gateway said last by radio."""
        return self.read(sa.select(tables.radio))

    def observations(self, gateway: bytes, first: int = 0, count: int = 1000) -> list[Row]:
        """Return observations of a gateway in the order of its logs, from sector `first`."""
        table = tables.observations
        order = [table.c[name] for name in (*PLACE, "offset", "idx")]
        return self.read(
            sa.select(table)
            .where(table.c.gateway == gateway, table.c.sector >= first)
            .order_by(*order)
            .limit(count)
        )

    def count(self, table: str) -> int:
        """Return the number of rows of a table."""
        source = tables.metadata.tables[table]
        rows = self.read(sa.select(sa.func.count().label("n")).select_from(source))
        return int(rows[0]["n"])
