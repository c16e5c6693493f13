"""The course of a parameter as other systems recorded it: apart from what gateways sealed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vitalkeep.hub.store import Store, StoreError, utc_now_ms
from vitalkeep.hub.trends import TrendError, parse_window

if TYPE_CHECKING:
    from vitalkeep.hub.context import Context

_HOUR_MS = 3600 * 1000
_SERIES_MAX = 20


async def of(hub: Context, query: Mapping[str, str]) -> dict[str, Any]:
    """Return the answer to a URL's query; raises TrendError."""
    hours, to_ms, points = parse_window(query, utc_now_ms())
    bed, parameter = query.get("bed", ""), query.get("parameter", "")
    if not (bed and parameter):
        raise TrendError("incomplete", 400, "want bed=NAME and parameter=LABEL")
    window = (to_ms - int(hours * _HOUR_MS), to_ms, points)
    try:
        return await hub.read(lambda: answer(hub.store, bed, parameter, window))
    except StoreError as error:
        raise TrendError("store", 503, f"the store does not answer: {error}") from None


def answer(store: Store, bed: str, parameter: str, window: tuple[int, int, int]) -> dict[str, Any]:
    """Return each series of a bed's parameter for itself; raises TrendError and StoreError.

    window  from when to when in UTC ms, and in how many buckets
    """
    rows = store.foreign_series(bed=bed)
    if not rows:
        raise TrendError("unknown_bed", 404, "no other system has values of this bed")
    wanted = [row for row in rows if parameter in (row["label"], row["mdc"])]
    if not wanted:
        there = ", ".join(sorted({row["label"] for row in rows}))
        raise TrendError("unknown_parameter", 404, f"other systems have of this bed: {there}")
    start_ms, end_ms, count = window
    return {
        "bed": bed,
        "parameter": wanted[0]["label"],
        "sealed": False,
        "from": start_ms,
        "to": end_ms,
        "bucket_ms": max(1, -(-(end_ms - start_ms) // count)),
        "series": [
            {
                "system": row["system"],
                "device": row["device"],
                "mdc": row["mdc"],
                "unit": row["unit"],
                "points": store.foreign_trend(row["id"], window),
            }
            for row in wanted[:_SERIES_MAX]
        ],
    }
