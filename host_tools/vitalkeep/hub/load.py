"""How loaded the hub is, and whether it sheds what can wait. Pure: measures in, a decision out.

Each measure is 1 at its limit: the processor one core (what is Python in a hub has one), the queue
a batch that is always full and always busy, the commit and the loop a delay of so many ms.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from vitalkeep.settings.fields import setting

_SMOOTH_S = 2.0  # a second's peak is no load


@dataclass(frozen=True)
class LoadSettings:
    """When the hub puts off pages, accounts and exports so that no commit waits for them."""

    shed_percent: int = setting(80, "From this load on.", low=10, high=100, unit="%")
    calm_percent: int = setting(
        75, "Until it was below this for calm_s.", low=5, high=95, unit="%"
    )
    calm_s: float = setting(10.0, "See calm_percent.", low=0, high=600, unit="s")
    commit_ms: int = setting(
        250, "A commit that takes so long is 100 %.", low=10, high=10_000, unit="ms"
    )
    loop_ms: int = setting(250, "A loop that is so late is 100 %.", low=10, high=10_000, unit="ms")

    def __post_init__(self) -> None:
        if self.calm_percent >= self.shed_percent:
            raise ValueError("calm_percent: want less than shed_percent")


class Load:
    """The load, smoothed, and what follows from it.

    measures   by name (cpu, queue, commit, loop), 1 at its limit
    shedding   True while what can wait has to
    """

    def __init__(self, settings: LoadSettings) -> None:
        self.measures: dict[str, float] = {}
        self.shedding = False
        self._shed = settings.shed_percent / 100
        self._calm = settings.calm_percent / 100
        self._calm_s = settings.calm_s
        self._last_s: float | None = None
        self._calm_since_s: float | None = None

    @property
    def value(self) -> float:
        return max(self.measures.values(), default=0.0)

    @property
    def worst(self) -> str:
        """Return the name of the measure that decides, "" before the first."""
        return max(self.measures, key=lambda name: self.measures[name], default="")

    def sample(self, now_s: float, measures: Mapping[str, float]) -> bool:
        """Take what was measured since the last time; returns True when `shedding` changed."""
        since_s = 0.0 if self._last_s is None else max(0.0, now_s - self._last_s)
        self._last_s = now_s
        share = 1 - math.exp(-since_s / _SMOOTH_S)
        for name, found in measures.items():
            before = self.measures.get(name, 0.0)
            self.measures[name] = before + share * (found - before)
        if self.value >= self._calm:
            self._calm_since_s = None
        elif self._calm_since_s is None:
            self._calm_since_s = now_s
        before_shedding = self.shedding
        if not self.shedding:
            self.shedding = self.value >= self._shed
        elif self._calm_since_s is not None and now_s - self._calm_since_s >= self._calm_s:
            self.shedding = False
        return self.shedding != before_shedding
