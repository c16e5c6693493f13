"""The write path: a batch is one transaction, bytes, decoded rows and states together.

Inserts are idempotent; a sector's length is compared inside the transaction, so two hubs that
write the same gateway cannot both be right unnoticed.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from vitalkeep.hub.decode import Row
from vitalkeep.hub.ingest import Batch, Change
from vitalkeep.hub.store import tables
from vitalkeep.hub.store.database import Database, StaleError
from vitalkeep.hub.store.duties import note_alarms
from vitalkeep.hub.store.leases import check_fences
from vitalkeep.hub.store.tables import PLACE, at_place

_GROWN = ("length", "state", "spans", "stored_ms")
_CLOSED = (*_GROWN, "data")


class Commits(Database):
    """What is durable when a call returns, and not there at all when it raises."""

    def commit(self, batch: Batch) -> None:
        """Make a batch durable in one transaction.

        Raises  StoreError (disk full, database gone): the same batch may be given again
                StaleError when a sector's length is not what the batch was made from
                FencedError when gateways of the batch belong to another worker by now
        """
        with self.writing() as connection:
            self._write_changes(connection, batch)
            for table, rows in batch.rows.items():
                self.insert(connection, tables.ADDED[table], rows)
                if table == "alarms":
                    note_alarms(self, connection, rows)
            self._replace(connection, tables.heads, batch.heads)
            self._replace(connection, tables.radio, batch.radio)
            if batch.story:
                connection.execute(sa.insert(tables.story), batch.story)
            if batch.fences:
                check_fences(connection, batch.worker, batch.fences)

    def _write_changes(self, connection: Connection, batch: Batch) -> None:
        fresh = [change for change in batch.changes if not change.old]
        grown = [change for change in batch.changes if change.old]
        if fresh:
            rows = [_sector_row(change, batch.now_ms) for change in fresh]
            if self.insert(connection, tables.sectors, rows) != len(rows):
                raise StaleError
        for named, changes in (
            (_GROWN, [change for change in grown if change.whole is None]),
            (_CLOSED, [change for change in grown if change.whole is not None]),
        ):
            if changes:
                rows = [_update_row(change, batch.now_ms) for change in changes]
                if self.updated(connection, _update(named), rows) != len(rows):
                    raise StaleError
        pieces = [
            change.place._asdict() | {"offset": change.old, "data": change.piece}
            for change in batch.changes
            if change.piece and change.whole is None
        ]
        if pieces:
            self.insert(connection, tables.pieces, pieces)
        for change in batch.changes:
            if change.whole is not None and change.old:
                connection.execute(
                    sa.delete(tables.pieces).where(*at_place(tables.pieces, change.place))
                )

    @staticmethod
    def _replace(connection: Connection, table: sa.Table, rows: dict[bytes, Row]) -> None:
        """Put a gateway's row in the place of the one it has."""
        for row in rows.values():
            connection.execute(sa.delete(table).where(table.c.gateway == row["gateway"]))
            connection.execute(sa.insert(table), row)

    def checkpoint(self) -> None:
        """Move SQLite's log into its database beside the writer; raises StoreError."""
        if self.kind == "sqlite":
            with self.reading() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")


def _sector_row(change: Change, now_ms: int) -> Row:
    return change.place._asdict() | {
        "length": change.length,
        "state": change.state,
        "data": change.whole,
        "spans": change.spans,
        "stored_ms": now_ms,
    }


def _update(named: tuple[str, ...]) -> sa.Update:
    """Set `named` columns of one sector if it has the length that the change started from."""
    table = tables.sectors
    where = [table.c[name] == sa.bindparam(f"at_{name}") for name in (*PLACE, "length")]
    return sa.update(table).where(*where).values({name: sa.bindparam(name) for name in named})


def _update_row(change: Change, now_ms: int) -> Row:
    row = {f"at_{name}": value for name, value in change.place._asdict().items()}
    row["at_length"] = change.old
    new = _sector_row(change, now_ms)
    if change.whole is None:
        del new["data"]
    return row | {name: new[name] for name in _CLOSED if name in new}
