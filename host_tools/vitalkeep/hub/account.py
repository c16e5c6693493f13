"""The loss account: for each bed and class every second is stored, on its way, or a gap that has
a name. Pure: rows of the store and the last heartbeat in, segments out.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from bridge.core.journal.layout import SECTOR_SIZE
from vitalkeep.hub import spans
from vitalkeep.hub.heartbeat import Heartbeat

STORED = "stored"
COMING = "on its way"
GAP = "gap"
_WORSE = (STORED, COMING, GAP)

NO_POWER = "gateway without power"
SILENT = "device silent"
OVERWRITTEN = "overwritten"
KEYS_LOST = "gateway lost its keys"
UNKNOWN = "unknown"
NEVER_CAME = "never came"
UNDERWAY = "sent within seconds"
BACKLOG = "in the gateway's backlog"
DECODING = "stored, its values are being decoded"
AWAITED = "link down: kept at the gateway while it has power"

_SHOWN_MAX = 50


@dataclass(frozen=True)
class Segment:
    """[start_ms, end_ms) in UTC milliseconds: stored, on its way or a gap, and why."""

    start_ms: int
    end_ms: int
    kind: str
    cause: str = ""

    @property
    def ms(self) -> int:
        return self.end_ms - self.start_ms


@dataclass
class Account:
    """One class of one bed over a window.

    segments  follow each other without a hole, oldest first
    undated   observations whose boot never had a clock: stored, but nobody knows when they were
    """

    cls: int
    segments: list[Segment] = field(default_factory=list)
    undated: int = 0

    def ms(self, kind: str) -> int:
        return sum(segment.ms for segment in self.segments if segment.kind == kind)

    def as_dict(self) -> dict[str, Any]:
        """Return it in seconds, to the millisecond: stored, coming and gap make up the span."""
        causes: dict[str, int] = {}
        for segment in self.segments:
            if segment.kind == GAP:
                causes[segment.cause] = causes.get(segment.cause, 0) + segment.ms
        shown = self.segments[-_SHOWN_MAX:]
        return {
            "span_s": sum(segment.ms for segment in self.segments) / 1000,
            "stored_s": self.ms(STORED) / 1000,
            "coming_s": self.ms(COMING) / 1000,
            "gap_s": self.ms(GAP) / 1000,
            "causes": {cause: ms / 1000 for cause, ms in causes.items()},
            "undated": self.undated,
            "segments": [[s.start_ms, s.end_ms, s.kind, s.cause] for s in shown],
        }


@dataclass(frozen=True)
class _Span:
    start_ms: int
    end_ms: int
    boot: int
    log: bytes
    sector: int


@dataclass(frozen=True)
class Facts:
    """What is known of one gateway.

    rows     of `Store.spans`: log, cls, sector, length, decoded, state, spans, keyless
    gaps     rows of the gaps table
    offsets  UTC minus monotonic ms by boot
    beat     the last heartbeat, None when none was heard since the hub started
    link_up  True while heartbeats come
    """

    rows: Sequence[Mapping[str, Any]]
    gaps: Sequence[Mapping[str, Any]]
    offsets: Mapping[int, int]
    beat: Heartbeat | None
    link_up: bool


def account(facts: Facts, cls: int, start_ms: int, now_ms: int) -> Account:
    """Return the account of one class from `start_ms` to `now_ms`, the worst device deciding."""
    result = Account(cls)
    rows = [row for row in facts.rows if row["cls"] == cls]
    known = {(bytes(row["log"]), row["sector"]): row for row in rows}
    devices: dict[str, list[_Span]] = {}
    for row in rows:
        for device, found in spans.load(row["spans"]).items():
            for boot, first, last, count in found:
                offset = facts.offsets.get(boot)
                if offset is None:
                    result.undated += count
                    continue
                span = _Span(first + offset, last + offset, boot, bytes(row["log"]), row["sector"])
                devices.setdefault(device, []).append(span)
    lines = []
    for device, stored in devices.items():
        stored.sort(key=lambda span: (span.start_ms, span.end_ms))
        whole = _Line(facts, cls, known, device)
        lines.append(cut(whole.segments(stored, now_ms), start_ms, now_ms))
    result.segments = _worst(lines)
    return result


class _Line:
    """The segments of one device."""

    def __init__(
        self,
        facts: Facts,
        cls: int,
        rows: Mapping[tuple[bytes, int], Mapping[str, Any]],
        device: str,
    ) -> None:
        self._facts = facts
        self._cls = cls
        self._rows = rows
        self._device = device

    def segments(self, known: Sequence[_Span], now_ms: int) -> list[Segment]:
        found = []
        hole_ms = spans.HOLE_MS[self._cls]
        last = known[0]
        start_ms, end_ms = last.start_ms, last.end_ms
        for span in known[1:]:
            # A device may be slow; a boot between two values is a hole, however short.
            hole = span.start_ms - end_ms
            if hole > hole_ms or (hole > 0 and span.boot != last.boot):
                found.append(Segment(start_ms, end_ms, STORED))
                kind, cause = self._between(last, span)
                found.append(Segment(end_ms, span.start_ms, kind, cause))
                start_ms = span.start_ms
            if span.end_ms >= end_ms:
                last, end_ms = span, span.end_ms
        found.append(Segment(start_ms, end_ms, STORED))
        if now_ms > end_ms and not self._is_gone():
            kind, cause = self._tail(now_ms - end_ms > hole_ms, last)
            # A gateway vouches for the time until its heartbeat: a clock far ahead adds nothing.
            said_ms = self._said_ms(now_ms) if kind == GAP else now_ms
            until_ms = min(max(end_ms, said_ms), now_ms)
            found.append(Segment(end_ms, until_ms, kind, cause))
            found.append(Segment(until_ms, now_ms, COMING, UNDERWAY))
        return found

    def _said_ms(self, now_ms: int) -> int:
        """Return when the last heartbeat was made, by the clock that dates its boot's values."""
        beat = self._facts.beat
        offset = self._facts.offsets.get(beat.boot) if beat else None
        return now_ms if beat is None or offset is None else beat.mono_ms + offset

    def _is_gone(self) -> bool:
        """True when the gateway lists its devices and no longer this one: nothing is owed."""
        beat = self._facts.beat
        return bool(beat and beat.lines and self._device not in dict(beat.lines))

    def _between(self, before: _Span, after: _Span) -> tuple[str, str]:
        """Name a hole between two stored spans."""
        if before.log != after.log:
            return GAP, UNKNOWN
        missing = []
        cause = ""
        decoding = False
        for number in range(before.sector, after.sector):
            row = self._rows.get((before.log, number))
            if row is not None and row["keyless"] and not self._owed(before.log):
                cause = KEYS_LOST
            elif row is None or row["length"] != SECTOR_SIZE:
                missing.append(number)
            elif row["decoded"] < SECTOR_SIZE:
                decoding = True
        if missing:
            return (GAP, OVERWRITTEN) if self._gone(before.log, missing) else (COMING, BACKLOG)
        if decoding:
            return COMING, DECODING
        if cause:
            return GAP, cause
        return (GAP, NO_POWER) if before.boot != after.boot else (GAP, SILENT)

    def _owed(self, log: bytes) -> bool:
        """True while the gateway has bytes of a log's class to send."""
        beat = self._facts.beat
        return beat is not None and beat.log == log and beat.backlog.get(self._cls, 0) > 0

    def _gone(self, log: bytes, missing: Sequence[int]) -> bool:
        """True when the gateway has said that none of these sectors can come any more."""
        beat = self._facts.beat
        oldest = beat.heads.get(self._cls, (-1, -1, 0))[0] if beat and beat.log == log else -1
        for number in missing:
            said = any(
                gap["gap_cls"] == self._cls
                and bytes(gap["log"]) == log
                and gap["first"] <= number <= gap["last"]
                for gap in self._facts.gaps
            )
            if not said and number >= oldest:
                return False
        return True

    def _tail(self, late: bool, last: _Span) -> tuple[str, str]:
        """Name what lies between the last stored value and now."""
        beat = self._facts.beat
        if not self._facts.link_up or beat is None:
            return COMING, AWAITED
        if not late:
            return COMING, UNDERWAY
        if beat.backlog.get(self._cls, 0):
            return COMING, BACKLOG
        if beat.boot != last.boot:
            return GAP, NO_POWER
        silent = dict(beat.lines).get(self._device) != "live"
        return (GAP, SILENT) if silent else (COMING, UNDERWAY)


def cut(found: Iterable[Segment], start_ms: int, end_ms: int) -> list[Segment]:
    """Return the parts of segments that lie within [start_ms, end_ms)."""
    parts = []
    for segment in found:
        first, last = max(segment.start_ms, start_ms), min(segment.end_ms, end_ms)
        if first < last:
            parts.append(Segment(first, last, segment.kind, segment.cause))
    return parts


def _worst(lines: Sequence[Sequence[Segment]]) -> list[Segment]:
    """Lay the devices of a class over each other: the worst word on each moment holds."""
    lines = [line for line in lines if line]
    edges = sorted({edge for line in lines for s in line for edge in (s.start_ms, s.end_ms)})
    starts = [[segment.start_ms for segment in line] for line in lines]
    result: list[Segment] = []
    for start_ms, end_ms in pairwise(edges):
        worst = None
        for line, begins in zip(lines, starts, strict=True):
            at = bisect_left(begins, start_ms + 1) - 1
            if at < 0 or line[at].end_ms <= start_ms:
                continue
            if worst is None or _WORSE.index(line[at].kind) > _WORSE.index(worst.kind):
                worst = line[at]
        kind, cause = (worst.kind, worst.cause) if worst else (GAP, UNKNOWN)
        if result and (result[-1].kind, result[-1].cause) == (kind, cause):
            result[-1] = Segment(result[-1].start_ms, end_ms, kind, cause)
        else:
            result.append(Segment(start_ms, end_ms, kind, cause))
    return result
