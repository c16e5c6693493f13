"""A write for its own sake: whether the store takes any, and whether the schema is still ours."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from vitalkeep.hub.store import tables
from vitalkeep.hub.store.database import Database, StoreError, utc_now_ms

_NAME = "pulse"


class Pulse(Database):
    """What readiness rests on."""

    _revision: str | None = None

    def pulse(self) -> None:
        """Commit a small write, durable when this returns.

        Raises  StoreError, also when another release has changed the schema meanwhile
        """
        dialect = postgresql if self.kind == "postgresql" else sqlite
        value = utc_now_ms().to_bytes(8, "big")
        statement = dialect.insert(tables.meta).values(name=_NAME, value=value)
        statement = statement.on_conflict_do_update(
            index_elements=["name"], set_={"value": statement.excluded.value}
        )
        with self.writing() as connection:
            connection.execute(statement)
            query = sa.text("SELECT version_num FROM alembic_version")
            found = str(connection.execute(query).scalar_one())
        if self._revision is None:
            self._revision = found
        elif self._revision != found:
            raise StoreError(
                f"its schema was {self._revision} and is {found}: restart with that release"
            )
