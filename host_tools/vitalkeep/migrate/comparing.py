"""A span of time that both systems recorded, window by window: all of it, or a sample.

What is counted is a window: one series in ten minutes. It is wrong when a value of the other
system is missing here, or is another one here.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import groupby
from typing import Any, NamedTuple

from vitalkeep.hub.decode import Row
from vitalkeep.hub.store import Store
from vitalkeep.migrate import parameters, units
from vitalkeep.migrate.listing import utc
from vitalkeep.migrate.mapping import Mapping
from vitalkeep.migrate.matching import Matched, Point, Tolerance, match
from vitalkeep.migrate.ours import Ours, What
from vitalkeep.migrate.readings import Series
from vitalkeep.sampling import at_most, sample_size

WINDOW_MS = 600_000
MISSING_HERE, MISSING_THERE, DIFFERENT = "missing here", "missing there", "different"
_FINDINGS_MAX = 1000
_SHOWN_PER_WINDOW = 3


class Finding(NamedTuple):
    """One thing that is not the same on both sides; numbers as people read them."""

    code: str
    bed: str
    parameter: str
    time: str
    theirs: str
    ours: str


@dataclass
class Compared:
    """One series of the other system beside what our gateways sealed of it.

    why      it could not be compared, "" when it was
    windows  that were looked at; wrong: in which something was missing here or different
    """

    series: Series
    why: str = ""
    windows: int = 0
    wrong: int = 0
    theirs: int = 0
    ours: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        numbers = {n: getattr(self, n) for n in ("windows", "wrong", "theirs", "ours")}
        counts = {n.replace(" ", "_"): self.counts[n] for n in ("same", *_CODES)}
        return self.series._asdict() | {"not_compared": self.why} | numbers | counts


_CODES = (DIFFERENT, MISSING_HERE, MISSING_THERE)


@dataclass
class Comparison:
    """What came of it: `all_windows` there are, `windows` were looked at, `wrong` of them are."""

    system: str
    since_ms: int
    until_ms: int
    all_windows: int = 0
    windows: int = 0
    wrong: int = 0
    sample: bool = False
    seed: int = 0
    confidence: float = 0.95
    series: list[Compared] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    undated: int = 0

    @property
    def error_rate(self) -> float:
        return self.wrong / self.windows if self.windows else 1.0

    @property
    def error_rate_at_most(self) -> float:
        """Return what holds for all windows: with the confidence, where they are a sample."""
        if not self.sample or self.windows == self.all_windows:
            return self.error_rate
        return at_most(self.wrong, self.windows, self.confidence)

    def as_dict(self) -> dict[str, Any]:
        return {
            "system": self.system,
            "since": utc(self.since_ms),
            "until": utc(self.until_ms),
            "window_s": WINDOW_MS // 1000,
            "all_windows": self.all_windows,
            "windows": self.windows,
            "wrong": self.wrong,
            "sample": self.sample,
            "seed": self.seed,
            "confidence": self.confidence,
            "error_rate": self.error_rate,
            "error_rate_at_most": self.error_rate_at_most,
            "series": [one.as_dict() for one in self.series],
            "findings": [one._asdict() for one in self.findings],
            "unreadable": self.unreadable,
            "undated": self.undated,
        }


class _Task(NamedTuple):
    """One series, by its row and its number in the report, and how it is compared."""

    row: Row
    report: Compared
    tolerance: Tolerance
    factor: Fraction
    summand: Fraction
    unit: str


class Comparing:
    """Holds a system's values against our gateways' in [since, until), UTC ms."""

    def __init__(
        self, store: Store, ours: Ours, mapping: Mapping, since_ms: int, until_ms: int
    ) -> None:
        self.result = Comparison(mapping.system, since_ms, until_ms)
        self._store = store
        self._ours = ours
        self._mapping = mapping
        self._shift_ms = round(mapping.compare.shift_s * 1000)
        self._tasks: list[_Task] = []
        self._chosen: list[tuple[_Task, int]] = []
        for row in store.foreign_series(mapping.system):
            series = Series(*(row[name] for name in Series._fields))
            report = Compared(series)
            self.result.series.append(report)
            task = self._task(row, report)
            if task is not None:
                self._tasks.append(task)
        first = since_ms // WINDOW_MS
        self._slots = range(first, max(first, -(-until_ms // WINDOW_MS)))
        self.result.all_windows = len(self._slots) * len(self._tasks)

    def _task(self, row: Row, report: Compared) -> _Task | None:
        series = report.series
        known = parameters.find(series.label)
        unit = known.unit if known else series.unit
        converter = units.converter(series.unit, unit)
        if not self._ours.has_bed(series.bed):
            report.why = "no gateway of the vault is at this bed"
            return None
        if converter is None:
            report.why = f"{series.unit} is no {unit}"
            return None
        given = self._mapping.parameter_of(series)
        time_s = self._mapping.compare.time_s
        value, every_s = 0.0, 0.0
        if given is not None:
            time_s = time_s if given.time_s is None else given.time_s
            value, every_s = given.tolerance, given.every_s
        factor, summand = converter
        allowed = Fraction(str(value)) * abs(factor)
        tolerance = Tolerance(round(time_s * 1000), allowed, round(every_s * 1000))
        return _Task(row, report, tolerance, factor, summand, unit)

    def choose(self, error_rate: float | None, confidence: float, seed: int) -> int:
        """Choose windows and return how many: all, or a sample that shows an error rate to be
        smaller than this with this confidence. The same seed chooses the same.
        """
        result = self.result
        total = result.all_windows
        chosen: Sequence[int] = range(total)
        if error_rate is not None:
            result.sample, result.seed, result.confidence = True, seed, confidence
            size = min(total, sample_size(error_rate, confidence))
            chosen = random.Random(seed).sample(range(total), size)
        count = len(self._tasks)
        # By bed, then time: a sector is decoded once for all that it has.
        found = [(self._tasks[number % count], self._slots[number // count]) for number in chosen]
        self._chosen = sorted(found, key=lambda one: (one[0].row["bed"], one[1], one[0].row["id"]))
        return len(self._chosen)

    def run(self, tell: Callable[[int], None] = lambda _: None) -> Comparison:
        """Compare what was chosen; raises StoreError.

        tell  is called with how many windows were compared since the last call
        """
        result = self.result
        for (bed, slot), some in groupby(self._chosen, lambda one: (one[0].row["bed"], one[1])):
            start, end = slot * WINDOW_MS, (slot + 1) * WINDOW_MS
            start, end = max(start, result.since_ms), min(end, result.until_ms)
            tasks = [task for task, _ in some]
            margin = max(max(t.tolerance.time_ms, t.tolerance.every_ms) for t in tasks)
            ours = self._ours.points(bed, start - margin, end + margin)
            for task in tasks:
                self._window(task, ours, start, end, margin)
            tell(len(tasks))
        result.unreadable = sorted(self._ours.unreadable.values())
        result.undated = len(self._ours.undated)
        return result

    def _window(
        self, task: _Task, found: dict[What, list[Point]], start: int, end: int, margin: int
    ) -> None:
        report, series = task.report, task.report.series
        since, until = start - margin + self._shift_ms, end + margin + self._shift_ms
        theirs = [
            Point(
                at_ms - self._shift_ms, Fraction(value, 10**decimals) * task.factor + task.summand
            )
            for at_ms, value, decimals in self._store.foreign_points(task.row["id"], since, until)
        ]
        ours = self._side(task, found)
        both = match(theirs, ours, task.tolerance)
        # What is beyond the window's ends is there to be a partner, and is counted elsewhere.
        both.different = [pair for pair in both.different if start <= pair[0].at_ms < end]
        both.missing_here = [p for p in both.missing_here if start <= p.at_ms < end]
        both.missing_there = [p for p in both.missing_there if start <= p.at_ms < end]
        inside = sum(start <= point.at_ms < end for point in theirs)
        report.theirs += inside
        report.ours += sum(start <= point.at_ms < end for point in ours)
        report.counts["same"] += inside - len(both.different) - len(both.missing_here)
        for code, some in zip(_CODES, _lists(both), strict=True):
            report.counts[code] += len(some)
        report.windows += 1
        self.result.windows += 1
        if both.different or both.missing_here:
            report.wrong += 1
            self.result.wrong += 1
        self._note(series, both)

    def _side(self, task: _Task, found: dict[What, list[Point]]) -> list[Point]:
        """Return our values: of the device of the same name, or of all where there is none."""
        series = task.report.series
        fitting: dict[str, list[Point]] = {}
        for (device, label, unit), points in found.items():
            converter = units.converter(unit, task.unit) if label == series.label else None
            if converter is not None:
                factor, summand = converter
                some = fitting.setdefault(device, [])
                some += [Point(p.at_ms, p.value * factor + summand) for p in points]
        if series.device in fitting:
            return sorted(fitting[series.device])
        return sorted(point for points in fitting.values() for point in points)

    def _note(self, series: Series, both: Matched) -> None:
        findings = self.result.findings
        named = (series.bed, series.label)
        lines = [
            Finding(DIFFERENT, *named, utc(a.at_ms), _shown(a), _shown(b))
            for a, b in both.different[:_SHOWN_PER_WINDOW]
        ]
        for code, some in ((MISSING_HERE, both.missing_here), (MISSING_THERE, both.missing_there)):
            for point in some[:_SHOWN_PER_WINDOW]:
                sides = (_shown(point), "") if code == MISSING_HERE else ("", _shown(point))
                lines.append(Finding(code, *named, utc(point.at_ms), *sides))
        findings += lines[: max(0, _FINDINGS_MAX - len(findings))]


def _lists(both: Matched) -> tuple[Sequence[Any], ...]:
    return both.different, both.missing_here, both.missing_there


def _shown(point: Point) -> str:
    return f"{float(point.value):g}"
