"""In how many days the store is full. Pure: what it took lately in, days out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.core.journal.layout import CLASSES
from vitalkeep.hub.sectors import DAY_MS
from vitalkeep.settings.fields import setting

SPAN_MS = 7 * DAY_MS  # over which the rate is taken
_LEAST_MS = 10 * 60 * 1000


@dataclass(frozen=True)
class RoomSettings:
    """How much room there is for the store, and when it counts as full."""

    quota_gb: float | None = setting(
        None, "What the database may take; needed to forecast for PostgreSQL.",
        low=0.001, unit="GB", example=500,
    )  # fmt: skip
    reserve_mb: int = setting(
        256, "With less free, the hub says that it is not ready.", low=0, unit="MB"
    )


@dataclass(frozen=True)
class Room:
    """How much is left, and for how long.

    free_bytes  None where nobody can say
    days        until nothing is left, None for not known or not growing
    day_bytes   what the store grows in a day, None while that is not known
    by_class    the share of it by class name: log bytes, with what the store adds to them
    """

    size_bytes: int
    free_bytes: int | None
    day_bytes: int | None
    days: float | None
    by_class: Mapping[str, int]
    is_full: bool

    def as_dict(self) -> dict[str, Any]:
        return {
            "size_bytes": self.size_bytes,
            "free_bytes": self.free_bytes,
            "day_bytes": self.day_bytes,
            "days_until_full": None if self.days is None else round(self.days, 1),
            "by_class": dict(self.by_class),
            "full": self.is_full,
        }


def free_bytes(settings: RoomSettings, size_bytes: int, disk_free: int | None) -> int | None:
    """Return what may still be written: the disk's rest or the quota's, whichever is less."""
    rests = [] if disk_free is None else [disk_free]
    if settings.quota_gb is not None:
        rests.append(max(0, int(settings.quota_gb * 1e9) - size_bytes))
    return min(rests, default=None)


def forecast(
    rows: Sequence[Mapping[str, Any]], size_bytes: int, free: int | None, reserve_bytes: int
) -> Room:
    """Return the Room from `Usage.usage` rows, oldest first.

    The rate is the growth of the database from the first row to the last; what each class has in
    it is by the bytes of its log. Rows of several hubs may stand beside each other.
    """
    day_bytes = days = None
    by_class: dict[str, int] = {}
    if rows and (span_ms := rows[-1]["at_ms"] - rows[0]["at_ms"]) >= _LEAST_MS:
        grown = rows[-1]["size_bytes"] - rows[0]["size_bytes"]
        day_bytes = max(0, grown * DAY_MS // span_ms)
        days = free / day_bytes if day_bytes and free is not None else None
        logs = [sum(row[f"bytes_{name.lower()}"] for row in rows[1:]) for name in CLASSES]
        if sum(logs):
            shares = zip(CLASSES, logs, strict=True)
            by_class = {name: day_bytes * log // sum(logs) for name, log in shares}
    return Room(
        size_bytes, free, day_bytes, days, by_class, free is not None and free < reserve_bytes
    )
