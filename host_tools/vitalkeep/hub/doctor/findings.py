"""What a check found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from vitalkeep.errors import ToolError

GOOD, WARN, BAD = "good", "warn", "bad"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    check  what: config, vault, files, database, disk, broker, certificates, archive, clock, page,
           time
    level  good, warn (it runs, not for long or not well) or bad (it does not)
    next   what to do, "" when it is good
    """

    check: str
    level: str
    text: str
    next: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Findings:
    """The findings so far; `tell` hears each at once, as some checks take seconds."""

    def __init__(self, tell: Callable[[Finding], object] = lambda _: None) -> None:
        self.all: list[Finding] = []
        self._tell = tell

    def add(self, check: str, level: str, text: str, action: str = "") -> None:
        self.all.append(Finding(check, level, text, action))
        self._tell(self.all[-1])

    @contextmanager
    def of(self, check: str) -> Iterator[None]:
        """Make a bad finding of a ToolError."""
        try:
            yield
        except ToolError as error:
            self.add(check, BAD, error.message, error.hint)

    def worst(self) -> str:
        levels = {finding.level for finding in self.all}
        return next((level for level in (BAD, WARN) if level in levels), GOOD)
