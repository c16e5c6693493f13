"""What one run of `vitalkeep bench uplink` is to measure, and where its parts report."""

from collections.abc import Callable
from dataclasses import dataclass

from hil.bench.figures import Report

PARTS = ("publish", "drain", "failover", "stalls", "crowd", "memory")

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What to measure.

    parts     of PARTS
    seconds   of each client's publishing at each distance, and five times that of a flapping link
    hours     of the monitor's log that is drained
    runs      of each kind of death
    gateways  that come back at once
    """

    parts: tuple[str, ...] = PARTS
    seconds: float = 3
    hours: float = 24
    runs: int = 5
    gateways: int = 1000
    seed: int = 1


@dataclass
class Measuring:
    """What every part is given."""

    plan: Plan
    report: Report
    tell: Tell

    def skip(self, what: str, why: str) -> None:
        self.report.skipped[what] = why
        self.tell(f"SKIPPED {what}: {why}")
