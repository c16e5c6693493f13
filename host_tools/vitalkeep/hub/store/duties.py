"""Duties: one holder each, for a term; and the alarms that the holder has to tell others.

The tables `duties` and `standbys` may stand in another database than a site's own, one that all
sites reach: a witness. `notices` is a site's own, filled by the commit that stores the alarms.
"""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.engine import Connection

from vitalkeep.hub.decode import Row
from vitalkeep.hub.handover import Standby
from vitalkeep.hub.sectors import Place
from vitalkeep.hub.store.database import Database
from vitalkeep.hub.store.leases import now_ms
from vitalkeep.hub.store.tables import POSITION, at_place, metadata

# progress_ms  every alarm that a holder stored before was told, by this database's clock
duties = Table(
    "duties",
    metadata,
    Column("duty", Text, primary_key=True),
    Column("holder", Text),
    Column("term", BigInteger, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
    Column("progress_ms", BigInteger, nullable=False),
)

standbys = Table(
    "standbys",
    metadata,
    Column("duty", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("rank", Integer, nullable=False),
    Column("fit", Boolean, nullable=False),
    Column("since_ms", BigInteger, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("duty", "name"),
)

# content  JSON of the alarm; term: of the duty under which it was told, None before
notices = Table(
    "notices",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("gateway", LargeBinary(8), nullable=False),
    Column("log", LargeBinary(8), nullable=False),
    Column("cls", Integer, nullable=False),
    Column("sector", BigInteger, nullable=False),
    Column("offset", Integer, nullable=False),
    Column("idx", Integer, nullable=False),
    Column("content", Text, nullable=False),
    Column("stored_ms", BigInteger, nullable=False),
    Column("term", BigInteger),
    UniqueConstraint(*POSITION, name="notices_by_position"),
    Index("notices_by_term", "term", "id"),
)


class LostTermError(Exception):
    """The duty has another holder, or the same one in another term; nothing was changed."""


@dataclass(frozen=True)
class Duty:
    """A duty as the database knows it; holder is None while it is free.

    behind_ms  every alarm that a holder stored longer ago was told
    """

    holder: str | None
    term: int
    behind_ms: int


def note_alarms(database: Database, connection: Connection, rows: Sequence[Row]) -> None:
    """Note alarms that are being stored, in the same transaction, for whoever tells of them."""
    stored_ms = connection.scalar(sa.select(now_ms(database.kind)))
    wanted = [
        {name: row[name] for name in POSITION} | {"content": _content(row), "stored_ms": stored_ms}
        for row in rows
    ]
    database.insert(connection, notices, wanted)


def forget_alarms(connection: Connection, place: Place) -> None:
    """Forget what was noted of a sector whose bytes were wrong: what is right is told."""
    connection.execute(sa.delete(notices).where(*at_place(notices, place)))


def _content(row: Row) -> str:
    return json.dumps({name: value for name, value in row.items() if name not in POSITION})


D = TypeVar("D", bound="Duties")


class Duties(Database):
    """Each call is a transaction and raises StoreError."""

    _fence: tuple[str, str, int] | None = None

    def under(self: D, duty: str, name: str, term: int) -> D:
        """Return this very database as the holder of a duty may write it.

        Each of its transactions checks the term before it commits, and raises LostTermError, with
        nothing changed, once the duty has another holder or a later term.
        """
        fenced = copy.copy(self)
        fenced._fence = (duty, name, term)
        return fenced

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """As in a Database; under a duty's term only, for what `under` returned."""
        with super().writing() as connection:
            yield connection
            if self._fence is not None:
                _check_term(connection, *self._fence)

    def attend(
        self, duty: str, name: str, rank: int, fit: bool, for_ms: int
    ) -> tuple[list[Standby], Duty]:
        """Say that a hub lives for `for_ms` more; returns who else does, and who has the duty."""
        now = now_ms(self.kind)
        me = (standbys.c.duty == duty, standbys.c.name == name)
        with self.writing() as connection:
            self.insert(connection, standbys, [
                {"duty": duty, "name": name, "rank": rank, "fit": not fit, "since_ms": 0,
                 "until_ms": 0}
            ])  # fmt: skip
            since = sa.case((standbys.c.fit == fit, standbys.c.since_ms), else_=now)
            connection.execute(
                sa.update(standbys)
                .where(*me)
                .values(rank=rank, since_ms=since, until_ms=now + for_ms)
            )
            connection.execute(sa.update(standbys).where(*me).values(fit=fit))
            query = sa.select(standbys, now.label("now_ms")).where(
                standbys.c.duty == duty, standbys.c.until_ms > now
            )
            alive = [
                Standby(row.name, row.rank, row.fit, max(0, row.now_ms - row.since_ms) / 1000)
                for row in connection.execute(query)
            ]
            found = connection.execute(
                sa.select(
                    duties,
                    (duties.c.until_ms > now).label("runs"),
                    (now - duties.c.progress_ms).label("behind_ms"),
                ).where(duties.c.duty == duty)
            ).one_or_none()
        if found is None:
            return alive, Duty(None, 0, 0)
        return alive, Duty(found.holder if found.runs else None, found.term, found.behind_ms)

    def take(self, duty: str, name: str, for_ms: int) -> Duty | None:
        """Have a duty that is free, or that a process of this name had; None when it is not."""
        now = now_ms(self.kind)
        free = duties.c.holder.is_(None) | (duties.c.until_ms <= now) | (duties.c.holder == name)
        with self.writing() as connection:
            self.insert(connection, duties, [
                {"duty": duty, "holder": None, "term": 0, "until_ms": 0, "progress_ms": 0}
            ])  # fmt: skip
            found = connection.execute(
                sa.update(duties)
                .where(duties.c.duty == duty, free)
                .values(holder=name, term=duties.c.term + 1, until_ms=now + for_ms)
                .returning(duties.c.term, (now - duties.c.progress_ms).label("behind_ms"))
            ).one_or_none()
        return None if found is None else Duty(name, found.term, max(0, found.behind_ms))

    def keep(self, duty: str, name: str, term: int, for_ms: int, behind_ms: int) -> None:
        """Go on with a duty for `for_ms`; all older than `behind_ms` is told.

        Raises  LostTermError
        """
        now = now_ms(self.kind)
        with self.writing() as connection:
            if not connection.execute(
                sa.update(duties)
                .where(*_held(duty, name, term), duties.c.until_ms > now)
                .values(until_ms=now + for_ms, progress_ms=now - behind_ms)
            ).rowcount:
                raise LostTermError(duty)

    def give(self, duty: str, name: str, term: int) -> None:
        """Leave a duty to whoever takes it; harmless when it is another's already."""
        with self.writing() as connection:
            connection.execute(
                sa.update(duties).where(*_held(duty, name, term)).values(holder=None)
            )

    def depart(self, duty: str, name: str) -> None:
        """Stand by no longer."""
        with self.writing() as connection:
            connection.execute(
                sa.delete(standbys).where(standbys.c.duty == duty, standbys.c.name == name)
            )

    # --- notices ---

    def untold(self, since_ms: int, count: int) -> list[Row]:
        """Return the oldest notices that nobody has told, of those stored since."""
        query = (
            sa.select(notices)
            .where(notices.c.term.is_(None), notices.c.stored_ms >= since_ms)
            .order_by(notices.c.id)
            .limit(count)
        )
        return [row | {"content": json.loads(row["content"])} for row in self.read(query)]

    def noted(self, since_ms: int, count: int) -> list[Row]:
        """Return the last alarms that were stored since, newest first, as rows of `alarms`."""
        query = (
            sa.select(notices)
            .where(notices.c.stored_ms >= since_ms)
            .order_by(notices.c.id.desc())
            .limit(count)
        )
        return [row | json.loads(row["content"]) for row in self.read(query)]

    def told(self, ids: Sequence[int], term: int, held: tuple[str, str] | None) -> None:
        """Note that notices were told in a term.

        held    (duty, holder) where the duty stands in this database: the term is checked in the
                same transaction
        Raises  LostTermError
        """
        with self.writing() as connection:
            connection.execute(
                sa.update(notices)
                .where(notices.c.id.in_(ids), notices.c.term.is_(None))
                .values(term=term)
            )
            if held is not None:
                _check_term(connection, *held, term)

    def forget_notices(self, age_ms: int) -> None:
        """Delete notices older than that, told or not."""
        with self.writing() as connection:
            connection.execute(
                sa.delete(notices).where(notices.c.stored_ms < now_ms(self.kind) - age_ms)
            )

    def clock_ms(self) -> int:
        """Return this database's clock."""
        with self.reading() as connection:
            return int(connection.scalar(sa.select(now_ms(self.kind))) or 0)


def _check_term(connection: Connection, duty: str, name: str, term: int) -> None:
    # Locked until the commit: nobody takes the duty between this look and that.
    query = sa.select(duties.c.term).where(*_held(duty, name, term))
    if connection.scalar(query.with_for_update(read=True)) is None:
        raise LostTermError(duty)


def _held(duty: str, name: str, term: int) -> tuple[sa.ColumnElement[bool], ...]:
    return duties.c.duty == duty, duties.c.holder == name, duties.c.term == term
