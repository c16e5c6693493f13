"""What other systems recorded: files, how far they are read, values with their origin, rejects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from vitalkeep.hub.decode import Row
from vitalkeep.hub.sectors import Place
from vitalkeep.hub.store import bulk
from vitalkeep.hub.store.database import Database
from vitalkeep.hub.store.foreign_tables import (
    foreign_files,
    foreign_mappings,
    foreign_rejects,
    foreign_series,
    foreign_values,
)
from vitalkeep.hub.store.tables import PLACE, sectors

_OF_SERIES = ("bed", "device", "label", "mdc", "unit")
_OF_VALUES = ("series", "at_ms", "value", "decimals", "file", "line")
_OF_REJECTS = ("file", "line", "item", "column", "reason", "text", "raw")
_AT_ONCE = 10_000


class ForeignValue(NamedTuple):
    """One value of another system; system, file, digest (SHA-256 of that file) and line: whence.

    It is value over 10 to the power of decimals, at a time in UTC. No gateway sealed it.
    """

    at_ms: int
    value: int
    decimals: int
    system: str
    bed: str
    device: str
    label: str
    mdc: str
    unit: str
    file: str
    digest: bytes
    line: int


class Foreign(Database):
    """Each raises StoreError."""

    # --- files ---

    def foreign_file(self, system: str, name: str, mapping: bytes) -> Row | None:
        """Return what was read last of a file by a mapping, None for nothing."""
        f = foreign_files
        query = sa.select(f).where(f.c.system == system, f.c.name == name)
        query = query.where(f.c.mapping == mapping).order_by(f.c.id.desc()).limit(1)
        found = self.read(query)
        return _plain(found[0]) if found else None

    def foreign_versions(self, system: str, name: str) -> list[Row]:
        """Return (id, mapping, size, digest) of a file each time that it was another, by any."""
        f = foreign_files
        query = sa.select(f.c.id, f.c.mapping, f.c.size, f.c.digest)
        found = self.read(query.where(f.c.system == system, f.c.name == name))
        return [_plain(row) for row in found]

    def foreign_supersede(self, files: Iterable[int]) -> None:
        """Drop what was refused of files, as a later reading took or refused it again."""
        with self.writing() as connection:
            where = foreign_rejects.c.file.in_(list(files))
            connection.execute(sa.delete(foreign_rejects).where(where))

    def foreign_begin(self, row: Row, mapping_text: str) -> int:
        """Note a file of which nothing is read yet, or not more than before; returns its id."""
        with self.writing() as connection:
            mapping = {"digest": row["mapping"], "text": mapping_text}
            self.insert(connection, foreign_mappings, [mapping])
            found = connection.execute(sa.insert(foreign_files).returning(foreign_files.c.id), row)
            return int(found.scalar_one())

    def foreign_take(
        self,
        file: int,
        progress: Row,
        values: Sequence[tuple[tuple[str, ...], int, int, int, int]],
        rejects: Sequence[tuple[Any, ...]],
        ids: dict[tuple[str, ...], int],
        counts: dict[str, int],
    ) -> int:
        """Store what some rows of a file gave, and how far it is read: all of it, or nothing.

        values   (series, at_ms, value, decimals, line); series: bed, device, label, mdc, unit
        rejects  (line, item, column, reason, text, raw)
        ids      of series that are known, which is added to
        counts   by column, what is to be added to it
        Returns  how many values were new
        """
        fresh: dict[tuple[str, ...], int] = {}
        f = foreign_files
        with self.writing() as connection:
            system = connection.execute(sa.select(f.c.system).where(f.c.id == file)).scalar_one()
            for series in sorted({value[0] for value in values} - ids.keys()):
                fresh[series] = self._series_id(connection, system, series)
            known = ids | fresh
            rows = [[known[s], at, v, d, file, line] for s, at, v, d, line in values]
            added = bulk.insert(connection, foreign_values, _OF_VALUES, rows)
            refused = [[file, *reject] for reject in rejects]
            bulk.insert(connection, foreign_rejects, _OF_REJECTS, refused)
            change = progress | {"imported": f.c.imported + added}
            change["duplicates"] = f.c.duplicates + len(values) - added
            change |= {name: f.c[name] + count for name, count in counts.items()}
            connection.execute(sa.update(f).where(f.c.id == file).values(**change))
        ids.update(fresh)
        return added

    def _series_id(self, connection: Connection, system: str, series: tuple[str, ...]) -> int:
        s = foreign_series
        row = dict(zip(_OF_SERIES, series, strict=True)) | {"system": system}
        self.insert(connection, s, [row])
        where = [s.c[name] == value for name, value in row.items()]
        return int(connection.execute(sa.select(s.c.id).where(*where)).scalar_one())

    def foreign_restart(self, file: int) -> None:
        """Begin with a file anew: what it gave stays, what it did not give is counted again."""
        zero = dict.fromkeys(("offset", "line", "rows", "duplicates", "refused", "empty"), 0)
        zero["skipped"] = 0
        f = foreign_files
        with self.writing() as connection:
            where = foreign_rejects.c.file == file
            connection.execute(sa.delete(foreign_rejects).where(where))
            connection.execute(sa.update(f).where(f.c.id == file).values(done_ms=None, **zero))

    def foreign_files(self, system: str | None = None) -> list[Row]:
        """Return all files that were read, of one system or of all, in the order of reading."""
        query = sa.select(foreign_files).order_by(foreign_files.c.id)
        if system is not None:
            query = query.where(foreign_files.c.system == system)
        return [_plain(row) for row in self.read(query)]

    def foreign_rejects(self, system: str) -> Iterator[Row]:
        """Yield what was refused of the files of a system: with file name and SHA-256."""
        r, f = foreign_rejects, foreign_files
        query = (
            sa.select(f.c.name, f.c.digest, *r.c)
            .select_from(r.join(f, f.c.id == r.c.file))
            .where(f.c.system == system)
            .order_by(r.c.file, r.c.line, r.c.item)
        )
        names = query.selected_columns.keys()
        with self.reading() as connection:
            for row in connection.execution_options(yield_per=_AT_ONCE).execute(query):
                yield _plain(dict(zip(names, row, strict=True)))

    def foreign_refused(self, system: str) -> dict[str, int]:
        """Return how many values of a system were refused, by reason."""
        r, f = foreign_rejects, foreign_files
        query = (
            sa.select(r.c.reason, sa.func.count().label("n"))
            .select_from(r.join(f, f.c.id == r.c.file))
            .where(f.c.system == system)
            .group_by(r.c.reason)
        )
        return {row["reason"]: int(row["n"]) for row in self.read(query)}

    def foreign_forget(self, system: str) -> int:
        """Delete all that came from a system; returns how many values that were.

        Part by part, as a hub may write beside it: if it is stopped, the same again goes on.
        """
        s, f, v, r = foreign_series, foreign_files, foreign_values, foreign_rejects
        gone = 0
        with self.writing() as connection:
            # If nobody does the same again, whoever takes these files reads all of them.
            nothing = {"offset": 0, "line": 0, "done_ms": None}
            connection.execute(sa.update(f).where(f.c.system == system).values(**nothing))
        for row in self.foreign_series(system):
            of_series = v.c.series == row["id"]
            at = sa.select(v.c.at_ms).where(of_series).order_by(v.c.at_ms)
            last = False
            while not last:
                with self.writing() as connection:
                    edge = connection.execute(at.offset(_AT_ONCE).limit(1)).scalar()
                    last = edge is None
                    where = of_series if last else sa.and_(of_series, v.c.at_ms <= edge)
                    gone += connection.execute(sa.delete(v).where(where)).rowcount
        files = sa.select(f.c.id).where(f.c.system == system)
        with self.writing() as connection:
            connection.execute(sa.delete(r).where(r.c.file.in_(files)))
            connection.execute(sa.delete(s).where(s.c.system == system))
            connection.execute(sa.delete(f).where(f.c.system == system))
        return gone

    # --- values ---

    def foreign_series(self, system: str | None = None, bed: str | None = None) -> list[Row]:
        """Return all series, of a system, of a bed."""
        s = foreign_series
        query = sa.select(s).order_by(s.c.bed, s.c.device, s.c.label, s.c.system, s.c.id)
        if system is not None:
            query = query.where(s.c.system == system)
        if bed is not None:
            query = query.where(s.c.bed == bed)
        return self.read(query)

    def foreign_span(self, series: int) -> tuple[int, int] | None:
        """Return (first, last) UTC ms of a series, None for one without values."""
        v = foreign_values
        first, last = sa.func.min(v.c.at_ms), sa.func.max(v.c.at_ms)
        query = sa.select(first.label("first"), last.label("last")).where(v.c.series == series)
        row = self.read(query)[0]
        return None if row["first"] is None else (row["first"], row["last"])

    def foreign_points(
        self, series: int, since_ms: int, until_ms: int
    ) -> list[tuple[int, int, int]]:
        """Return (at_ms, value, decimals) of a series, from since to before until, in order."""
        v = foreign_values
        query = (
            sa.select(v.c.at_ms, v.c.value, v.c.decimals)
            .where(v.c.series == series, v.c.at_ms >= since_ms, v.c.at_ms < until_ms)
            .order_by(v.c.at_ms, v.c.value, v.c.decimals)
        )
        with self.reading() as connection:
            return [(at, value, decimals) for at, value, decimals in connection.execute(query)]

    def undecoded_places(self, gateway: bytes) -> set[Place]:
        """Return the sectors of a gateway of which some rows are not stored yet."""
        s = sectors
        query = sa.select(*(s.c[name] for name in PLACE))
        found = self.read(query.where(s.c.gateway == gateway, s.c.decoded < s.c.length))
        return {Place(bytes(r["gateway"]), bytes(r["log"]), r["cls"], r["sector"]) for r in found}

    def foreign_values(
        self, series: Iterable[int], since_ms: int, until_ms: int
    ) -> Iterator[ForeignValue]:
        """Yield the values of some series in a span of time, each with where it came from."""
        v, s, f = foreign_values, foreign_series, foreign_files
        query = (
            sa.select(
                *(v.c.at_ms, v.c.value, v.c.decimals, s.c.system),
                *(s.c[name] for name in _OF_SERIES),
                *(f.c.name, f.c.digest, v.c.line),
            )
            .select_from(v.join(s, s.c.id == v.c.series).join(f, f.c.id == v.c.file))
            .where(v.c.series.in_(list(series)), v.c.at_ms >= since_ms, v.c.at_ms < until_ms)
            .order_by(v.c.at_ms, v.c.series)
        )
        with self.reading() as connection:
            for row in connection.execution_options(yield_per=_AT_ONCE).execute(query):
                yield ForeignValue(*row[:10], bytes(row[10]), row[11])

    def foreign_trend(
        self, series: int, window: tuple[int, int, int]
    ) -> list[tuple[int, float, float, int]]:
        """Return a series in buckets, as `Views.trend` does for what gateways sealed.

        window  from when to when in UTC ms, and in how many buckets
        Returns (UTC ms, least, greatest, number of values); a trend of its own, never mixed
        """
        start_ms, end_ms, count = window
        width_ms = max(1, -(-(end_ms - start_ms) // count))
        v = foreign_values
        # Each scale for itself: numbers of different decimals are not compared as they stand.
        bucket = ((v.c.at_ms - start_ms) // width_ms).label("bucket")
        query = (
            sa.select(
                *(bucket, v.c.decimals, sa.func.min(v.c.value).label("low")),
                *(sa.func.max(v.c.value).label("high"), sa.func.count().label("n")),
            )
            .where(v.c.series == series, v.c.at_ms >= start_ms, v.c.at_ms < end_ms)
            .group_by(bucket, v.c.decimals)
        )
        found: dict[int, tuple[float, float, int]] = {}
        for row in self.read(query):
            scale = 10 ** row["decimals"]
            low, high, number = row["low"] / scale, row["high"] / scale, row["n"]
            at = int(row["bucket"])
            if at in found:
                other = found[at]
                low, high = min(low, other[0]), max(high, other[1])
                number += other[2]
            found[at] = (low, high, number)
        return [(start_ms + at * width_ms, *found[at]) for at in sorted(found)]


def _plain(row: Row) -> Row:
    # PostgreSQL's driver gives memoryviews where SQLite's gives bytes.
    return {k: bytes(v) if isinstance(v, memoryview) else v for k, v in row.items()}
