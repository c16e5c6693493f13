"""How much the logs take, hub by hub and hour by hour, and how large the database is."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from vitalkeep.hub.decode import Row
from vitalkeep.hub.store import tables
from vitalkeep.hub.store.database import Database


class Usage(Database):
    """Each raises StoreError."""

    def size(self) -> int:
        """Return the bytes that the database's content takes."""
        with self.reading() as connection:
            if self.kind == "postgresql":
                query = sa.text("SELECT pg_database_size(current_database())")
                return int(connection.execute(query).scalar_one())

            def pragma(name: str) -> int:
                return int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())

            return (pragma("page_count") - pragma("freelist_count")) * pragma("page_size")

    def free(self) -> int | None:
        """Return the bytes that can still be written, None for a server's disk."""
        if self.kind != "sqlite":
            return None
        path = Path(str(self.readers.url.database))
        try:
            free = shutil.disk_usage(path.parent).free
            blank = os.stat(path).st_size - self.size()
        except OSError:
            return None
        return free + max(0, blank)

    def add_usage(self, row: Row, keep_since_ms: int) -> None:
        """Note what one hub has stored since it last said so, and forget what is old."""
        table = tables.usage
        with self.writing() as connection:
            self.insert(connection, table, [row])
            connection.execute(sa.delete(table).where(table.c.at_ms < keep_since_ms))

    def usage(self, since_ms: int, until_ms: int) -> list[dict[str, Any]]:
        """Return what was noted in a span of time, oldest first."""
        table = tables.usage
        span = table.c.at_ms.between(since_ms, until_ms)
        return self.read(sa.select(table).where(span).order_by(table.c.at_ms))
