"""What a long piece of work tells while it goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Step:
    """One step of the work and how it ended: "done", "unchanged" or "skipped"."""

    name: str
    outcome: str = ""
    detail: str = ""


@dataclass
class Progress:
    """Steps as they are done; `show(step, percent)` is called each time something has moved.

    percent  0 to 100, None where nobody knows
    watched  whether somebody looks at percents, which cost esptool more than the work itself
    is_held  whether the work may not be left off between two steps: a chip is in its loader
    """

    show: Callable[[Step, float | None], None] = lambda step, percent: None
    watched: bool = False
    steps: list[Step] = field(default_factory=list)
    is_held: bool = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Have steps follow each other to the last, also where `show` would leave off."""
        self.is_held = True
        try:
            yield
        finally:
            self.is_held = False

    def begin(self, name: str) -> Step:
        step = Step(name)
        self.steps.append(step)
        self.show(step, None)
        return step

    def at(self, percent: float) -> None:
        self.show(self.steps[-1], percent)

    def end(self, outcome: str, detail: str = "") -> None:
        step = self.steps[-1]
        step.outcome, step.detail = outcome, detail
        self.show(step, None)
