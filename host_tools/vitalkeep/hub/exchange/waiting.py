"""How much waits, by class, and for how long the oldest has waited. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Generic, TypeVar

from bridge.core.journal.layout import CLASSES
from vitalkeep.hub.sectors import Stream

T = TypeVar("T")


class Waiting(Generic[T]):
    """Something of each log that is to be done, and since when it is."""

    def __init__(self) -> None:
        self._what: dict[Stream, tuple[T, int, float]] = {}

    def set(self, stream: Stream, what: T, count: int, now_s: float) -> None:
        """Note what is to be done of a log; a count of 0 is nothing."""
        if not count:
            self._what.pop(stream, None)
            return
        since = self._what.get(stream)
        self._what[stream] = (what, count, since[2] if since else now_s)

    def clear(self) -> None:
        self._what.clear()

    def items(self, until_s: float = math.inf) -> Iterator[tuple[Stream, T]]:
        """Yield what has waited since `until_s` or before."""
        for stream, (what, _, since_s) in self._what.items():
            if since_s <= until_s:
                yield stream, what

    def any_of(self, classes: tuple[int, ...]) -> bool:
        return any(stream[2] in classes for stream in self._what)

    def by_class(self, now_s: float) -> dict[str, tuple[int, float]]:
        """Return (sectors, seconds that the oldest has waited) by the class's letter."""
        found = dict.fromkeys(CLASSES, (0, 0.0))
        for stream, (_, count, since_s) in self._what.items():
            name = CLASSES[stream[2]]
            known, waited = found[name]
            found[name] = (known + count, max(waited, round(now_s - since_s, 1)))
        return found
