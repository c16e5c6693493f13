"""The only file with SQL: SQLAlchemy Core over SQLite (WAL, synchronous FULL) or PostgreSQL.

A batch is one transaction: bytes, decoded rows and states together, durable when `commit` returns.
Inserts are idempotent; a sector's length is compared inside the transaction, so two hubs that
write the same gateway cannot both be right unnoticed.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from vitalkeep.errors import ToolError
from vitalkeep.hub import schema
from vitalkeep.hub.decode import Row
from vitalkeep.hub.engines import make_engine, parse_url
from vitalkeep.hub.ingest import Batch, Change, Stream
from vitalkeep.hub.sectors import Place, Stored

_LOAD_CHUNK = 100
# Without this, not every driver says how many of many rows a statement touched.
_COUNTED = {"preserve_rowcount": True}
_EPOCH_SIZE = 8
_PLACE = ("gateway", "log", "cls", "sector")
_GROWN = ("length", "state", "spans", "stored_ms")
_CLOSED = (*_GROWN, "data")


class StoreError(Exception):
    """The store could not do it; the message says why in a few words. Nothing was changed."""


class StaleError(Exception):
    """The store has other lengths than this hub thought: load again, then apply again."""


def _why(error: SQLAlchemyError) -> str:
    cause = getattr(error, "orig", None)
    text = str(cause or error).strip() or type(error).__name__
    return text.splitlines()[0][:200]


class Store:
    """The database of one site.

    url     an SQLAlchemy URL; SQLite needs a file
    epoch   8 bytes, random when the database was made: another epoch voids old receipts
    Raises  ToolError when the URL or the schema's version is not ours
    """

    def __init__(self, url: str) -> None:
        parsed = parse_url(url)
        self.kind = parsed.get_backend_name()
        self.address = parsed.render_as_string(hide_password=True)
        # One connection writes; readers (the page, the account) never wait for it.
        self.writer = make_engine(parsed, pool_size=1)
        self.readers = make_engine(parsed, pool_size=2)
        self.epoch = b""

    def open(self) -> None:
        """Make the tables if they are not there and read the epoch; raises StoreError."""
        try:
            with self.writer.begin() as connection:
                schema.metadata.create_all(connection)
                self._insert(connection, schema.meta, [
                    {"name": "epoch", "value": secrets.token_bytes(_EPOCH_SIZE)},
                    {"name": "schema", "value": bytes((schema.SCHEMA_VERSION,))},
                ])  # fmt: skip
                found = {row.name: row.value for row in connection.execute(sa.select(schema.meta))}
        except SQLAlchemyError as error:
            raise StoreError(_why(error)) from error
        if found["schema"] != bytes((schema.SCHEMA_VERSION,)):
            version, want = found["schema"][0], schema.SCHEMA_VERSION
            raise ToolError(
                f"{self.address}: schema version {version}, want {want}",
                "Use the release that made this database.",
            )
        self.epoch = bytes(found["epoch"])

    def close(self) -> None:
        self.writer.dispose()
        self.readers.dispose()

    # --- writing ---

    def commit(self, batch: Batch) -> None:
        """Make a batch durable in one transaction.

        Raises  StoreError (disk full, database gone): the same batch may be given again
                StaleError when a sector's length is not what the batch was made from
        """
        try:
            with self.writer.begin() as connection:
                self._write_changes(connection, batch)
                for table, rows in batch.rows.items():
                    self._insert(connection, schema.ADDED[table], rows)
                self._replace(connection, schema.heads, batch.heads)
                self._replace(connection, schema.radio, batch.radio)
                if batch.story:
                    connection.execute(sa.insert(schema.story), batch.story)
        except SQLAlchemyError as error:
            raise StoreError(_why(error)) from error

    def _insert(self, connection: Connection, table: sa.Table, rows: list[Row]) -> int:
        """Add rows that are not there yet and return how many were added."""
        dialect = postgresql if self.kind == "postgresql" else sqlite
        statement = dialect.insert(table).on_conflict_do_nothing()
        return connection.execute(statement, rows, execution_options=_COUNTED).rowcount

    @staticmethod
    def _replace(connection: Connection, table: sa.Table, rows: dict[bytes, Row]) -> None:
        """Put a gateway's row in the place of the one it has."""
        for row in rows.values():
            connection.execute(sa.delete(table).where(table.c.gateway == row["gateway"]))
            connection.execute(sa.insert(table), row)

    @staticmethod
    def _updated(connection: Connection, named: tuple[str, ...], rows: list[Row]) -> int:
        return connection.execute(_update(named), rows, execution_options=_COUNTED).rowcount

    def _write_changes(self, connection: Connection, batch: Batch) -> None:
        fresh = [change for change in batch.changes if not change.old]
        grown = [change for change in batch.changes if change.old]
        if fresh:
            rows = [_sector_row(change, batch.now_ms) for change in fresh]
            if self._insert(connection, schema.sectors, rows) != len(rows):
                raise StaleError
        for named, changes in (
            (_GROWN, [change for change in grown if change.whole is None]),
            (_CLOSED, [change for change in grown if change.whole is not None]),
        ):
            if changes:
                rows = [_update_row(change, batch.now_ms) for change in changes]
                if self._updated(connection, named, rows) != len(rows):
                    raise StaleError
        pieces = [
            change.place._asdict() | {"offset": change.old, "data": change.piece}
            for change in batch.changes
            if change.piece and change.whole is None
        ]
        if pieces:
            self._insert(connection, schema.pieces, pieces)
        for change in batch.changes:
            if change.whole is not None and change.old:
                connection.execute(
                    sa.delete(schema.pieces).where(*_at(schema.pieces, change.place))
                )

    def checkpoint(self) -> None:
        """Move SQLite's log into its database beside the writer; raises StoreError."""
        if self.kind == "sqlite":
            try:
                with self.readers.connect() as connection:
                    connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")
            except SQLAlchemyError as error:
                raise StoreError(_why(error)) from error

    # --- reading for ingest and receipts ---

    def load(self, places: Sequence[Place]) -> dict[Place, Stored | None]:
        """Return what is stored of each sector; raises StoreError."""
        found: dict[Place, Stored | None] = dict.fromkeys(places)
        try:
            with self.writer.begin() as connection:
                for start in range(0, len(places), _LOAD_CHUNK):
                    self._load(connection, places[start : start + _LOAD_CHUNK], found)
        except SQLAlchemyError as error:
            raise StoreError(_why(error)) from error
        return found

    @staticmethod
    def _load(
        connection: Connection, places: Sequence[Place], found: dict[Place, Stored | None]
    ) -> None:
        parts: dict[Place, bytearray] = {}
        table = schema.pieces
        query = sa.select(table).where(_in(table, places)).order_by(table.c.offset)
        for row in connection.execute(query):
            prefix = parts.setdefault(_place(row), bytearray())
            if row.offset == len(prefix):
                prefix += row.data
        for row in connection.execute(
            sa.select(schema.sectors).where(_in(schema.sectors, places))
        ):
            place = _place(row)
            data = row.data if row.data is not None else bytes(parts.get(place, b""))
            if len(data) != row.length:
                raise StoreError(f"{place}: {len(data)} bytes are stored, want {row.length}")
            found[place] = Stored(bytes(data), row.state)

    def states(self, stream: Stream, first: int, last: int) -> list[tuple[int, int, int]]:
        """Return (sector, length, state) of a log's sectors first to last; raises StoreError."""
        table = schema.sectors
        query = (
            sa.select(table.c.sector, table.c.length, table.c.state)
            .where(*_in_stream(table, stream), table.c.sector.between(first, last))
            .order_by(table.c.sector)
        )
        try:
            with self.writer.begin() as connection:
                return [(row.sector, row.length, row.state) for row in connection.execute(query)]
        except SQLAlchemyError as error:
            raise StoreError(_why(error)) from error

    # --- reading for people ---

    def _read(self, query: sa.Select[Any]) -> list[Row]:
        try:
            with self.readers.begin() as connection:
                names = query.selected_columns.keys()
                rows = connection.execute(query)
                return [dict(zip(names, row, strict=True)) for row in rows]
        except SQLAlchemyError as error:
            raise StoreError(_why(error)) from error

    def clocks(self, gateway: bytes, since_ms: int = 0) -> list[Row]:
        """Return the clock records of a gateway that were true after `since_ms` (UTC)."""
        table = schema.clocks
        return self._read(
            sa.select(table)
            .where(table.c.gateway == gateway, table.c.utc_ms >= since_ms)
            .order_by(table.c.boot, table.c.mono_ms)
        )

    def spans(self, gateway: bytes, since_ms: int) -> list[Row]:
        """Return place, state, length and spans of sectors that grew after `since_ms`."""
        table = schema.sectors
        columns = (table.c.log, table.c.cls, table.c.sector, table.c.length)
        return self._read(
            sa.select(*columns, table.c.state, table.c.spans)
            .where(table.c.gateway == gateway, table.c.stored_ms >= since_ms)
            .order_by(table.c.cls, table.c.log, table.c.sector)
        )

    def newest(self, table: str, gateway: bytes, count: int) -> list[Row]:
        """Return the last `count` rows of a table of ADDED for a gateway, newest sector first."""
        source = schema.ADDED[table]
        order = (source.c.sector.desc(), source.c.offset.desc(), source.c.idx.desc())
        rows: list[Row] = []
        for cls in range(3):
            query = sa.select(source).where(source.c.gateway == gateway, source.c.cls == cls)
            rows += self._read(query.order_by(*order).limit(count))
        return rows

    def recent(self, table: str, since_ms: int, count: int) -> list[Row]:
        """Return the last `count` rows of "events", "gaps" or "story", newest first."""
        source = {"events": schema.events, "gaps": schema.gaps, "story": schema.story}[table]
        when = source.c.at_ms if table == "story" else source.c.stored_ms
        return self._read(
            sa.select(source).where(when >= since_ms).order_by(when.desc()).limit(count)
        )

    def heads(self) -> list[Row]:
        """Return each gateway's last heartbeat, its fields decoded."""
        rows = self._read(sa.select(schema.heads))
        return [row | {"fields": json.loads(row["fields"])} for row in rows]

    def radio(self) -> list[Row]:
        """Return what each gateway said last by radio."""
        return self._read(sa.select(schema.radio))

    def observations(self, gateway: bytes, first: int = 0, count: int = 1000) -> list[Row]:
        """Return observations of a gateway in the order of its logs, from sector `first`."""
        table = schema.observations
        order = [table.c[name] for name in (*_PLACE, "offset", "idx")]
        return self._read(
            sa.select(table)
            .where(table.c.gateway == gateway, table.c.sector >= first)
            .order_by(*order)
            .limit(count)
        )

    def count(self, table: str) -> int:
        """Return the number of rows of a table."""
        source = schema.metadata.tables[table]
        rows = self._read(sa.select(sa.func.count().label("n")).select_from(source))
        return int(rows[0]["n"])


def _sector_row(change: Change, now_ms: int) -> Row:
    return change.place._asdict() | {
        "length": change.length,
        "state": change.state,
        "data": change.whole,
        "spans": change.spans,
        "stored_ms": now_ms,
    }


def _update(named: tuple[str, ...]) -> sa.Update:
    """Set `named` columns of one sector if it has the length that the change started from."""
    table = schema.sectors
    where = [table.c[name] == sa.bindparam(f"at_{name}") for name in (*_PLACE, "length")]
    return sa.update(table).where(*where).values({name: sa.bindparam(name) for name in named})


def _update_row(change: Change, now_ms: int) -> Row:
    row = {f"at_{name}": value for name, value in change.place._asdict().items()}
    row["at_length"] = change.old
    new = _sector_row(change, now_ms)
    if change.whole is None:
        del new["data"]
    return row | {name: new[name] for name in _CLOSED if name in new}


def _place(row: Any) -> Place:
    return Place(bytes(row.gateway), bytes(row.log), row.cls, row.sector)


def _at(table: sa.Table, place: Place) -> list[sa.ColumnElement[bool]]:
    return [table.c[name] == value for name, value in zip(_PLACE, place, strict=True)]


def _in_stream(table: sa.Table, stream: Stream) -> list[sa.ColumnElement[bool]]:
    return [table.c[name] == value for name, value in zip(_PLACE[:3], stream, strict=True)]


def _in(table: sa.Table, places: Sequence[Place]) -> sa.ColumnElement[bool]:
    return sa.or_(*(sa.and_(*_at(table, place)) for place in places))


def utc_now_ms() -> int:
    """Return the site's clock in milliseconds since 1970."""
    return time.time_ns() // 1_000_000
