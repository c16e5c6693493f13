"""What is in object storage, what has moved there, and how the backups went.

A sector whose bytes left the database keeps its row: its state, its length and its spans are asked
for all the time, and a gateway must never be told that it is missing.
"""

from __future__ import annotations

import json
import struct
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bridge.core.errors import FormatError
from bridge.core.journal.layout import SECTOR_SIZE
from vitalkeep.hub.decode import Row
from vitalkeep.hub.sectors import PROVEN, Place, Stream
from vitalkeep.hub.store import tables
from vitalkeep.hub.store.database import Database, StoreError
from vitalkeep.hub.store.tables import (
    PLACE,
    archived,
    at_place,
    at_places,
    backups,
    packs,
    warm,
)
from vitalkeep.hub.store.views import rows_of_block

HOT, WARM, COLD = "hot", "warm", "cold"
_OF_ROWS = [column.key for column in tables.observations.c if column.key not in PLACE]
_ZLIB_LEVEL = 6
_AT_ONCE = 100  # places of one query
# What reading spoilt rows ends in
_SPOILT = (
    FormatError,
    struct.error,
    zlib.error,
    ValueError,
    LookupError,
    TypeError,
    OverflowError,
)


class RowsError(StoreError):
    """Rows that are spoilt; the sector that they were made of may be sound."""


class Known(NamedTuple):
    """What the store says of one sector: length, state, when it grew last."""

    place: Place
    length: int
    state: int
    stored_ms: int


class Kept(NamedTuple):
    """Where a sector is in the archive; see the table `archived`."""

    place: Place
    length: int
    state: int
    digest: bytes
    tag: bytes
    pack: str
    start: int
    cold: bool


class Archive(Database):
    """The archive's books."""

    # --- what has to go there ---

    def unarchived(self, gateway: bytes, cls: int, since_ms: int, limit: int) -> list[Known]:
        """Return sectors of which the archive has less than the store, the oldest first.

        since_ms  looks at those that grew after it, 0 for all
        """
        s, a = tables.sectors, archived
        same = sa.and_(*(s.c[name] == a.c[name] for name in PLACE))
        query = (
            sa.select(*(s.c[name] for name in PLACE), s.c.length, s.c.state, s.c.stored_ms)
            .select_from(s.outerjoin(a, same))
            .where(s.c.gateway == gateway, s.c.cls == cls, s.c.stored_ms >= since_ms)
            .where(s.c.length > 0)
            .where(sa.or_(a.c.pack.is_(None), a.c.length != s.c.length, a.c.state != s.c.state))
            .order_by(s.c.stored_ms, s.c.log, s.c.sector)
            .limit(limit)
        )
        return [_known(row) for row in self.read(query)]

    def gateways(self) -> list[bytes]:
        """Return the ids of all gateways of which there are sectors."""
        s = tables.sectors
        found = self.read(sa.select(s.c.gateway).distinct().order_by(s.c.gateway))
        return [bytes(row["gateway"]) for row in found]

    def sectors_of(self, gateway: bytes, first: Place | None, limit: int) -> list[Known]:
        """Return a gateway's sectors in the order of its logs, from `first`."""
        s = tables.sectors
        query = (
            sa.select(*(s.c[name] for name in PLACE), s.c.length, s.c.state, s.c.stored_ms)
            .where(s.c.gateway == gateway, s.c.length > 0)
            .order_by(s.c.log, s.c.cls, s.c.sector)
            .limit(limit)
        )
        return [_known(row) for row in self.read(_from(query, first))]

    def sectors_with_spans(
        self, gateway: bytes, first: Place | None, limit: int
    ) -> list[tuple[Known, str, str]]:
        """Return as `sectors_of`, each with its spans (JSON) and its tier."""
        s, w = tables.sectors, warm
        same = sa.and_(*(s.c[name] == w.c[name] for name in PLACE))
        rest = sa.case((w.c.count.is_not(None), WARM), else_=HOT)
        cold = sa.and_(s.c.data.is_(None), s.c.length == SECTOR_SIZE)
        query = (
            sa.select(
                *(s.c[name] for name in PLACE),
                *(s.c.length, s.c.state, s.c.stored_ms, s.c.spans),
                sa.case((cold, COLD), else_=rest).label("tier"),
            )
            .select_from(s.outerjoin(w, same))
            .where(s.c.gateway == gateway, s.c.length > 0)
            .order_by(s.c.log, s.c.cls, s.c.sector)
            .limit(limit)
        )
        return [(_known(row), row["spans"], row["tier"]) for row in self.read(_from(query, first))]

    def gaps_of(self, stream: Stream) -> list[tuple[int, int]]:
        """Return (first, last) of what gap records say was overwritten of a class of a log."""
        g = tables.gaps
        query = sa.select(g.c.first, g.c.last).where(
            g.c.gateway == stream[0], g.c.log == stream[1], g.c.gap_cls == stream[2]
        )
        return [(row["first"], row["last"]) for row in self.read(query)]

    # --- what is there ---

    def record_pack(self, pack: Row, kept: Iterable[Kept]) -> None:
        """Note a pack that was read back, and the sectors in it."""
        rows = [_row(entry) for entry in kept]
        with self.writing() as connection:
            self.insert(connection, packs, [pack])
            self._place(connection, rows)

    def _place(self, connection: Connection, rows: list[Row]) -> None:
        statement = self.dialect.insert(archived)
        new = statement.excluded
        statement = statement.on_conflict_do_update(
            index_elements=list(PLACE),
            set_={
                column.name: new[column.name] for column in archived.c if column.name not in PLACE
            },
            # What is cold has no other copy here: its place is never forgotten for a shorter one.
            where=sa.and_(sa.not_(archived.c.cold), archived.c.length <= new.length),
        )
        if rows:
            connection.execute(statement, rows)

    def packs(self, cls: int) -> list[Row]:
        """Return the packs of a class, the oldest first."""
        return self.read(sa.select(packs).where(packs.c.cls == cls).order_by(packs.c.at_ms))

    def forget_pack(self, name: str) -> int:
        """Strike a pack that is not there any more; returns how many sectors only it had."""
        with self.writing() as connection:
            lost = connection.execute(
                sa.select(sa.func.count()).select_from(archived)
                .where(archived.c.pack == name, archived.c.cold)
            ).scalar_one()  # fmt: skip
            where = (archived.c.pack == name, sa.not_(archived.c.cold))
            connection.execute(sa.delete(archived).where(*where))
            if not lost:
                connection.execute(sa.delete(packs).where(packs.c.name == name))
        return int(lost)

    def kept(self, places: Sequence[Place]) -> dict[Place, Kept]:
        """Return where sectors are in the archive, those that are."""
        found = {}
        for start in range(0, len(places), _AT_ONCE):
            part = places[start : start + _AT_ONCE]
            for row in self.read(sa.select(archived).where(at_places(archived, part))):
                entry = _kept(row)
                found[entry.place] = entry
        return found

    def kept_in(self, pack: str) -> list[Kept]:
        """Return the sectors whose place in the archive is in this pack."""
        query = sa.select(archived).where(archived.c.pack == pack).order_by(archived.c.start)
        return [_kept(row) for row in self.read(query)]

    def packs_in_use(self, cls: int) -> set[str]:
        """Return the names of the packs in which something is that no other pack has."""
        found = self.read(sa.select(archived.c.pack).where(archived.c.cls == cls).distinct())
        return {row["pack"] for row in found}

    def heads_archived(self, cls: int) -> list[tuple[bytes, bytes, int, int, int]]:
        """Return (gateway, log, sectors, their bytes, highest number) of what is archived."""
        a = archived
        count, size = sa.func.count().label("n"), sa.func.sum(a.c.length).label("size")
        query = (
            sa.select(a.c.gateway, a.c.log, count, size, sa.func.max(a.c.sector).label("newest"))
            .where(a.c.cls == cls)
            .group_by(a.c.gateway, a.c.log)
            .order_by(a.c.gateway, a.c.log)
        )
        return [
            (bytes(row["gateway"]), bytes(row["log"]), row["n"], int(row["size"]), row["newest"])
            for row in self.read(query)
        ]

    # --- backups ---

    def add_backup(self, row: Row) -> None:
        with self.writing() as connection:
            connection.execute(sa.insert(backups), [row])

    def backups(self, cls: int, since_ms: int = 0, limit: int = 10_000) -> list[Row]:
        """Return the backups of a class that began after `since_ms`, the newest first."""
        query = sa.select(backups).where(backups.c.cls == cls, backups.c.began_ms >= since_ms)
        return self.read(
            query.order_by(backups.c.began_ms.desc(), backups.c.id.desc()).limit(limit)
        )

    # --- tiers ---

    def closed(
        self, gateway: bytes, cls: int, since_ms: int, before_ms: int, tier: str, limit: int
    ) -> list[Known]:
        """Return proven sectors of a tier that grew last in a span of time, the oldest first.

        tier  HOT (its rows are not compressed yet) or WARM (its bytes are in the database)
        A sector whose successor is not proven yet stays: the write path still asks for it.
        """
        s, w, behind = tables.sectors, warm, tables.sectors.alias("behind")
        same = sa.and_(*(s.c[name] == w.c[name] for name in PLACE))
        after = sa.and_(
            *(s.c[name] == behind.c[name] for name in PLACE[:3]),
            behind.c.sector == s.c.sector + 1,
            behind.c.state == PROVEN,
        )
        query = (
            sa.select(*(s.c[name] for name in PLACE), s.c.length, s.c.state, s.c.stored_ms)
            .select_from(s.join(behind, after).outerjoin(w, same))
            .where(s.c.gateway == gateway, s.c.cls == cls, s.c.state == PROVEN)
            .where(s.c.stored_ms >= since_ms, s.c.stored_ms < before_ms, s.c.data.is_not(None))
            .where(s.c.decoded >= s.c.length)
            .order_by(s.c.stored_ms, s.c.log, s.c.sector)
            .limit(limit)
        )
        if tier == HOT:
            query = query.where(w.c.count.is_(None))
        return [_known(row) for row in self.read(query)]

    def compress(self, place: Place) -> int:
        """Put the compressed rows of a sector in the place of its rows; returns how many."""
        table = tables.observations
        query = sa.select(table).where(*at_place(table, place))
        query = query.order_by(*(table.c[name] for name in ("offset", "idx")))
        with self.writing() as connection:
            rows = [_plain(row)[len(PLACE) :] for row in connection.execute(query)]
            blob = _pack_rows(rows)
            if [list(row) for row in _unpack_rows(blob)] != rows:
                raise ValueError(f"{place}: its rows do not survive being compressed")
            where = {"count": len(rows), "rows": blob}
            if self.insert(connection, warm, [place._asdict() | where]):
                connection.execute(sa.delete(table).where(*at_place(table, place)))
        return len(rows)

    def cool(self, pack: Row, kept: Sequence[Kept]) -> int:
        """Take sectors out of the database that `pack` was just read back with.

        Returns how many went: one that is not what it was when the pack was made stays.
        """
        s = tables.sectors
        gone = 0
        with self.writing() as connection:
            self.insert(connection, packs, [pack])
            for entry in kept:
                done = connection.execute(
                    sa.update(s)
                    .where(*at_place(s, entry.place), s.c.state == PROVEN)
                    .where(s.c.length == SECTOR_SIZE, s.c.data.is_not(None))
                    .values(data=None)
                ).rowcount
                if not done:
                    continue
                gone += 1
                self._place(connection, [_row(entry)])
                for table in (warm, tables.observations):
                    connection.execute(sa.delete(table).where(*at_place(table, entry.place)))
        return gone

    def rows_of(self, place: Place) -> list[Row]:
        """Return the observations of a sector that is hot or warm, in its own order.

        Raises  RowsError when what stands there is not what was stored
        """
        found = self.read(sa.select(warm.c.rows).where(*at_place(warm, place)))
        table = tables.observations
        hot = [] if found else self.read(sa.select(table).where(*at_place(table, place)))
        try:
            rows = _unpack_rows(bytes(found[0]["rows"])) if found else []
            warmed = [place._asdict() | dict(zip(_OF_ROWS, row, strict=True)) for row in rows]
            observations = [row for block in [*hot, *warmed] for row in rows_of_block(block)]
        except _SPOILT as error:
            raise RowsError(f"{place}: its rows cannot be read: {error}") from None
        return sorted(observations, key=itemgetter("offset", "idx"))

    def tier_sizes(self) -> dict[str, int]:
        """Return how many sectors are cold, and how many bytes warm rows take."""
        cold = sa.select(sa.func.count().label("n")).select_from(archived).where(archived.c.cold)
        size = sa.func.coalesce(sa.func.sum(sa.func.length(warm.c.rows)), 0)
        rows = sa.select(sa.func.count().label("n"), size.label("size")).select_from(warm)
        found = self.read(rows)[0]
        return {
            "cold_sectors": int(self.read(cold)[0]["n"]),
            "warm_sectors": int(found["n"]),
            "warm_bytes": int(found["size"]),
        }


def _place(row: Any) -> Place:
    return Place(bytes(row["gateway"]), bytes(row["log"]), row["cls"], row["sector"])


def _from(query: sa.Select[Any], first: Place | None) -> sa.Select[Any]:
    """Return a query on sectors that begins with one of them."""
    if first is None:
        return query
    s = tables.sectors
    here = sa.tuple_(s.c.log, s.c.cls, s.c.sector)
    return query.where(here >= sa.tuple_(first.log, first.cls, first.sector))


def _known(row: Row) -> Known:
    return Known(_place(row), row["length"], row["state"], row["stored_ms"])


def _row(entry: Kept) -> Row:
    row = entry._asdict()
    return row.pop("place")._asdict() | row


def _kept(row: Row) -> Kept:
    digest, tag = bytes(row["digest"]), bytes(row["tag"])
    where = (row["pack"], row["start"], row["cold"])
    return Kept(_place(row), row["length"], row["state"], digest, tag, *where)


def _plain(row: Any) -> list[Any]:
    # PostgreSQL's driver gives memoryviews where SQLite's gives bytes.
    return [bytes(value) if isinstance(value, memoryview) else value for value in row]


def _pack_rows(rows: list[list[Any]]) -> bytes:
    written = [[_text(value) for value in row] for row in rows]
    content = {"names": _OF_ROWS, "rows": written}
    return zlib.compress(json.dumps(content, separators=(",", ":")).encode(), _ZLIB_LEVEL)


def _unpack_rows(blob: bytes) -> list[list[Any]]:
    content = json.loads(zlib.decompress(blob))
    order = [content["names"].index(name) for name in _OF_ROWS]
    data = _OF_ROWS.index("data")
    rows = [[row[at] for at in order] for row in content["rows"]]
    return [[*row[:data], b64decode(row[data]), *row[data + 1 :]] for row in rows]


def _text(value: Any) -> Any:
    return b64encode(value).decode() if isinstance(value, bytes) else value
