"""What was asked for in vain is left alone for a while, and others have their turn. Pure."""

from __future__ import annotations

from collections import OrderedDict

from vitalkeep.hub.sectors import Place

_FIRST_S, _MAX_S = 5.0, 3600.0
_COUNT_MAX = 10_000


class Vain:
    """Places, and until when each is left alone: twice as long each time, up to an hour."""

    def __init__(self) -> None:
        self._until: OrderedDict[Place, tuple[float, float]] = OrderedDict()

    def note(self, place: Place, now_s: float) -> None:
        _, pause = self._until.pop(place, (0.0, _FIRST_S / 2))
        pause = min(2 * pause, _MAX_S)
        self._until[place] = (now_s + pause, pause)
        while len(self._until) > _COUNT_MAX:
            self._until.popitem(last=False)

    def forget(self, place: Place) -> None:
        self._until.pop(place, None)

    def clear(self) -> None:
        self._until.clear()

    def holds(self, place: Place, now_s: float) -> bool:
        return self._until.get(place, (0.0,))[0] > now_s
