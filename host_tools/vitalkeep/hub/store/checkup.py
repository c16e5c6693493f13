"""What is asked of a database that may not be open, or not be ours: nothing here changes it."""

from __future__ import annotations

import sqlalchemy as sa

from vitalkeep.hub.sectors import Place
from vitalkeep.hub.store.database import Database
from vitalkeep.hub.store.prefixes import SOUND
from vitalkeep.hub.store.tables import PLACE, place_of, sectors


class Checkup(Database):
    """Each raises StoreError."""

    def revision(self) -> str | None:
        """Return the schema's revision, None for a database without one."""
        with self.reading() as connection:
            if not sa.inspect(connection).has_table("alembic_version"):
                return None
            query = sa.text("SELECT version_num FROM alembic_version")
            return str(connection.execute(query).scalar_one())

    def spoilt(self, limit: int) -> list[Place]:
        """Return sectors whose bytes are not as long as their rows say, `limit` at most."""
        query = sa.select(*(sectors.c[name] for name in PLACE)).where(sa.not_(SOUND)).limit(limit)
        with self.reading() as connection:
            return [place_of(row) for row in connection.execute(query)]

    def server_clock_ms(self) -> int | None:
        """Return the UTC of the database's server in ms, None where it is this machine's."""
        if self.kind != "postgresql":
            return None
        with self.reading() as connection:
            query = sa.text("SELECT extract(epoch FROM clock_timestamp()) * 1000")
            return int(connection.execute(query).scalar_one())
