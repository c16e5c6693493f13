"""Sets of sector numbers that are mostly without holes. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

Pair = tuple[int, int]  # first and last, both in it


class Ranges:
    """A set of whole numbers as sorted pairs that neither touch nor overlap.

    A log without a gap is one pair, however long it is.
    """

    def __init__(self, pairs: Iterable[Pair] = ()) -> None:
        self._first: list[int] = []
        self._last: list[int] = []
        for first, last in pairs:
            self.add(first, last)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and self.pairs() == other.pairs()

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"Ranges({self.pairs()})"

    def __bool__(self) -> bool:
        return bool(self._first)

    def __len__(self) -> int:
        """Return how many numbers are in it."""
        return sum(last - first + 1 for first, last in self.pairs())

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._first, number) - 1
        return at >= 0 and number <= self._last[at]

    def __iter__(self) -> Iterator[int]:
        for first, last in self.pairs():
            yield from range(first, last + 1)

    def pairs(self) -> list[Pair]:
        return list(zip(self._first, self._last, strict=True))

    @property
    def newest(self) -> int:
        """Return the highest number, -1 of an empty set."""
        return self._last[-1] if self._last else -1

    def copy(self) -> Ranges:
        made = Ranges()
        made._first, made._last = self._first[:], self._last[:]
        return made

    def add(self, first: int, last: int | None = None) -> None:
        """Put the numbers first to last in."""
        last = first if last is None else last
        if last < first:
            return
        # All pairs that overlap or touch become one with it.
        low = bisect_left(self._last, first - 1)
        high = bisect_right(self._first, last + 1)
        if low < high:
            first = min(first, self._first[low])
            last = max(last, self._last[high - 1])
        self._first[low:high] = [first]
        self._last[low:high] = [last]

    def remove(self, first: int, last: int | None = None) -> None:
        """Take the numbers first to last out."""
        last = first if last is None else last
        low = bisect_left(self._last, first)
        high = bisect_right(self._first, last)
        if last < first or low >= high:
            return
        rest = []
        if self._first[low] < first:
            rest.append((self._first[low], first - 1))
        if self._last[high - 1] > last:
            rest.append((last + 1, self._last[high - 1]))
        self._first[low:high] = [pair[0] for pair in rest]
        self._last[low:high] = [pair[1] for pair in rest]

    def minus(self, other: Ranges) -> Ranges:
        """Return the numbers that are not in the other set."""
        made = self.copy()
        for first, last in other.pairs():
            made.remove(first, last)
        return made

    def also_in(self, other: Ranges) -> Ranges:
        """Return the numbers that are in both sets."""
        return self.minus(self.minus(other))

    def head(self, count: int) -> list[int]:
        """Return the `count` lowest numbers."""
        found: list[int] = []
        for first, last in self.pairs():
            found += range(first, min(last, first + count - len(found) - 1) + 1)
            if len(found) >= count:
                break
        return found
