"""What goes to other sites and comes from them: what is stored, copies, witnesses, days."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from bridge.core.journal import layout
from vitalkeep.hub.decode import Row
from vitalkeep.hub.sectors import OPEN, PROVEN, Place, Stream
from vitalkeep.hub.store import bulk, tables
from vitalkeep.hub.store.database import Database
from vitalkeep.hub.store.exchange_tables import copies, days, sites, witnesses
from vitalkeep.hub.store.prefixes import CLAIM, SOUND, claimed
from vitalkeep.hub.store.tables import PLACE, in_stream, place_of
from vitalkeep.hub.tags import TaggedSpan, parse_tags

_TAG_AT = layout.SEAL_AT + 3  # in a sector: behind the seal's mark and end
_STREAM = PLACE[:3]


class Exchanges(Database):
    """Reads are on the readers' connections, so that they say what is on the disk."""

    # --- what is stored ---

    def sealed_ranges(self) -> list[tuple[Stream, int, int]]:
        """Return (log, first, last) of sealed sectors: a log without a gap is one row.

        What is spoilt is none, here and below: it is open, and 0 bytes long.
        """
        table = tables.sectors
        of_log = [table.c[name] for name in _STREAM]
        rank = sa.func.row_number().over(partition_by=of_log, order_by=table.c.sector)
        numbered = (
            sa.select(*of_log, table.c.sector, (table.c.sector - rank).label("island"))
            .where(table.c.state == PROVEN, SOUND)
            .subquery()
        )
        first, last = sa.func.min(numbered.c.sector), sa.func.max(numbered.c.sector)
        by = [numbered.c[name] for name in (*_STREAM, "island")]
        query = sa.select(*by, first.label("first"), last.label("last")).group_by(*by)
        with self.reading() as connection:
            return [
                ((bytes(row.gateway), bytes(row.log), row.cls), row.first, row.last)
                for row in connection.execute(query)
            ]

    def unsealed(self) -> list[tuple[Place, int, int]]:
        """Return (place, length, state) of all sectors that have no seal that fits."""
        return self._parts(tables.NOT_PROVEN)

    def changed_since(self, gateways: Sequence[bytes], ms: int) -> list[tuple[Place, int, int]]:
        """Return (place, length, state) of sectors that grew after `ms`, whoever stored them."""
        table = tables.sectors
        return self._parts(sa.and_(table.c.gateway.in_(gateways), table.c.stored_ms >= ms))

    def silent(self, since_ms: int) -> list[tuple[Place, int, int]]:
        """Return (place, length, state) of open sectors that have not grown since `since_ms`, of
        gateways of which no site has heard since.
        """
        table, heads = tables.sectors, tables.heads
        heard = sa.union(
            sa.select(heads.c.gateway).where(heads.c.at_ms >= since_ms),
            sa.select(witnesses.c.gateway).where(witnesses.c.at_ms >= since_ms),
        )
        return self._parts(
            sa.and_(
                tables.NOT_PROVEN,
                table.c.state == OPEN,
                table.c.stored_ms < since_ms,
                table.c.gateway.not_in(heard),
            )
        )

    def _parts(self, where: sa.ColumnElement[bool]) -> list[tuple[Place, int, int]]:
        table = tables.sectors
        columns = [*(table.c[name] for name in PLACE), *CLAIM]
        with self.reading() as connection:
            rows = connection.execute(sa.select(*columns).where(where))
            return [(place_of(row), *claimed(row.length, row.state, row.sound)) for row in rows]

    def tags_of(self, places: Sequence[Place]) -> dict[Place, list[TaggedSpan]]:
        """Return the tags of the runs in which sectors without a seal came."""
        found: dict[Place, list[TaggedSpan]] = {place: [] for place in places}
        names = (*PLACE, "tags")
        with self.reading() as connection:
            for *key, tags in bulk.select(connection, tables.pieces, names, PLACE, places):
                found[Place(*key)] += parse_tags(bytes(tags or b""))
        return found

    def seals(
        self, stream: Stream, first: int, last: int, until_ms: int = 2**62
    ) -> list[tuple[int, bytes]]:
        """Return (sector, tag of its seal) of a log's sealed sectors first to last, in order.

        until_ms  only those that were stored before
        """
        table, archived = tables.sectors, tables.archived
        here = sa.func.substr(table.c.data, _TAG_AT + 1, layout.SEAL_TAG_SIZE)
        same = sa.and_(*(table.c[name] == archived.c[name] for name in PLACE))
        query = (
            sa.select(table.c.sector, sa.func.coalesce(here, archived.c.tag))
            .select_from(table.outerjoin(archived, same))
            .where(*in_stream(table, stream), table.c.sector.between(first, last))
            .where(table.c.state == PROVEN, table.c.stored_ms < until_ms)
            .order_by(table.c.sector)
        )
        with self.reading() as connection:
            return [(sector, bytes(tag or b"")) for sector, tag in connection.execute(query)]

    # --- copies ---

    def other_sites(self) -> dict[bytes, Row]:
        """Return {site: its row} of the sites that ever held a copy."""
        return {bytes(row["site"]): row for row in self.read(sa.select(sites))}

    def set_site(self, site: bytes, epoch: bytes, name: str) -> None:
        """Note the epoch of another site's store; with a new one, what it proved is void."""
        table = sites
        with self.writing() as connection:
            known = connection.execute(sa.select(table.c.epoch).where(table.c.site == site))
            if known.scalar() != epoch:
                connection.execute(sa.delete(copies).where(copies.c.site == site))
            connection.execute(sa.delete(table).where(table.c.site == site))
            connection.execute(sa.insert(table), {"site": site, "epoch": epoch, "name": name})

    def copies(self) -> list[tuple[bytes, Stream, int, int]]:
        """Return (site, log, first, last) of all that other sites proved."""
        return [
            (
                bytes(row["site"]),
                (bytes(row["gateway"]), bytes(row["log"]), row["cls"]),
                row["first"],
                row["last"],
            )
            for row in self.read(sa.select(copies))
        ]

    def set_copies(self, site: bytes, pairs: Mapping[Stream, Sequence[tuple[int, int]]]) -> None:
        """Put what a site proved of some logs in the place of what it had."""
        table = copies
        with self.writing() as connection:
            for stream, ranges in pairs.items():
                of_log = dict(zip(_STREAM, stream, strict=True)) | {"site": site}
                where = [table.c[name] == value for name, value in of_log.items()]
                connection.execute(sa.delete(table).where(*where))
                rows = [of_log | {"first": first, "last": last} for first, last in ranges]
                if rows:
                    connection.execute(sa.insert(table), rows)

    # --- heads ---

    def heard_since(self, ms: int, count: int) -> list[Row]:
        """Return the raw heartbeats that this site stored at `ms` or later, oldest first."""
        table = tables.heads
        return self.read(
            sa.select(table.c.gateway, table.c.at_ms, table.c.payload)
            .where(table.c.at_ms >= ms, table.c.payload.is_not(None))
            .order_by(table.c.at_ms, table.c.gateway)
            .limit(count)
        )

    def set_witnesses(self, site: bytes, rows: Iterable[Row]) -> None:
        """Keep the last heartbeats that another site heard."""
        table = witnesses
        with self.writing() as connection:
            for row in rows:
                where = [table.c.site == site, table.c.gateway == row["gateway"]]
                connection.execute(sa.delete(table).where(*where))
                connection.execute(sa.insert(table), row | {"site": site})

    def witnesses(self) -> list[Row]:
        """Return what other sites heard: site, gateway, at_ms, payload."""
        return self.read(sa.select(witnesses))

    # --- days ---

    def set_day(self, site: bytes, day: str, document: bytes, signatures: Any) -> None:
        """Store a day's statement, or more signatures under the same one.

        A statement that is stored is never changed: another document for its day is left out.
        """
        table = days
        named = {"site": site, "day": day}
        with self.writing() as connection:
            row = named | {"document": document, "signatures": json.dumps(signatures)}
            if not self.insert(connection, table, [row]):
                where = [table.c.site == site, table.c.day == day, table.c.document == document]
                values = {"signatures": row["signatures"]}
                connection.execute(sa.update(table).where(*where).values(**values))

    def days(self, site: bytes | None = None, since: str = "") -> list[Row]:
        """Return the statements of one site, or all, by day; signatures are parsed.

        since  the first day
        """
        table = days
        query = sa.select(table).where(table.c.day >= since)
        query = query.order_by(table.c.day, table.c.site)
        if site is not None:
            query = query.where(table.c.site == site)
        return [row | {"signatures": json.loads(row["signatures"])} for row in self.read(query)]
