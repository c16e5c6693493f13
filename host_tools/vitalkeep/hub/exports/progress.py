"""How far one class of a log was exported. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from bridge.core.journal.layout import SECTOR_SIZE
from vitalkeep.hub.exchange.ranges import Pair, Ranges
from vitalkeep.hub.sectors import Place

_SPANS_MAX = 200
_LAST = 2**62


class Piece(NamedTuple):
    """The commits of one sector from the offset `begin` on, up to but without `end`."""

    place: Place
    begin: int
    end: int


class Progress:
    """Sectors that were exported: most of them whole, the newest as far as they went.

    rows  (first, last, end) as the books have them: sectors first to last, up to offset `end`
    """

    def __init__(self, rows: Iterable[tuple[int, int, int]] = ()) -> None:
        self._whole = Ranges()
        self._parts: dict[int, int] = {}
        for first, last, end in rows:
            if end >= SECTOR_SIZE:
                self._whole.add(first, last)
            else:
                self._parts[first] = end

    def rows(self) -> list[tuple[int, int, int]]:
        parts = [(sector, sector, end) for sector, end in sorted(self._parts.items())]
        return [(*pair, SECTOR_SIZE) for pair in self._whole.pairs()] + parts

    def end(self, sector: int) -> int:
        """Return up to which offset a sector was exported."""
        return SECTOR_SIZE if sector in self._whole else self._parts.get(sector, 0)

    def add(self, sector: int, end: int) -> None:
        """Note that a sector was exported up to an offset; it never goes back."""
        if end >= SECTOR_SIZE:
            self._whole.add(sector)
            self._parts.pop(sector, None)
        elif end > self.end(sector):
            self._parts[sector] = end

    def spans(self) -> list[Pair]:
        """Return where something may be that was not exported; the last one has no end."""
        found, at = [], 0
        for first, last in self._whole.pairs():
            if first > at:
                found.append((at, first - 1))
            at = last + 1
        found = found[: _SPANS_MAX - 1]
        # Of a log with more holes than that, all behind the first ones is looked through.
        return [*found, (found[-1][1] + 1 if len(found) == _SPANS_MAX - 1 else at, _LAST)]
