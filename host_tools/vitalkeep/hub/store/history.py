"""What was attained: the loss account hour by hour, and each outage from its start to its end."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from vitalkeep.hub.account import SILENT
from vitalkeep.hub.decode import Row
from vitalkeep.hub.history import AGAIN_MS, HOUR_MS
from vitalkeep.hub.store import tables
from vitalkeep.hub.store.database import Database

_HOUR_KEY = ("gateway", "hour_ms", "cls")
_OUTAGE_KEY = ("gateway", "cls", "start_ms")


class OpenHour(NamedTuple):
    """An hour whose account is not final, when it was looked at last, and how long it waited."""

    gateway: bytes
    hour_ms: int
    looked_ms: int
    waited_ms: int


class History(Database):
    """Each raises StoreError. A clock that was far ahead left hours that are still to come."""

    def put_hours(self, rows: Sequence[Row]) -> None:
        """Write accounts of hours, over those that are not final; a final one never changes."""
        self._put(tables.account_hours, _HOUR_KEY, rows, sa.false())

    def put_outages(self, rows: Sequence[Row]) -> None:
        """Write outages that began or ended; an ended one never changes."""
        self._put(tables.outages, _OUTAGE_KEY, rows, None)

    def _put(
        self,
        table: sa.Table,
        key: tuple[str, ...],
        rows: Sequence[Row],
        open_value: sa.ColumnElement[bool] | None,
    ) -> None:
        if not rows:
            return
        dialect = postgresql if self.kind == "postgresql" else sqlite
        statement = dialect.insert(table)
        fresh = {c.name: statement.excluded[c.name] for c in table.columns if c.name not in key}
        settled = table.c.end_ms if open_value is None else table.c.final
        statement = statement.on_conflict_do_update(
            index_elements=list(key), set_=fresh, where=settled.is_(open_value)
        )
        with self.writing() as connection:
            connection.execute(statement, list(rows))

    def hours_known(self, gateway: bytes, since_ms: int) -> set[int]:
        """Return the hours from one on of which there is an account."""
        table = tables.account_hours
        rows = self.read(
            sa.select(table.c.hour_ms)
            .where(table.c.gateway == gateway, table.c.hour_ms >= since_ms)
            .distinct()
        )
        return {int(row["hour_ms"]) for row in rows}

    def open_hours(self, gateways: Collection[bytes], now_ms: int, count: int) -> list[OpenHour]:
        """Return hours to look at again, the longest unseen first, those "seen" later last.

        gateways  whose; what nobody will look at is in nobody's way
        """
        table = tables.account_hours
        looked_ms = sa.func.min(table.c.looked_ms)
        unseen = sa.or_(table.c.looked_ms < now_ms - AGAIN_MS, table.c.looked_ms > now_ms)
        query = (
            sa.select(table.c.gateway, table.c.hour_ms, looked_ms, sa.func.min(table.c.waited_ms))
            .where(table.c.final.is_(sa.false()), unseen, table.c.hour_ms <= now_ms - HOUR_MS)
            .where(table.c.gateway.in_(gateways))
            .group_by(table.c.gateway, table.c.hour_ms)
            .order_by(looked_ms)
            .limit(count)
        )
        return [OpenHour(*row.values()) for row in self.read(query)]

    def hours(self, gateway: bytes, since_ms: int, until_ms: int) -> list[Row]:
        """Return a gateway's accounts of a span of time, oldest first."""
        table = tables.account_hours
        return self.read(
            sa.select(table)
            .where(table.c.gateway == gateway, table.c.hour_ms.between(since_ms, until_ms))
            .order_by(table.c.hour_ms, table.c.cls)
        )

    def hours_by_class(self, since_ms: int, until_ms: int) -> list[Row]:
        """Return sums of all accounts of a span of time: cls, span_ms ..., rpo_ms, open."""
        table = tables.account_hours
        sums = [
            sa.cast(sa.func.sum(table.c[name]), sa.BigInteger).label(name)
            for name in ("span_ms", "stored_ms", "coming_ms", "gap_ms")
        ]
        open_ = sa.func.sum(sa.case((table.c.final, 0), else_=1)).label("open")
        worst = sa.func.max(table.c.rpo_ms).label("rpo_ms")
        return self.read(
            sa.select(table.c.cls, *sums, worst, open_)
            .where(table.c.hour_ms.between(since_ms, until_ms))
            .group_by(table.c.cls)
        )

    def outages(self, since_ms: int, count: int) -> list[Row]:
        """Return outages that lasted until after `since_ms` or go on, the longest first."""
        table = tables.outages
        length = sa.func.coalesce(table.c.end_ms, 2**62) - table.c.start_ms
        return self.read(
            sa.select(table)
            .where(sa.or_(table.c.end_ms.is_(None), table.c.end_ms >= since_ms))
            .order_by(length.desc())
            .limit(count)
        )

    def longest_outages(self, since_ms: int) -> dict[int, int]:
        """Return by class how many ms the longest took of those that ended after `since_ms`.

        Those that ended in silence of the device are none of the site's.
        """
        table = tables.outages
        longest = sa.func.max(table.c.end_ms - table.c.start_ms).label("ms")
        rows = self.read(
            sa.select(table.c.cls, longest)
            .where(table.c.end_ms >= since_ms, table.c.cause != SILENT)
            .group_by(table.c.cls)
        )
        return {row["cls"]: int(row["ms"]) for row in rows}

    def open_outages(self) -> list[Row]:
        """Return the outages that go on."""
        table = tables.outages
        return self.read(sa.select(table).where(table.c.end_ms.is_(None)))
