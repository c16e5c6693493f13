"""Two sides that recorded the same: which value is which, and what one of them lacks. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple


class Point(NamedTuple):
    """One value at a time in UTC milliseconds."""

    at_ms: int
    value: Fraction


class Tolerance(NamedTuple):
    """How far two records of one value may be apart.

    every_ms  the other system keeps a value so often; 0 for each one that was shown
    """

    time_ms: int
    value: Fraction
    every_ms: int = 0


@dataclass
class Matched:
    """What is the same on both sides, and what is not.

    different      (theirs, ours): about the same time, another value
    missing_here   theirs of which there is nothing here; missing_there: the other way round
    """

    same: int = 0
    different: list[tuple[Point, Point]] = field(default_factory=list)
    missing_here: list[Point] = field(default_factory=list)
    missing_there: list[Point] = field(default_factory=list)


def match(theirs: Sequence[Point], ours: Sequence[Point], tolerance: Tolerance) -> Matched:
    """Pair values, each with one of the other side at most; both sides in the order of time.

    First those that agree, each with the nearest that is free; then those that do not. So a value
    that one side lost is missing, however many there are around it that look like it.
    """
    found = Matched()
    times = [point.at_ms for point in ours]
    free = [True] * len(ours)
    left = []
    for point in theirs:
        at = _nearest(point, ours, times, free, tolerance, True)
        if at is None:
            left.append(point)
        else:
            free[at] = False
            found.same += 1
    for point in left:
        at = _nearest(point, ours, times, free, tolerance, False)
        if at is None:
            found.missing_here.append(point)
        else:
            free[at] = False
            found.different.append((point, ours[at]))
    kept = [point.at_ms for point in theirs]
    for point, is_free in zip(ours, free, strict=True):
        if is_free and not _is_covered(point.at_ms, kept, tolerance.every_ms):
            found.missing_there.append(point)
    return found


def _nearest(
    point: Point,
    ours: Sequence[Point],
    times: Sequence[int],
    free: Sequence[bool],
    tolerance: Tolerance,
    agrees: bool,
) -> int | None:
    best = None
    at = bisect_left(times, point.at_ms - tolerance.time_ms)
    while at < len(times) and times[at] <= point.at_ms + tolerance.time_ms:
        if (
            free[at]
            and (not agrees or abs(ours[at].value - point.value) <= tolerance.value)
            and (best is None or abs(times[at] - point.at_ms) < abs(times[best] - point.at_ms))
        ):
            best = at
        at += 1
    return best


def _is_covered(at_ms: int, kept: Sequence[int], every_ms: int) -> bool:
    """Say whether the other system kept a value near enough to stand for this one, too."""
    if not every_ms:
        return False
    at = bisect_left(kept, at_ms - every_ms)
    return at < len(kept) and kept[at] <= at_ms + every_ms
