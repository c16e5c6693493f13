"""How long silence has lasted while somebody listened. Pure.

A store says how long nothing was heard by the site's clock, which may be far ahead, and counts
days on which no hub ran, or none could hear anybody. Its word holds once the same was silent
through a day of listening, by a clock that nobody sets.
"""

from __future__ import annotations

from collections.abc import Iterable

from vitalkeep.hub.sectors import Place

_LISTENED_S = 24 * 3600.0


class Silence:
    """Sectors, and since when each look found them silent."""

    def __init__(self) -> None:
        self._since: dict[Place, float] = {}

    def lasting(self, places: Iterable[Place], now_s: float) -> list[Place]:
        """Return what of `places`, which are silent now, was so at each look for a day.

        now_s  monotonic
        """
        self._since = {place: self._since.get(place, now_s) for place in places}
        return [place for place, since in self._since.items() if now_s - since >= _LISTENED_S]

    def deaf(self) -> None:
        """Nobody would have heard: what was silent begins anew."""
        self._since.clear()
