"""The course of one parameter over some hours, as programs ask for it: few points, and its gaps.

A point is a bucket of time with the least and the greatest value in it, so that no peak is lost by
thinning. What the window asks for is bounded, and read on the thread for readers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bridge.core import codes
from bridge.core.journal.layout import CLASSES
from vitalkeep.archive.settings import ArchiveSettings
from vitalkeep.hub.clocks import Anchor, best_offsets
from vitalkeep.hub.spans import HOLE_MS
from vitalkeep.hub.store import StoreError, utc_now_ms

if TYPE_CHECKING:
    from vitalkeep.hub.context import Context

HOURS_MAX = 48.0
POINTS_MAX = 2000
_HOUR_MS = 3600 * 1000
_CLOCKS_MS = 24 * _HOUR_MS  # a boot that runs has a clock record more often than that
_BY_LABEL = {entry[1]: entry for entry in codes.PARAMETERS}

Point = tuple[int, float, float, int]


class TrendError(Exception):
    """What cannot be answered: `name` is for programs, the message for people."""

    def __init__(self, name: str, status: int, message: str) -> None:
        super().__init__(message)
        self.name = name
        self.status = status


@dataclass(frozen=True)
class Question:
    """What was asked for, checked as far as that goes without a store.

    to_ms  UTC, the end of the window; points: buckets at most
    """

    gateway: bytes
    device: str
    parameter: str
    hours: float
    to_ms: int
    points: int

    @property
    def from_ms(self) -> int:
        return self.to_ms - int(self.hours * _HOUR_MS)


def parse(query: Mapping[str, str], now_ms: int) -> Question:
    """Return the question in a URL's query; raises TrendError."""
    try:
        gateway = bytes.fromhex(query.get("gateway", ""))
    except ValueError:
        raise TrendError("malformed", 400, "want gateway=ID in hex") from None
    device, parameter = query.get("device", ""), query.get("parameter", "")
    if not (gateway and device and parameter):
        raise TrendError("incomplete", 400, "want gateway=ID, device=NAME and parameter=LABEL")
    return Question(gateway, device, parameter, *parse_window(query, now_ms))


def parse_window(query: Mapping[str, str], now_ms: int) -> tuple[float, int, int]:
    """Return (hours, its end in UTC ms, points) of a URL's query; raises TrendError."""
    try:
        hours = float(query.get("hours", "24"))
        points = int(query.get("points", "600"))
        to_ms = int(query.get("to", now_ms))
    except ValueError:
        raise TrendError("malformed", 400, "want numbers") from None
    if not 0.01 <= hours <= HOURS_MAX:
        raise TrendError("out_of_range", 400, f"hours: want 0.01 to {HOURS_MAX:g}")
    if not 1 <= points <= POINTS_MAX:
        raise TrendError("out_of_range", 400, f"points: want 1 to {POINTS_MAX}")
    if not 0 <= to_ms <= now_ms:
        raise TrendError("out_of_range", 400, "to: want ms since 1970 in UTC, not in the future")
    return hours, to_ms, points


async def of(hub: Context, query: Mapping[str, str]) -> dict[str, Any]:
    """Return the answer to a URL's query; raises TrendError."""
    now_ms = utc_now_ms()
    asked = parse(query, now_ms)
    if asked.gateway not in hub.ward.gateways():
        raise TrendError("unknown_gateway", 404, "no gateway of the vault has this id")
    _, _, anchor = hub.ward.facts(asked.gateway)
    try:
        return await hub.read(lambda: _answer(hub, asked, now_ms, anchor))
    except StoreError as error:
        raise TrendError("store", 503, f"the store does not answer: {error}") from None


def _answer(hub: Context, asked: Question, now_ms: int, anchor: Anchor) -> dict[str, Any]:
    store = hub.store
    latest = [row for row in store.latest([asked.gateway]) if row["device"] == asked.device]
    if not latest:
        raise TrendError("unknown_device", 404, "nothing was ever stored of this device")
    cls = latest[0]["cls"]
    hot_ms = hub.config[ArchiveSettings].schedule(cls).hot_ms
    if asked.from_ms < now_ms - hot_ms:
        text = (
            f"older than {hot_ms // (24 * _HOUR_MS)} days, where values are not at hand any more"
        )
        raise TrendError("too_old", 400, f"{text}: see vitalkeep archive rows")
    best = best_offsets(store.clocks(asked.gateway, asked.from_ms - _CLOCKS_MS))
    offsets = {boot: found[0] for boot, found in best.items()}
    if (offset := anchor.offset(anchor.boot)) is not None:
        offsets.setdefault(anchor.boot, offset)
    window = (asked.from_ms, asked.to_ms, asked.points)
    points = store.trend(asked.gateway, asked.device, asked.parameter, offsets, window)
    known = _BY_LABEL.get(asked.parameter)
    units = [r["readings"][asked.parameter][2] for r in latest if asked.parameter in r["readings"]]
    if not units and not points:
        there = ", ".join(sorted({label for row in latest for label in row["readings"]}))
        text = f"the device has no such parameter and had none then; it has {there}"
        raise TrendError("unknown_parameter", 404, text)
    width_ms = max(1, -(-(asked.to_ms - asked.from_ms) // asked.points))
    return {
        "gateway": asked.gateway.hex(),
        "bed": hub.ward.name(asked.gateway),
        "device": asked.device,
        "class": CLASSES[cls],
        "parameter": asked.parameter,
        "code": {"mdc": known[2], "number": known[3] or None} if known else None,
        "unit": units[0] if units else known[4] if known else "",
        "from": asked.from_ms,
        "to": asked.to_ms,
        "bucket_ms": width_ms,
        "points": points,
        "gaps": gaps(points, asked.from_ms, asked.to_ms, width_ms, HOLE_MS[cls]),
    }


def gaps(
    points: Sequence[Point], from_ms: int, to_ms: int, width_ms: int, hole_ms: int
) -> list[tuple[int, int]]:
    """Return (from, to) in UTC ms of each time without any value. Pure.

    hole_ms  two values of the class may be so far apart; less than that is no gap
    """
    found, at_ms = [], from_ms
    for begins_ms, *_ in (*points, (to_ms, 0.0, 0.0, 0)):
        if begins_ms - at_ms > hole_ms:
            found.append((at_ms, begins_ms))
        at_ms = begins_ms + width_ms
    return found
