"""What the chip itself takes, from its data sheet, added to what was measured of Python."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Chip:
    """Times of the W25Q64JV (data sheet, AC characteristics: tPP and tSE) in milliseconds."""

    program_page_ms: float
    erase_ms: float

    def times_ms(self, run: Mapping[str, Any]) -> list[float]:
        """Return what each append of a job's run took, Python and chip together."""
        return [
            us / 1000 + pages * self.program_page_ms + erases * self.erase_ms
            for us, pages, erases in zip(run["us"], run["pages_of"], run["erases_of"], strict=True)
        ]


TYPICAL = Chip(0.7, 45)
WORST = Chip(3, 400)
NO_CHIP = Chip(0, 0)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that so many percent do not exceed."""
    ordered = sorted(values)
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, int(rank) - 1)]
