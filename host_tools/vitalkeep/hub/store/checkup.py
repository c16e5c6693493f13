"""What is asked of a database that may not be open, or not be ours: nothing here changes it."""

from __future__ import annotations

import sqlalchemy as sa

from vitalkeep.hub.store.database import Database


class Checkup(Database):
    """Each raises StoreError."""

    def revision(self) -> str | None:
        """Return the schema's revision, None for a database without one."""
        with self.reading() as connection:
            if not sa.inspect(connection).has_table("alembic_version"):
                return None
            query = sa.text("SELECT version_num FROM alembic_version")
            return str(connection.execute(query).scalar_one())

    def server_clock_ms(self) -> int | None:
        """Return the UTC of the database's server in ms, None where it is this machine's."""
        if self.kind != "postgresql":
            return None
        with self.reading() as connection:
            query = sa.text("SELECT extract(epoch FROM clock_timestamp()) * 1000")
            return int(connection.execute(query).scalar_one())
