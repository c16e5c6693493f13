"""One hub on an SQLite file: a second one on it would only wait for the first, write by write.

The lock is SQLite's own, on an empty database beside the file, so that whoever reads the file is
not in its way. The operating system gives it back when the process ends, however that ends.
"""

from __future__ import annotations

import sqlite3

from vitalkeep.errors import ToolError
from vitalkeep.hub.store.database import Database


class Alone(Database):
    """What holds for a store that is a file."""

    _held: sqlite3.Connection | None = None

    def stand_alone(self) -> None:
        """Be the one hub of this file until `close`; raises ToolError when there is another.

        A PostgreSQL database takes many: see `Leases`.
        """
        if self.kind != "sqlite":
            return
        held = sqlite3.connect(f"{self.writer.url.database}-hub", timeout=0, isolation_level=None)
        try:
            held.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            held.close()
            raise ToolError(
                f"{self.address}: another hub works on this file",
                "Stop it. Hubs that share the load need PostgreSQL: --database postgresql://...",
            ) from None
        self._held = held

    def close(self) -> None:
        super().close()
        held, self._held = self._held, None
        if held is not None:
            held.close()
