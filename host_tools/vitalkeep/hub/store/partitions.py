"""A partition for each day of what is decoded, on PostgreSQL; made before the day comes.

Where TimescaleDB has the table, it makes its own. A row of a day that nobody made goes to
`observations_rest`: nothing is refused for that.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from vitalkeep.hub.store.database import Database

_AHEAD = 7
_LOCK = 0x766B_5041_5254_5320  # as in migrations: one hub at a time
_BLOCK_BYTES = 8160  # a block grows within its row's page: not moved out of it


class Partitions(Database):
    """Called when a hub starts, and every hour or so."""

    def open(self) -> None:
        super().open()
        self.make_days()

    def make_days(self) -> list[str]:
        """Make the partitions of today and a week; returns those that were missing.

        Raises  StoreError
        """
        if self.kind != "postgresql":
            return []
        with self.reading() as connection:
            missing = _missing(connection)
        if missing:
            with self.writing() as connection:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
                missing = _missing(connection)  # another hub may have been first
                for name, day in missing.items():
                    connection.exec_driver_sql(
                        f"CREATE TABLE {name} PARTITION OF observations "
                        f"FOR VALUES FROM ({day}) TO ({day + 1}) "
                        f"WITH (toast_tuple_target = {_BLOCK_BYTES}, fillfactor = 50)"
                    )
        return list(missing)


def _missing(connection: Connection) -> dict[str, int]:
    """Return {name: day since 1970} of partitions that are to be made."""
    kind = sa.text("SELECT relkind::text FROM pg_class WHERE oid = 'observations'::regclass")
    if connection.execute(kind).scalar() != "p":
        return {}
    query = sa.text("SELECT inhrelid::regclass::text FROM pg_inherits "
                    "WHERE inhparent = 'observations'::regclass")  # fmt: skip
    known = set(connection.execute(query).scalars())
    # The database's clock: hubs on several machines must agree on what is today.
    today = connection.execute(
        sa.text("SELECT extract(epoch FROM now())::bigint / 86400")
    ).scalar_one()
    names = {f"observations_day_{day}": day for day in range(today - 1, today + _AHEAD + 1)}
    return {name: day for name, day in names.items() if name not in known}
