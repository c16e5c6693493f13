"""Watches how much room the store has, and notes every ten minutes what it took."""

from __future__ import annotations

import asyncio
import secrets
from time import monotonic

from bridge.core.journal.layout import CLASSES
from vitalkeep.hub import forecast
from vitalkeep.hub.context import Context
from vitalkeep.hub.decode import Row
from vitalkeep.hub.store import StoreError, utc_now_ms

_EVERY_S = 10.0
_NOTE_S = 600.0
_SOON_DAYS = 7.0


async def run(hub: Context) -> None:
    settings = hub.config[forecast.RoomSettings]
    book = _Book(hub)
    warned = False
    while True:
        try:
            size, disk_free, rows = await hub.read(book.look)
        except StoreError:
            pass  # readiness says so
        else:
            free = forecast.free_bytes(settings, size, disk_free)
            reserve = settings.reserve_mb * 2**20
            hub.room = forecast.forecast(rows, size, free, reserve)
            days = hub.room.days
            soon = days is not None and days < _SOON_DAYS
            if days is not None and soon and not warned:
                text = f"The store is full in {days:.1f} days: give it more room"
                hub.ward.say(utc_now_ms(), None, "bad", text)
            warned = soon
        await asyncio.sleep(_EVERY_S)


class _Book:
    """What the store is asked, and told, on the thread for readers."""

    def __init__(self, hub: Context) -> None:
        self._hub = hub
        self._worker = secrets.token_bytes(8)
        self._told = dict.fromkeys(range(len(CLASSES)), 0)
        self._noted_s: float | None = None

    def look(self) -> tuple[int, int | None, list[Row]]:
        """Return size, free bytes and the rows of `usage`, a new one among them when it is due."""
        store, now_ms = self._hub.store, utc_now_ms()
        size = store.size()
        if self._noted_s is None or monotonic() - self._noted_s >= _NOTE_S:
            self._note(size, now_ms)
        return size, store.free(), store.usage(now_ms - forecast.SPAN_MS, now_ms)

    def _note(self, size: int, now_ms: int) -> None:
        stored = dict(self._hub.meters.stored)
        row: Row = {"at_ms": now_ms, "worker": self._worker, "size_bytes": size}
        for cls, name in enumerate(CLASSES):
            row[f"bytes_{name.lower()}"] = stored[cls] - self._told[cls]
        self._hub.store.add_usage(row, now_ms - 2 * forecast.SPAN_MS)
        self._noted_s, self._told = monotonic(), stored
