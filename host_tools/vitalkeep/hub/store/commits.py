"""The write path: a batch is one transaction; what was decoded of its bytes follows in another.

Inserts are idempotent; a sector's length in the one, and how far it was decoded in the other, are
compared inside the transaction, so two hubs that write the same gateway cannot both be right
unnoticed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from vitalkeep.hub.batch import Batch, Change
from vitalkeep.hub.decode import DECODED, OF_THE_HUB, Found, Row, Rows, add_rows
from vitalkeep.hub.sectors import PROVEN, Place
from vitalkeep.hub.store import bulk, tables
from vitalkeep.hub.store.database import Database, StaleError, StoreError
from vitalkeep.hub.store.duties import forget_alarms, note_alarms
from vitalkeep.hub.store.leases import check_fences
from vitalkeep.hub.store.tables import PLACE, POSITION, at_place

_FRESH = (*PLACE, "length", "state", "data", "spans", "stored_ms", "decoded", "day")
_GROWN = ("length", "state", "stored_ms", "decoded", "spans")
_CLOSED = (*_GROWN, "data")
_LATEST_KEY = ("gateway", "device", "grp")
_LATEST = tuple(column.key for column in tables.latest.c)
_NEWER = '(excluded.sector, excluded."offset", excluded.idx)'
_NEWER += ' > (latest.sector, latest."offset", latest.idx)'
# A backlog never takes the place of another log's last word: it may be the older one.
_LIVE = bulk.replacing(
    tables.latest, _LATEST_KEY, _LATEST, f"excluded.log <> latest.log OR {_NEWER}"
)
_LATE = bulk.replacing(
    tables.latest, _LATEST_KEY, _LATEST, f"excluded.log = latest.log AND {_NEWER}"
)


class Commits(Database):
    """What is durable when a call returns, and not there at all when it raises."""

    def commit(self, batch: Batch) -> None:
        """Make a batch durable in one transaction.

        Raises  StoreError (disk full, database gone): the same batch may be given again
                StaleError when a sector's length is not what the batch was made from
                FencedError when gateways of the batch belong to another worker by now
        """
        with self.writing() as connection:
            for place in batch.replaced:
                _forget(connection, place)
            bulk.delete(connection, tables.pieces, PLACE, list(batch.mended))
            self._write_changes(connection, batch)
            self._write_rows(connection, batch.rows, batch.blocks, _LATE)
            self.replace(connection, tables.heads, ("gateway",), list(batch.heads.values()))
            self.replace(connection, tables.radio, ("gateway",), list(batch.radio.values()))
            if batch.story:
                connection.execute(sa.insert(tables.story), batch.story)
            if batch.fences:
                check_fences(connection, batch.worker, batch.fences)

    def commit_late(
        self,
        found: Sequence[Found],
        live: bool = False,
        worker: str = "",
        fences: Mapping[bytes, int] | None = None,
    ) -> list[Found]:
        """Make what was decoded durable; returns what the store did not have before.

        live  it is of what the gateways write now
        worker, fences  as in a Batch
        Raises  StoreError: the same may be given again
                FencedError when one of the gateways belongs to another worker by now
        """
        with self.writing() as connection:
            names, places = (*PLACE, "decoded"), [one.place for one in found]
            stored = bulk.select(connection, tables.sectors, names, PLACE, places)
            known = {tuple(row) for row in stored}
            taken = []
            for one in found:
                if (*one.place, one.was) in known:
                    known.remove((*one.place, one.was))  # each sector once
                    taken.append(one)
            rows = [(one.decoded, one.spans, *one.place, one.was) for one in taken]
            done = bulk.update(connection, tables.sectors, ("decoded", "spans"), names, rows)
            if done != len(rows):
                raise StoreError("another hub has just stored the same rows")
            joined: Rows = {}
            for one in taken:
                add_rows(joined, one.rows)
            blocks = [block for one in taken for block in one.blocks]
            self._write_rows(connection, joined, blocks, _LIVE if live else _LATE)
            if fences:
                check_fences(connection, worker, fences)
        return taken

    def _write_changes(self, connection: Connection, batch: Batch) -> None:
        now_ms = batch.now_ms
        fresh = [c for c in batch.changes if not c.old and c.place not in batch.mended]
        anew = [c.place for c in batch.changes if c.place in batch.mended and not c.decoded]
        bulk.delete(connection, tables.warm, PLACE, anew)
        rows = [
            (*c.place, c.length, c.state, c.whole, c.spans or "{}", now_ms, c.decoded or 0, c.day)
            for c in fresh
        ]
        if bulk.insert(connection, tables.sectors, _FRESH, rows) != len(rows):
            raise StaleError
        grown = [c for c in batch.changes if c.old or c.place in batch.mended]
        for names, changes in (
            (_GROWN, [c for c in grown if c.whole is None and c.place not in batch.mended]),
            (_CLOSED, [c for c in grown if c.whole is not None or c.place in batch.mended]),
        ):
            rows = [_update_row(change, now_ms, names) for change in changes]
            where, keep = (*PLACE, "length"), ("decoded", "spans")
            done = bulk.update(connection, tables.sectors, names, where, rows, keep)
            if done != len(rows):
                raise StaleError
        pieces = [
            (*change.place, change.length - len(change.piece), change.piece, change.tags)
            for change in batch.changes
            if change.piece and change.state != PROVEN
        ]
        bulk.insert(connection, tables.pieces, (*PLACE, "offset", "data", "tags"), pieces)
        # A seal that fits vouches for all: the runs' tags have served.
        proven = [c.place for c in batch.changes if c.state == PROVEN and c.old]
        bulk.delete(connection, tables.pieces, PLACE, proven)

    def _write_rows(
        self, connection: Connection, rows: Rows, blocks: Sequence[Row], newer: str
    ) -> None:
        for table, found in rows.items():
            if table == "observations":
                # PostgreSQL changes a row once in a statement: it is the last word of each.
                last = {(row["gateway"], row["device"], row["grp"]): row for row in found}
                values = [_latest_row(row) for row in last.values()]
                bulk.insert(connection, tables.latest, _LATEST, values, newer)
            else:
                self.add(connection, tables.ADDED[table], found)
            if table == "alarms":
                note_alarms(self, connection, found)
        # A block that has grown takes its own place.
        self.replace(connection, tables.observations, (*POSITION, "day"), blocks)

    def checkpoint(self) -> None:
        """Move SQLite's log into its database beside the writer; raises StoreError."""
        if self.kind == "sqlite":
            with self.reading() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")


def _forget(connection: Connection, place: Place) -> None:
    """Take out what was decoded of a sector whose bytes turned out to be wrong, and their tags."""
    for table in (tables.pieces, tables.latest, *(tables.ADDED[name] for name in DECODED)):
        where = at_place(table, place)
        if table is tables.events:
            where.append(table.c.event != OF_THE_HUB)
        connection.execute(sa.delete(table).where(*where))
    forget_alarms(connection, place)


def _update_row(change: Change, now_ms: int, names: tuple[str, ...]) -> tuple[Any, ...]:
    new: list[Any] = [change.length, change.state, now_ms, change.decoded, change.spans]
    if "data" in names:
        new.append(change.whole)
    return (*new, *change.place, change.old)


def _latest_row(row: Row) -> tuple[Any, ...]:
    return tuple(json.dumps(row[name]) if name == "readings" else row[name] for name in _LATEST)
