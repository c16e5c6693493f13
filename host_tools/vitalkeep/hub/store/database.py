"""One database: its address, its connections, its epoch, and which schema it has.

What a statement raises becomes a StoreError here, so that nobody else has to know the driver.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from vitalkeep.errors import ToolError
from vitalkeep.hub.decode import Row
from vitalkeep.hub.store import bulk, tables
from vitalkeep.hub.store.engines import make_engine, parse_url

log = logging.getLogger(__name__)

# Without this, not every driver says how many of many rows a statement touched.
_COUNTED = {"preserve_rowcount": True}
# SQLite has one writer at a time: who comes second waits here instead of being refused there.
_WRITERS = {"sqlite": 1, "postgresql": 4}


class StoreError(Exception):
    """The store could not do it; the message says why in a few words. Nothing was changed."""


class LogGoneError(StoreError):
    """SQLite's log has no name any more: whoever opens the file next finds nothing of it."""


class StaleError(Exception):
    """The store has other lengths than this hub thought: load again, then apply again."""


class Database:
    """The database of one site.

    url     an SQLAlchemy URL; SQLite needs a file
    epoch   8 bytes, random when the database was made: another epoch voids old receipts
    Raises  ToolError when the URL is not ours
    """

    def __init__(self, url: str) -> None:
        parsed = parse_url(url)
        self.kind = parsed.get_backend_name()
        self.dialect: Any = postgresql if self.kind == "postgresql" else sqlite
        self.address = parsed.render_as_string(hide_password=True)
        # Readers (the page, the account) never wait for whoever writes.
        self.writer = make_engine(parsed, pool_size=_WRITERS[self.kind], writes=True)
        self.readers = make_engine(parsed, pool_size=2)
        self.epoch = b""
        self._file = parsed.database if self.kind == "sqlite" else None
        self._opened: tuple[int, int] | None = None

    def open(self) -> None:
        """Bring the schema up to date, or make it, and read the epoch.

        Raises  StoreError when the database does not do it
                ToolError when the schema is newer than this release knows
        """
        # Here, as many commands read a database and few open one.
        from vitalkeep.hub import migrations

        self._opened = None
        with self.writing() as connection:
            try:
                migrations.upgrade(connection)
            except migrations.UnknownSchema as error:
                raise ToolError(
                    f"{self.address}: {error}",
                    "Run the newest release that has opened it, or restore a backup made before.",
                ) from None
            query = sa.select(tables.meta.c.value).where(tables.meta.c.name == "epoch")
            self.epoch = bytes(connection.execute(query).scalar_one())
        self._opened = _identity(self._file) if self._file else None

    def close(self) -> None:
        self.writer.dispose()
        self.readers.dispose()

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """Yield the writer's connection in one transaction, durable when this returns.

        Raises  StoreError, also when SQLite's file or its log is not the one that was opened any
                more: what goes into a file without a name is found by nobody
        """
        try:
            with self.writer.begin() as connection:
                yield connection
                # Before the commit, so that nothing is promised that went the file's way.
                self._check_names(connection)
        except LogGoneError:
            self._save_log()
            raise
        except SQLAlchemyError as error:
            raise StoreError(_why(error)) from error

    def _check_names(self, connection: Connection) -> None:
        """Find SQLite's file, and the log beside it, under their names; raises StoreError.

        The log is known to be gone only while a connection has it open: SQLite itself removes it
        with the last one. Between a crash and the next start nobody can tell whether it was
        deleted, or another program had opened the file and put the log's content into it.
        """
        if self._file is None:
            return
        beside = _identity(f"{self._file}-wal")
        if self._opened is not None and _identity(self._file) != self._opened:
            raise StoreError(
                f"{self._file} was moved, removed or replaced: put back the file that"
                " was opened, or restart the hub with what is there now"
            )
        if connection.info.setdefault("log", beside) != beside:
            raise LogGoneError(
                f"{self._file}-wal was moved, removed or replaced: restart the hub; what was"
                " committed is in the file without it"
            )

    def _save_log(self) -> None:
        """Put what is in the log into the database, by the connection that has it open still."""
        try:
            with contextlib.closing(self.writer.raw_connection()) as connection:
                connection.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)")
        except (SQLAlchemyError, sqlite3.Error) as error:
            log.error("%s-wal is gone, and was not saved: %s", self._file, error)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yield a reader's connection in one transaction."""
        try:
            with self.readers.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise StoreError(_why(error)) from error

    def read(self, query: sa.Select[Any]) -> list[Row]:
        """Return the rows of a query as dicts; raises StoreError."""
        with self.reading() as connection:
            names = query.selected_columns.keys()
            return [dict(zip(names, row, strict=True)) for row in connection.execute(query)]

    def insert(self, connection: Connection, table: sa.Table, rows: Sequence[Row]) -> int:
        """Add rows that are not there yet and return how many were added."""
        statement = self.dialect.insert(table).on_conflict_do_nothing()
        return connection.execute(statement, rows, execution_options=_COUNTED).rowcount

    @staticmethod
    def updated(connection: Connection, statement: sa.Update, rows: Sequence[Row]) -> int:
        """Run an update once a row of parameters and return how many rows it changed."""
        return connection.execute(statement, rows, execution_options=_COUNTED).rowcount

    @staticmethod
    def add(connection: Connection, table: sa.Table, rows: Sequence[Row]) -> None:
        """Add rows of plain values that are not there yet, many at once."""
        if rows:
            names = tuple(rows[0])
            bulk.insert(connection, table, names, [[row[n] for n in names] for row in rows])

    @staticmethod
    def replace(
        connection: Connection, table: sa.Table, key: Sequence[str], rows: Sequence[Row]
    ) -> None:
        """Put rows in the place of those that have the same key."""
        if rows:
            names = tuple(rows[0])
            values = [[row[n] for n in names] for row in rows]
            bulk.insert(connection, table, names, values, bulk.replacing(table, key, names))


def _identity(path: str) -> tuple[int, int] | None:
    """Return which file a path names now, None for none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _why(error: SQLAlchemyError) -> str:
    cause = getattr(error, "orig", None)
    text = str(cause or error).strip() or type(error).__name__
    return text.splitlines()[0][:200]


def utc_now_ms() -> int:
    """Return the site's clock in milliseconds since 1970."""
    return time.time_ns() // 1_000_000
