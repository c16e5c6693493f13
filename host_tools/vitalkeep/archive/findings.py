"""What a verification looks at, and what it found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from vitalkeep.archive.others import LACKS
from vitalkeep.sampling import at_most

# What may be wrong, by what it is about
SEAL = "seal"  # its bytes are not those that were sealed, or not where they were
STATE = "state"  # the store says something else of it than its bytes
ROWS = "rows"  # decoded rows are not those of its records, or of no sector
UNREADABLE = "unreadable"  # its bytes cannot be got
ABSENT = "absent"  # no sector with this number, and no gap record says why
ARCHIVE = "archive"  # the archive has other bytes
DAY = "day"  # sites signed that something was here, and it is not, or is another
_FINDINGS_MAX = 1000


class Finding(NamedTuple):
    """One thing that is wrong."""

    code: str
    where: str
    text: str


@dataclass(frozen=True)
class Scope:
    """What to look at.

    since_ms, until_ms  UTC; a sector whose time nobody knows is always looked at
    gateways, classes   None for all
    percent             of the sectors, chosen by `seed`; 100 for each of them
    deep                fetch from the archive what is there, too, and compare
    """

    since_ms: int = 0
    until_ms: int = 2**62
    gateways: frozenset[bytes] | None = None
    classes: tuple[int, ...] = (0, 1, 2)
    percent: float = 100.0
    seed: int = 0
    deep: bool = False

    @property
    def of_all_times(self) -> bool:
        return self.since_ms <= 0 and self.until_ms >= 2**62

    @property
    def is_whole(self) -> bool:
        """True when nothing is left out."""
        everyone = self.gateways is None and set(self.classes) >= {0, 1, 2}
        return everyone and self.of_all_times and self.percent >= 100


@dataclass
class Report:
    """What was looked at and what was wrong.

    sectors   in the scope; checked: of these, read and proven again
    states    of the checked, by what their bytes say
    gaps      numbers that a gap record explains
    days      statements that sites signed, and that were held against what is here
    wrong     by code; findings: the first of them, in words
    """

    sectors: int = 0
    checked: int = 0
    bytes: int = 0
    observations: int = 0
    archived: int = 0
    compared: int = 0
    gaps: int = 0
    days: int = 0
    states: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def find(self, code: str, where: object, text: str, count: int = 1) -> None:
        self.wrong[code] += count
        if len(self.findings) < _FINDINGS_MAX:
            self.findings.append(Finding(code, str(where), text))

    @property
    def good(self) -> bool:
        return not self._wrong()

    @property
    def error_rate(self) -> float:
        """Return wrong things a sector that was checked, 0 without any."""
        wrong = self._wrong()
        return wrong / self.checked if self.checked else float(bool(wrong))

    def at_most(self, confidence: float) -> float:
        """Return the error rate that all sectors have at most, as a sample of them shows it."""
        return at_most(self._wrong(), self.checked, confidence)

    def _wrong(self) -> int:
        return sum(count for code, count in self.wrong.items() if code != LACKS)

    def as_dict(self) -> dict[str, Any]:
        return {
            "good": self.good,
            "sectors": self.sectors,
            "checked": self.checked,
            "bytes": self.bytes,
            "observations": self.observations,
            "archived": self.archived,
            "compared": self.compared,
            "gaps": self.gaps,
            "days": self.days,
            "states": dict(self.states),
            "wrong": dict(self.wrong),
            "error_rate": self.error_rate,
            "findings": [finding._asdict() for finding in self.findings],
        }
