"""Which sites have proved what: the copies that receipts may count. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from bridge.core.journal.layout import CLASSES
from vitalkeep.hub.exchange.ranges import Pair, Ranges
from vitalkeep.hub.sectors import Place, Stream

_NOTHING = Ranges()


class Copies:
    """Sealed sectors of which other sites proved that they can read them back.

    One thread changes it while others read.
    """

    def __init__(self) -> None:
        self._proved: dict[bytes, dict[Stream, Ranges]] = {}

    def load(self, rows: Iterable[tuple[bytes, Stream, int, int]]) -> None:
        for site, stream, first, last in rows:
            self._proved.setdefault(site, {}).setdefault(stream, Ranges()).add(first, last)

    def proved(self, site: bytes, stream: Stream) -> Ranges:
        """Return what a site proved of a log; not to be changed."""
        return self._proved.get(site, {}).get(stream, _NOTHING)

    def add(self, site: bytes, places: Iterable[Place]) -> dict[Stream, list[Pair]]:
        """Note proofs; returns the pairs of each log that changed, for the store."""
        return self._change(site, places, Ranges.add)

    def withdraw(self, site: bytes, places: Iterable[Place]) -> dict[Stream, list[Pair]]:
        """Note that a site can no longer prove what it proved."""
        return self._change(site, places, Ranges.remove)

    def _change(
        self, site: bytes, places: Iterable[Place], change: Callable[[Ranges, int], None]
    ) -> dict[Stream, list[Pair]]:
        touched: dict[Stream, Ranges] = {}
        for place in places:
            stream = place[:3]
            if stream not in touched:
                touched[stream] = self.proved(site, stream).copy()
            change(touched[stream], place.sector)
        # Put in its place whole: receipts are written on another thread.
        self._proved[site] = self._proved.get(site, {}) | touched
        return {stream: ranges.pairs() for stream, ranges in touched.items()}

    def forget(self, site: bytes) -> None:
        """Drop what a site proved in a store that it no longer has."""
        self._proved.pop(site, None)

    def count(self, place: Place) -> int:
        """Return how many sites have a sector, this one included."""
        stream = place[:3]
        return 1 + sum(
            place.sector in of_site.get(stream, _NOTHING)
            for of_site in list(self._proved.values())
        )

    def copied(self, stream: Stream, first: int, last: int) -> Sequence[int]:
        """Return which sectors of a log, first to last, another site has."""
        asked = Ranges([(first, last)])
        found = Ranges()
        for of_site in list(self._proved.values()):
            for pair in asked.also_in(of_site.get(stream, _NOTHING)).pairs():
                found.add(*pair)
        return list(found)

    def by_class(self, site: bytes) -> dict[str, int]:
        """Return how many sectors of each class a site proved."""
        found = dict.fromkeys(CLASSES, 0)
        for stream, ranges in self._proved.get(site, {}).items():
            found[CLASSES[stream[2]]] += len(ranges)
        return found
