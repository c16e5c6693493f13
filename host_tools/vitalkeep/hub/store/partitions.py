"""A partition for each day of what is decoded, on PostgreSQL: made before the day comes, and gone
when little is left of it.

A row of a day that has none goes to `observations_rest`: nothing is refused for that.
"""

from __future__ import annotations

import logging
import re

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from vitalkeep.hub.store.database import Database, StoreError

log = logging.getLogger(__name__)

_AHEAD = 7
_LEFT_MAX = 1000  # blocks: moving them kept others waiting for 0.03 to 0.2 s
_WAIT_MS = 1000  # for those who read; whoever commits waits behind us
_TURN_MS = 10_000  # for another hub that does the same; nobody waits behind us for that
_LOCK = 0x766B_5041_5254_5320  # as in migrations: one hub at a time
_BLOCK_BYTES = 8160  # a block grows within its row's page: not moved out of it
_NAME = re.compile(r"observations_day_(\d+)")


class Partitions(Database):
    """Called when a hub starts, and every hour or so.

    Each raises StoreError, when someone reads for long, too: all others would wait behind us.
    """

    def open(self) -> None:
        super().open()
        try:
            self.make_days()
        except StoreError as error:
            log.warning("days of observations are not made: %s", error)  # it runs without, too

    def make_days(self) -> list[str]:
        """Make the partitions of today and a week; returns those that were missing.

        Whoever commits rows of another day does not wait for that.
        """
        if self.kind != "postgresql":
            return []
        with self.reading() as connection:
            missing = _missing(connection)
        if missing:
            with self.writing() as connection:
                _take_turns(connection)
                missing = _missing(connection)  # another hub may have been first
                for name, day in missing.items():
                    _make(connection, name, day)
        return list(missing)

    def drop_days(self) -> list[str]:
        """Move what little is left of days gone by to the rest; returns the partitions that went.

        Statements that name no day lock each partition: in some years there would be more of
        them than PostgreSQL has locks for.
        """
        if self.kind != "postgresql":
            return []
        with self.reading() as connection:
            days, today = _days(connection)
        return [name for name, day in days.items() if day < today - 1 and self._drop(name)]

    def _drop(self, name: str) -> bool:
        """Drop a day that has little left; returns whether it went."""
        with self.writing() as connection:
            _take_turns(connection)
            if name not in _days(connection)[0] or not _has_little(connection, name):
                return False
            connection.exec_driver_sql("LOCK TABLE observations IN ACCESS EXCLUSIVE MODE")
            if not _has_little(connection, name):  # more was decoded late, until now
                return False
            for statement in (
                f"ALTER TABLE observations DETACH PARTITION {name}",
                f"INSERT INTO observations SELECT * FROM {name}",
                f"DROP TABLE {name}",
            ):
                connection.exec_driver_sql(statement)
        return True


def _take_turns(connection: Connection) -> None:
    """Be the only hub that changes days, until the transaction ends, and wait for no lock long."""
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = {_TURN_MS}")
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = {_WAIT_MS}")


def _days(connection: Connection) -> tuple[dict[str, int], int]:
    """Return ({name: day since 1970} of the partitions that are there, today)."""
    query = sa.text("SELECT inhrelid::regclass::text FROM pg_inherits "
                    "WHERE inhparent = 'observations'::regclass")  # fmt: skip
    names = connection.execute(query).scalars().all()
    days = {name: int(found[1]) for name in names if (found := _NAME.fullmatch(name))}
    # The database's clock: hubs on several machines must agree on what is today.
    today = connection.execute(sa.text("SELECT extract(epoch FROM now())::bigint / 86400"))
    return days, today.scalar_one()


def _missing(connection: Connection) -> dict[str, int]:
    """Return {name: day since 1970} of partitions that are to be made."""
    known, today = _days(connection)
    names = {f"observations_day_{day}": day for day in range(today - 1, today + _AHEAD + 1)}
    return {name: day for name, day in names.items() if name not in known}


def _make(connection: Connection, name: str, day: int) -> None:
    """Make a partition, with what the rest has of its day: by release 0.1, or a wrong clock."""
    for statement in (
        f"CREATE TABLE {name} (LIKE observations INCLUDING STORAGE) "
        f"WITH (toast_tuple_target = {_BLOCK_BYTES}, fillfactor = 50)",
        "LOCK TABLE observations_rest IN ACCESS EXCLUSIVE MODE",
        f"WITH moved AS (DELETE FROM observations_rest WHERE day = {day} RETURNING *) "
        f"INSERT INTO {name} SELECT * FROM moved",
        f"ALTER TABLE observations ATTACH PARTITION {name} FOR VALUES FROM ({day}) TO ({day + 1})",
    ):
        connection.exec_driver_sql(statement)


def _has_little(connection: Connection, name: str) -> bool:
    query = f"SELECT count(*) FROM (SELECT FROM {name} LIMIT {_LEFT_MAX + 1}) AS counted"
    return int(connection.exec_driver_sql(query).scalar_one()) <= _LEFT_MAX
