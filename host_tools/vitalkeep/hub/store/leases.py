"""Which worker serves which gateway, and the fence that keeps out whoever served it before.

A worker's row says until when it is believed to live, by the database's clock. A gateway's row
names its worker and a fence number, which rises whenever the worker changes, even to a new
process of the same name. A commit reads the fences of its gateways last, in a share lock: from
there on nobody takes these before it has ended, and one that was taken already undoes it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, Table, Text
from sqlalchemy.engine import Connection

from vitalkeep.hub.store.database import Database
from vitalkeep.hub.store.tables import metadata

_CHUNK = 500
_FORGOTTEN_MS = 24 * 3600 * 1000  # a worker's row that nobody renewed for so long goes

workers = Table(
    "workers",
    metadata,
    Column("name", Text, primary_key=True),
    Column("turn", BigInteger, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
    Column("able", Boolean, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("gateway", LargeBinary(8), primary_key=True),
    Column("worker", Text),
    Column("fence", BigInteger, nullable=False),
)

# One row comes back, not one a gateway. In the order in which claims lock, so that the two never
# wait for each other.
_HELD = sa.text("""\
SELECT count(*) FROM (
    SELECT 1 FROM leases
    JOIN unnest(CAST(:gateways AS bytea[]), CAST(:fences AS bigint[])) AS known (gateway, fence)
        USING (gateway, fence)
    WHERE worker = :worker
    ORDER BY gateway
    FOR SHARE OF leases
) AS held""")


class FencedError(Exception):
    """Gateways of a batch belong to another worker by now; nothing was changed."""

    def __init__(self, gateways: Collection[bytes]) -> None:
        super().__init__(f"{len(gateways)} gateways belong to another worker")
        self.gateways = frozenset(gateways)


class SupersededError(Exception):
    """A newer process has this worker's name."""


@dataclass(frozen=True)
class Member:
    """One process among the workers; turn rises with each process of a name."""

    name: str
    turn: int


@dataclass(frozen=True)
class Worker:
    """able: it hears the broker."""

    name: str
    able: bool


@dataclass(frozen=True)
class Lease:
    """worker is None while nobody serves the gateway."""

    worker: str | None
    fence: int


@dataclass(frozen=True)
class Roll:
    """Who lives by the database's clock, and who serves what."""

    workers: dict[str, Worker]
    leases: dict[bytes, Lease]


def now_ms(kind: str) -> sa.ColumnElement[int]:
    """Return the database's clock as an expression: milliseconds since 1970."""
    if kind == "postgresql":
        seconds = sa.func.extract("epoch", sa.func.clock_timestamp())
        return sa.cast(sa.func.floor(seconds * 1000), BigInteger)
    return sa.cast((sa.func.julianday("now") - 2440587.5) * 86400000.0, Integer)


def check_fences(connection: Connection, worker: str, fences: Mapping[bytes, int]) -> None:
    """Raise FencedError when a gateway is not the worker's under the fence that it knows.

    Called last in a transaction: what it locks stays locked until that has ended.
    """
    if connection.dialect.name == "postgresql":
        known = {"worker": worker, "gateways": list(fences), "fences": list(fences.values())}
        if connection.scalar(_HELD, known) == len(fences):
            return
    found = {}
    ordered = sorted(fences)
    for at in range(0, len(ordered), _CHUNK):
        part = ordered[at : at + _CHUNK]
        query = sa.select(leases).where(leases.c.gateway.in_(part)).order_by(leases.c.gateway)
        for row in connection.execute(query.with_for_update(read=True)):
            found[bytes(row.gateway)] = (row.worker, row.fence)
    lost = [gateway for gateway in ordered if found.get(gateway) != (worker, fences[gateway])]
    if lost:
        raise FencedError(lost)


class Leases(Database):
    """What workers agree on. Each call is a transaction of its own and raises StoreError."""

    def join(self, name: str, term_ms: int) -> Member:
        """Enter the roll; whoever had this name before can change nothing from here on."""
        now = now_ms(self.kind)
        with self.writing() as connection:
            connection.execute(sa.delete(workers).where(workers.c.until_ms < now - _FORGOTTEN_MS))
            self.insert(connection, workers, [
                {"name": name, "turn": 0, "until_ms": 0, "able": False}
            ])  # fmt: skip
            turn: int = connection.execute(
                sa.update(workers)
                .where(workers.c.name == name)
                .values(turn=workers.c.turn + 1, until_ms=now + term_ms, able=False)
                .returning(workers.c.turn)
            ).scalar_one()
            _lock(connection, leases.c.worker == name)
            connection.execute(
                sa.update(leases).where(leases.c.worker == name).values(fence=leases.c.fence + 1)
            )
        return Member(name, turn)

    def renew(self, member: Member, term_ms: int, able: bool) -> Roll:
        """Live on for `term_ms` and return the roll; raises SupersededError."""
        now = now_ms(self.kind)
        with self.writing() as connection:
            if not connection.execute(
                sa.update(workers).where(*_is(member)).values(until_ms=now + term_ms, able=able)
            ).rowcount:
                raise SupersededError(member.name)
            alive = connection.execute(sa.select(workers).where(workers.c.until_ms > now))
            held = connection.execute(sa.select(leases))
            return Roll(
                {row.name: Worker(row.name, row.able) for row in alive},
                {bytes(row.gateway): Lease(row.worker, row.fence) for row in held},
            )

    def claim(self, member: Member, gateways: Iterable[bytes]) -> dict[bytes, int]:
        """Take the gateways that no living worker has; returns their fences."""
        ordered = sorted(gateways)
        now = now_ms(self.kind)
        with self.writing() as connection:
            # The first word is a write: SQLite reads nothing that another may change meanwhile.
            if not connection.execute(
                sa.update(workers)
                .where(*_is(member), workers.c.until_ms > now)
                .values(turn=workers.c.turn)
            ).rowcount:
                return {}
            if ordered:
                self.insert(connection, leases, [
                    {"gateway": gateway, "worker": None, "fence": 0} for gateway in ordered
                ])  # fmt: skip
            alive = sa.select(workers.c.name).where(workers.c.until_ms > now)
            names = list(connection.execute(alive).scalars())
            taken: dict[bytes, int] = {}
            for at in range(0, len(ordered), _CHUNK):
                part = ordered[at : at + _CHUNK]
                free = leases.c.worker.is_(None) | leases.c.worker.not_in(names)
                mine = _lock(connection, leases.c.gateway.in_(part) & free)
                for row in connection.execute(
                    sa.update(leases)
                    .where(leases.c.gateway.in_(mine))
                    .values(worker=member.name, fence=leases.c.fence + 1)
                    .returning(leases.c.gateway, leases.c.fence)
                ):
                    taken[bytes(row.gateway)] = row.fence
            return taken

    def release(self, member: Member, fences: Mapping[bytes, int]) -> None:
        """Let gateways go that are still this member's under these fences."""
        rows = [
            {"at_gateway": gateway, "at_fence": fence} for gateway, fence in sorted(fences.items())
        ]
        if not rows:
            return
        statement = (
            sa.update(leases)
            .where(
                leases.c.gateway == sa.bindparam("at_gateway"),
                leases.c.fence == sa.bindparam("at_fence"),
                leases.c.worker == member.name,
            )
            .values(worker=None)
        )
        with self.writing() as connection:
            self.updated(connection, statement, rows)

    def leave(self, member: Member) -> None:
        """Leave the roll and all gateways, unless a newer process has the name."""
        with self.writing() as connection:
            if connection.execute(sa.delete(workers).where(*_is(member))).rowcount:
                _lock(connection, leases.c.worker == member.name)
                connection.execute(
                    sa.update(leases).where(leases.c.worker == member.name).values(worker=None)
                )


def _is(member: Member) -> tuple[sa.ColumnElement[bool], ...]:
    return workers.c.name == member.name, workers.c.turn == member.turn


def _lock(connection: Connection, where: sa.ColumnElement[bool]) -> list[bytes]:
    """Lock leases in the order in which commits do, so that the two never wait for each other."""
    query = sa.select(leases.c.gateway).where(where).order_by(leases.c.gateway)
    return [bytes(gateway) for gateway in connection.execute(query.with_for_update()).scalars()]
