"""What one run of `vitalkeep bench hub` is to measure, and where its parts report."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hil.bench.figures import Report
from hil.load import shape
from hil.load.logs import make_logs
from hil.load.stage import POSTGRESQL, SQLITE, Setting

PARTS = ("rates", "capacity", "outage", "queries", "peer")
STORES = (SQLITE, POSTGRESQL)
RATES = (1.0, 2.0, 5.0)  # times AIM
AIM = 10.0  # values a second and gateway, of which a hub is to hold a thousand
OUTAGE_S = 600
_SETTLE_S = 3.0
# A hub that starts decodes each open sector from its beginning, beside what comes.
_WARM_S = 60.0
_SHOWN_S = 300.0  # until what all of them bring is decoded
_QUERIES_S = 240.0  # for all that is asked, on a slow day
# Seconds of its log that a gateway may write in a second when nothing holds it, and how many runs
# a hub may take in that: few gateways have more of it each.
_HURRY = 8
_RUNS_MAX = 6000

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What to measure.

    parts     of PARTS
    stores    of STORES
    tls       False, True: without, with
    workers   hubs on one store: 1, and more
    seconds   of each measurement
    gateways  at once
    outage_s  how long all of them are away
    """

    parts: tuple[str, ...] = PARTS
    stores: tuple[str, ...] = STORES
    tls: tuple[bool, ...] = (False, True)
    workers: tuple[int, ...] = (1, 2)
    seconds: float = 20
    gateways: int = 1000
    outage_s: int = OUTAGE_S
    seed: int = 1

    @property
    def speed(self) -> float:
        """Return the speed of the logs at which the ward says AIM values a second and gateway."""
        return AIM * self.gateways / shape.values_per_s(self.gateways)

    @property
    def log_s(self) -> int:
        """Return how long the gateways' logs must be: each site begins with them anew."""
        longest = 0.0
        if {"rates", "peer"} & set(self.parts):
            longest = max(longest, sum(RATES) * (self.seconds + _SETTLE_S) + _WARM_S)
        if {"capacity", "peer"} & set(self.parts):
            hurry = max(_HURRY, _RUNS_MAX / self.gateways)
            longest = max(longest, hurry * (self.seconds + _SETTLE_S))
        if "queries" in self.parts:
            longest = max(longest, self.seconds + _QUERIES_S)
        if "outage" in self.parts:
            longest = max(longest, self.outage_s + _SHOWN_S)
        return round(longest) + shape.AGE_MAX_S + 60

    def settings(self) -> list[Setting]:
        """Return the sites to measure, the plainest first."""
        return [
            Setting(self.gateways, self.seed, tls, store, workers)
            for workers in self.workers
            for store in self.stores
            for tls in self.tls
        ]


@dataclass
class Measuring:
    """What every part is given."""

    plan: Plan
    report: Report
    tell: Tell
    _logs: Path | None = None

    def skip(self, what: str, why: str) -> None:
        self.report.skipped[what] = why
        self.tell(f"SKIPPED {what}: {why}")

    async def logs(self) -> Path:
        """Return the folder with the gateways' logs, which may take minutes to make once."""
        if self._logs is None:
            plan, told = self.plan, -1

            def tell(done: int) -> None:
                nonlocal told
                if (tenth := 10 * done // plan.gateways) != told:
                    told = tenth
                    self.tell(f"logs of {plan.log_s} s: {done} of {plan.gateways} gateways")

            self._logs = await asyncio.to_thread(
                make_logs, plan.gateways, plan.log_s, plan.seed, tell
            )
        return self._logs

    async def warmed(self) -> None:
        """Wait until a hub that has just begun does no more than what comes in."""
        await asyncio.sleep(_WARM_S)

    async def settled(self) -> None:
        """Wait until what was just changed has its effect."""
        await asyncio.sleep(_SETTLE_S)


def suffix(setting: Setting) -> str:
    """Return what a figure's name says of its site: nothing for SQLite, no TLS, one hub."""
    words = ["1000gw" if setting.gateways == 1000 else f"{setting.gateways}gw"]
    words += [setting.store] if setting.store != SQLITE else []
    words += ["tls"] if setting.tls else []
    words += [f"{setting.workers}workers"] if setting.workers > 1 else []
    return ".".join(words)
