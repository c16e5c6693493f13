"""What people and the page ask of the store, beside the write path and never in its way."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

from vitalkeep.hub.columns import BLOCK_MS_MAX, Buckets, observations
from vitalkeep.hub.decode import OF_THE_HUB, Row
from vitalkeep.hub.sectors import DAY_MS, ORPHAN
from vitalkeep.hub.store import tables
from vitalkeep.hub.store.database import Database
from vitalkeep.hub.store.tables import PLACE, POSITION

_OF_BLOCK = (*PLACE, "boot", "device", "protocol", "unit", "grp")


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
        """Return what the account asks of the sectors that grew after `since_ms`.

        keyless  there will be no seal, since a new key epoch begins behind it
        """
        table, events = tables.sectors, tables.events
        columns = (table.c.log, table.c.cls, table.c.sector, table.c.length, table.c.decoded)
        # A key epoch's row stands at its first byte, where no gateway's stands.
        behind = sa.exists().where(
            *(events.c[name] == table.c[name] for name in PLACE[:3]),
            *(events.c.sector == table.c.sector + 1, events.c.offset == 0, events.c.idx == 0),
            events.c.event == OF_THE_HUB,
        )
        keyless = sa.case((table.c.state == ORPHAN, behind), else_=sa.false()).label("keyless")
        return self.read(
            sa.select(*columns, table.c.state, table.c.spans, keyless)
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

    def latest(self, gateways: Collection[bytes] | None = None) -> list[Row]:
        """Return the last observation of each device and group, of all gateways or of some."""
        query = sa.select(tables.latest)
        if gateways is not None:
            query = query.where(tables.latest.c.gateway.in_(gateways))
        rows = self.read(query)
        for row in rows:
            row["readings"] = json.loads(row["readings"])
        return rows

    def trend(
        self,
        gateway: bytes,
        device: str,
        label: str,
        offsets: Mapping[int, int],
        window: tuple[int, int, int],
    ) -> list[tuple[int, float, float, int]]:
        """Return a parameter's course in buckets: (UTC ms, least, greatest, number of values).

        offsets  UTC minus monotonic ms by boot; what was measured in other boots is not dated
        window   from when to when in UTC ms, and in how many buckets
        """
        start_ms, end_ms, count = window
        width_ms = max(1, -(-(end_ms - start_ms) // count))
        buckets = Buckets(label, start_ms, width_ms, count)
        table = tables.observations
        for boot, offset_ms in offsets.items():
            first_ms, last_ms = start_ms - offset_ms, end_ms - offset_ms
            began = table.c.first_ms.between(first_ms - BLOCK_MS_MAX, last_ms)
            query = (
                sa.select(table.c.first_ms, table.c.data)
                .where(table.c.gateway == gateway, table.c.boot == boot, began)
                .where(table.c.device == device, table.c.last_ms >= first_ms)
                # Nothing is stored before it is measured; clocks may be off by less than that.
                .where(table.c.day >= start_ms // DAY_MS - 1)
            )
            with self.reading() as connection:
                for begins_ms, data in connection.execute(query):
                    buckets.add(begins_ms + offset_ms, data)
        return buckets.points()

    def recent(self, table: str, since_ms: int, count: int) -> list[Row]:
        """Return the last `count` rows of "events", "gaps" or "story", newest first."""
        source = {"events": tables.events, "gaps": tables.gaps, "story": tables.story}[table]
        when = source.c.at_ms if table == "story" else source.c.stored_ms
        return self.read(
            sa.select(source).where(when >= since_ms).order_by(when.desc()).limit(count)
        )

    def events(self, gateway: bytes, since_ms: int, count: int) -> list[Row]:
        """Return the last `count` events of a gateway stored from `since_ms` on, oldest first."""
        table = tables.events
        query = sa.select(table).where(table.c.gateway == gateway, table.c.stored_ms >= since_ms)
        return self.read(query.order_by(table.c.stored_ms.desc()).limit(count))[::-1]

    def heads(self) -> list[Row]:
        """Return each gateway's last heartbeat, its fields decoded."""
        rows = self.read(sa.select(tables.heads))
        return [row | {"fields": json.loads(row["fields"])} for row in rows]

    def radio(self) -> list[Row]:
        """Return what each gateway said last by radio."""
        return self.read(sa.select(tables.radio))

    def observations(self, gateway: bytes, first: int = 0, count: int = 1000) -> list[Row]:
        """Return hot observations of a gateway in the order of its logs, from sector `first`.

        archive.shelf.Shelf.observations has those that are warm and cold as well.
        """
        table = tables.observations
        order = [table.c[name] for name in POSITION]
        query = sa.select(table).where(table.c.gateway == gateway, table.c.sector >= first)
        found: list[Row] = []
        with self.reading() as connection:
            sector = None
            for block in connection.execute(query.order_by(*order)).mappings():
                # Devices take turns within a sector, and so do their blocks.
                if len(found) >= count and sector != [block[name] for name in PLACE]:
                    break
                sector = [block[name] for name in PLACE]
                found += rows_of_block(block)
        found.sort(key=itemgetter(*POSITION))
        return found[:count]

    def count(self, table: str) -> int:
        """Return the number of rows of a table, or of observations."""
        source = tables.metadata.tables[table]
        number: sa.ColumnElement[int] = sa.func.count()
        if table == "observations":
            number = sa.func.coalesce(sa.func.sum(source.c.count), 0)
        rows = self.read(sa.select(number.label("n")).select_from(source))
        return int(rows[0]["n"])


def rows_of_block(block: Any) -> Iterator[Row]:
    """Yield the observations in a row of the table `observations`."""
    row = {name: block[name] for name in _OF_BLOCK}
    for seen in observations(block["first_ms"], block["stored_ms"], block["data"]):
        place = {"offset": seen.offset, "idx": seen.idx, "mono_ms": seen.mono_ms}
        yield row | place | {"stored_ms": seen.stored_ms, "readings": seen.readings}
