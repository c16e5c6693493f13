"""Another site, to compare with: its database here, its live hub in `peer`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from vitalkeep.hub.sectors import Place, describe_spoilt
from vitalkeep.hub.store import Store

SITES = "sites"  # the other site has other bytes, or has what is not here
LACKS = "other site lacks"  # the other site has less; it may still be on its way
_AT_ONCE = 500


class Other:
    """Another site, to be compared with."""

    def gateways(self) -> set[bytes]:
        """Return the gateways of which it has anything."""
        raise NotImplementedError

    def places(self, gateway: bytes) -> Iterable[Place]:
        """Yield the sectors of a gateway of which it has anything."""
        raise NotImplementedError

    def compare(self, found: Sequence[tuple[Place, bytes]]) -> Iterable[tuple[Place, str, str]]:
        """Yield (place, LACKS or SITES, in words) of sectors that it has not so.

        found  sectors with the bytes that this site has
        """
        raise NotImplementedError

    def close(self) -> None:
        """Give back what is open."""


class OtherStore(Other):
    """Another site by its database, which is read."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def gateways(self) -> set[bytes]:
        return set(self._store.gateways())

    def places(self, gateway: bytes) -> Iterable[Place]:
        first: Place | None = None
        while found := self._store.sectors_of(gateway, first, _AT_ONCE):
            yield from (entry.place for entry in found)
            last = found[-1].place
            first = last._replace(sector=last.sector + 1)

    def compare(self, found: Sequence[tuple[Place, bytes]]) -> Iterable[tuple[Place, str, str]]:
        there = self._store.read_back([place for place, _ in found])
        for place, data in found:
            theirs = there[place]
            if theirs is None or not (theirs.data or theirs.cold or theirs.spoilt):
                yield place, LACKS, "the other site has nothing of it"
            elif theirs.spoilt is not None:
                yield place, SITES, f"at the other site, {describe_spoilt(place, theirs.spoilt)}"
            elif theirs.cold is not None:
                if theirs.cold.digest != hashlib.sha256(data).digest():
                    yield place, SITES, "the other site's archive has other bytes"
            else:
                both = min(len(theirs.data), len(data))
                if theirs.data[:both] != data[:both]:
                    at = _first_difference(theirs.data, data)
                    yield place, SITES, f"the other site differs from byte {at} on"
                elif len(theirs.data) < len(data):
                    text = f"the other site has {len(theirs.data)} bytes of {len(data)}"
                    yield place, LACKS, text

    def close(self) -> None:
        self._store.close()


def _first_difference(a: bytes, b: bytes) -> int:
    return next((at for at, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), -1)
