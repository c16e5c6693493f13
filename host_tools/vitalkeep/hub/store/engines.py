"""Database connections as a hub needs them: durable at every commit, and checked at the door."""

from __future__ import annotations

import os
import sqlite3
from time import monotonic, sleep
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from vitalkeep.errors import ToolError

_CACHE_KB = 65536
_BUSY_MS = 5000
_PAUSE_S = 0.01
IDLE_MS = 5000
# Checkpoints run on a connection of their own; this is the net under them, in pages.
_AUTOCHECKPOINT_PAGES = 20000
# libpq's words: a database whose machine is gone without a word is given up within seconds.
_POSTGRES = {
    "connect_timeout": 5,  # seconds
    "tcp_user_timeout": 10_000,  # ms that what was sent may wait for its acknowledgement
    "keepalives_idle": 5,  # seconds
    "keepalives_interval": 2,
    "keepalives_count": 3,
}


def parse_url(text: str) -> sa.URL:
    """Return an SQLAlchemy URL of SQLite or PostgreSQL (by psycopg); raises ToolError."""
    try:
        url = sa.engine.make_url(text)
    except SQLAlchemyError:
        # The text may hold a password: it is not repeated.
        raise ToolError("the database URL makes no sense", "Try sqlite:////path/hub.db.") from None
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    kind = url.get_backend_name()
    if kind not in ("sqlite", "postgresql"):
        raise ToolError(f"database {kind}: not supported", "Use sqlite or postgresql.")
    if kind == "sqlite" and url.database in (None, "", ":memory:"):
        raise ToolError(
            "a database in memory keeps nothing", "Name a file: sqlite:////path/hub.db."
        )
    return url


def make_engine(url: sa.URL, pool_size: int, writes: bool = False) -> Engine:
    """Return an engine that never holds more than `pool_size` connections.

    writes  SQLite's transactions begin as writers: one that read first could not become one. Who
            only reads makes no file: in the place of one that was moved it would be an empty one,
            for which SQLite deletes the other's log
    """
    if url.get_backend_name() == "postgresql":
        engine = sa.create_engine(
            url, pool_size=pool_size, max_overflow=0, connect_args=dict(_POSTGRES)
        )
        if writes:
            sa.event.listen(engine, "connect", _set_up_postgresql)
        return engine
    mode = "rwc" if writes else "rw"
    path = f"file:{quote(os.path.abspath(str(url.database)))}?mode={mode}"
    engine = sa.create_engine(
        url,
        creator=lambda: sqlite3.connect(path, uri=True, check_same_thread=False),
        poolclass=sa.pool.QueuePool,
        pool_size=pool_size,
        max_overflow=0,
    )
    sa.event.listen(engine, "connect", _set_up_sqlite)
    begin = "BEGIN IMMEDIATE" if writes else "BEGIN"
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


def _set_up_postgresql(connection: Any, _record: Any) -> None:
    # A hub that is stopped, or cut off, in the midst of a commit has locks on rows. Whoever takes
    # over its gateways waits for them so long, and not until somebody finds that hub.
    connection.autocommit = True
    connection.execute(f"SET idle_in_transaction_session_timeout = {IDLE_MS}")
    connection.autocommit = False


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    # The driver must not begin transactions by itself: the engine does, reads included.
    connection.isolation_level = None
    cursor = connection.cursor()
    _keep_log(cursor)
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
    cursor.execute(f"PRAGMA cache_size=-{_CACHE_KB}")
    cursor.execute(f"PRAGMA wal_autocheckpoint={_AUTOCHECKPOINT_PAGES}")
    cursor.close()


def _keep_log(cursor: sqlite3.Cursor) -> None:
    """Have SQLite write a log beside its file, which is kept in the file itself.

    Of several who would do so at once with a new file SQLite refuses all but one without a wait.
    """
    deadline_s = monotonic() + _BUSY_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or monotonic() > deadline_s:
                raise
        sleep(_PAUSE_S)
