"""From a boot's monotonic time to UTC, by the best clock record of that boot. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Any

_ANCHORS_MAX = 30
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def best_offsets(rows: Iterable[Any]) -> dict[int, tuple[int, int, int]]:
    """Return {boot: (UTC minus monotonic ms, quality, error_ms)} of rows of the clocks table.

    The best is the latest of those with the highest quality. Computed when reading, so values
    that were committed before any clock record get their time as soon as one arrives.
    """
    best: dict[int, Any] = {}
    for row in rows:
        known = best.get(row["boot"])
        rank = (row["quality"], row["mono_ms"])
        if known is None or rank > (known["quality"], known["mono_ms"]):
            best[row["boot"]] = row
    return {
        boot: (row["utc_ms"] - row["mono_ms"], row["quality"], row["error_ms"])
        for boot, row in best.items()
    }


def utc_of(mono_ms: int, offset_ms: int) -> datetime | None:
    """Return when something was; None for a time that no calendar has, by a clock gone wrong."""
    try:
        return _EPOCH + timedelta(milliseconds=mono_ms + offset_ms)
    except OverflowError:
        return None


class Anchor:
    """Ties the boot that heartbeats come from to this site's clock, with no clock at the gateway.

    A heartbeat can only arrive late: the least of the last offsets is the truest one.
    """

    def __init__(self) -> None:
        self.boot = -1
        self._offsets: deque[int] = deque(maxlen=_ANCHORS_MAX)

    def hear(self, boot: int, mono_ms: int, now_ms: int) -> None:
        """Note that a heartbeat of `mono_ms` arrived at `now_ms` UTC."""
        if boot != self.boot:
            self.boot = boot
            self._offsets.clear()
        self._offsets.append(now_ms - mono_ms)

    def offset(self, boot: int) -> int | None:
        """Return UTC minus monotonic ms of a boot, None when heartbeats are of another."""
        return min(self._offsets) if boot == self.boot and self._offsets else None
