"""Shows what the other workers serve, so that the page of any of them shows all beds.

Heartbeats everybody hears. Values, alarms and the story come out of the database, where their
worker has put them; nothing that is read here is written again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from functools import partial
from typing import Any

from vitalkeep.hub.context import Context
from vitalkeep.hub.decode import Row
from vitalkeep.hub.store import Store, StoreError, utc_now_ms

_EVERY_S = 1.0
_WINDOW_MS = 30_000  # rows that are visible so much later than their time says are missed
_ROWS_MAX = 500
_AT_ONCE = 50
_STORY_MAX = 100  # fewer than the page keeps, by which it is known what was told
_TABLES = ("events", "gaps", "alarms")

Rows = dict[str, list[Row]]


async def run(hub: Context) -> None:
    if hub.worker is None:
        return
    seen = _Seen(utc_now_ms())
    turn = 0
    while True:
        await asyncio.sleep(_EVERY_S)
        theirs = [g for g in hub.ward.gateways() if not hub.worker.serves(g)]
        now_ms = utc_now_ms()
        # A few at a time: a hub of a thousand gateways shows the others' within seconds.
        turn = turn + _AT_ONCE if turn + _AT_ONCE < len(theirs) else 0
        some = theirs[turn : turn + _AT_ONCE]
        look = partial(_look, hub.store, set(theirs), some, now_ms - _WINDOW_MS)
        try:
            rows, story = await hub.read(look)
        except StoreError:
            continue
        for table in _TABLES:
            rows[table] = seen.news(table, rows[table])
        hub.ward.stored(rows, now_ms)
        for row in rows["radio"]:
            hub.ward.by_radio(row)
        for row in story:
            if not hub.ward.shows(row):
                hub.ward.tell(row["at_ms"], row["gateway"], row["tone"], row["text"])


def _look(
    store: Store, theirs: Collection[bytes], some: Collection[bytes], since_ms: int
) -> tuple[Rows, list[Row]]:
    """Return what of these gateways is new or may be, and the newest lines of the story.

    some  those of them whose values have their turn
    """
    rows: Rows = {"observations": store.latest(some)}
    rows["radio"] = [row for row in store.radio() if bytes(row["gateway"]) in theirs]
    for table in _TABLES:
        if table == "alarms":
            found = store.noted(since_ms, _ROWS_MAX)
        else:
            found = store.recent(table, since_ms, _ROWS_MAX)
        rows[table] = [row for row in reversed(found) if bytes(row["gateway"]) in theirs]
    return rows, list(reversed(store.recent("story", since_ms, _STORY_MAX)))


class _Seen:
    """Which rows of the window were there before; what is older than `began_ms` always was."""

    def __init__(self, began_ms: int) -> None:
        self._began_ms = began_ms
        self._known: dict[str, set[Any]] = {}

    def news(self, table: str, rows: list[Row]) -> list[Row]:
        """Return what is new."""
        keys = [_key(row) for row in rows]
        known = self._known.get(table)
        if known is None:
            # The page began with these.
            known = {_key(row) for row in rows if row["stored_ms"] < self._began_ms}
        self._known[table] = set(keys)
        return [row for row, key in zip(rows, keys, strict=True) if key not in known]


def _key(row: Row) -> Any:
    place = (bytes(row["gateway"]), bytes(row["log"]), row["cls"], row["sector"])
    return (*place, row["offset"], row["idx"])
