"""What gateways sealed of a bed in a span of time, read from the sealed bytes themselves."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from fractions import Fraction
from typing import NamedTuple

from bridge.core.errors import FormatError
from bridge.core.events import VALID
from vitalkeep.archive.shelf import Shelf, ShelfError
from vitalkeep.hub import spans
from vitalkeep.hub.clocks import best_offsets
from vitalkeep.hub.sectors import BROKEN, Place
from vitalkeep.hub.store import Store
from vitalkeep.keys.vault import Gateway
from vitalkeep.migrate.matching import Point

_AT_ONCE = 500
_CACHE_MAX = 512  # sectors that are kept decoded

What = tuple[str, str, str]  # device, label, unit
_Points = dict[What, list[Point]]


class _Known(NamedTuple):
    """A sector, and from when to when in UTC ms it has values."""

    first_ms: int
    last_ms: int
    place: Place
    is_broken: bool = False


class Ours:
    """Values by bed.

    unreadable  what could not be read of the beds that were asked for, in words
    undated     sectors with values whose time nobody knows
    """

    def __init__(self, store: Store, shelf: Shelf, gateways: Iterable[Gateway]) -> None:
        self.unreadable: dict[Place, str] = {}
        self.undated: set[Place] = set()
        self._store = store
        self._shelf = shelf
        self._beds: dict[str, list[bytes]] = {}
        for gateway in gateways:
            self._beds.setdefault(gateway.bed, []).append(gateway.id)
        self._known: dict[bytes, list[_Known]] = {}
        self._offsets: dict[bytes, dict[int, int]] = {}
        self._decoded: OrderedDict[Place, _Points] = OrderedDict()

    def has_bed(self, bed: str) -> bool:
        """Say whether a gateway of the vault is or was at a bed."""
        return bed in self._beds

    def points(self, bed: str, since_ms: int, until_ms: int) -> _Points:
        """Return {(device, label, unit): values} from since to before until, in their order."""
        found: _Points = {}
        for gateway in self._beds.get(bed, []):
            for known in self._sectors(gateway):
                if known.first_ms >= until_ms or known.last_ms < since_ms:
                    continue
                if known.is_broken:
                    self.unreadable[known.place] = f"{known.place}: its seal is broken"
                    continue
                for what, points in self._of(known.place).items():
                    some = [p for p in points if since_ms <= p.at_ms < until_ms]
                    found.setdefault(what, []).extend(some)
        for points in found.values():
            points.sort()
        return found

    def _sectors(self, gateway: bytes) -> list[_Known]:
        if gateway in self._known:
            return self._known[gateway]
        clocks = best_offsets(self._store.clocks(gateway))
        offsets = self._offsets[gateway] = {boot: best[0] for boot, best in clocks.items()}
        waiting = self._store.undecoded_places(gateway)
        known = []
        after: Place | None = None
        while rows := self._store.sectors_with_spans(gateway, after, _AT_ONCE):
            for entry, text, _ in rows:
                if entry.place in waiting:
                    # Its spans are not known yet, but its bytes are here.
                    times = [p.at_ms for some in self._of(entry.place).values() for p in some]
                    if times:
                        known.append(_Known(min(times), max(times), entry.place))
                else:
                    is_broken = entry.state == BROKEN
                    known += self._dated(entry.place, text, offsets, is_broken)
            last = rows[-1][0].place
            after = last._replace(sector=last.sector + 1)
        self._known[gateway] = known
        return known

    def _dated(
        self, place: Place, text: str, offsets: dict[int, int], is_broken: bool
    ) -> list[_Known]:
        ends = []
        for found in spans.load(text).values():
            for boot, first, last, _ in found:
                if boot in offsets:
                    ends.append((first + offsets[boot], last + offsets[boot]))
                else:
                    self.undated.add(place)
        if not ends:
            return []
        first, last = min(e[0] for e in ends), max(e[1] for e in ends)
        return [_Known(first, last, place, is_broken)]

    def _of(self, place: Place) -> _Points:
        if place in self._decoded:
            self._decoded.move_to_end(place)
            return self._decoded[place]
        found: _Points = {}
        offsets = self._offsets[place.gateway]
        try:
            rows = self._shelf.rows_of(place)
        except (ShelfError, FormatError) as error:
            self.unreadable[place] = f"{place}: {error}"
            rows = []
        for row in rows:
            offset = offsets.get(row["boot"])
            if offset is None:
                self.undated.add(place)
                continue
            for label, (text, state, unit) in row["readings"].items():
                if text is not None and state == VALID:
                    point = Point(row["mono_ms"] + offset, Fraction(text))
                    found.setdefault((row["device"], label, unit), []).append(point)
        self._decoded[place] = found
        while len(self._decoded) > _CACHE_MAX:
            self._decoded.popitem(last=False)
        return found
