"""What this site's store has, by log: kept in memory, numbered as it changes. Pure.

A peer that knows it up to a version asks for what is newer, so the cost of a summary is that of
the news in it. Filled from the store at start, then told of each commit.
"""

from __future__ import annotations

from collections import OrderedDict

from vitalkeep.hub.exchange.plan import Holding
from vitalkeep.hub.exchange.wire import LOGS_MAX, RANGES_MAX, PeerError, Speaker, Summary
from vitalkeep.hub.sectors import OPEN, Place, Stream

_COST_LOG, _COST_PAIR, _COST_PART = 40, 20, 16  # bytes in a summary, about


class Holdings:
    """Every log that something is stored of.

    instance  8 random bytes: versions count within it
    version   grows with each change
    """

    def __init__(self, instance: bytes) -> None:
        self.instance = instance
        self.version = 0
        self._held: dict[Stream, Holding] = {}
        self._numbers: dict[Stream, int] = {}
        self._names: list[Stream] = []
        self._changed: OrderedDict[Stream, int] = OrderedDict()  # the newest change is last

    def __getitem__(self, stream: Stream) -> Holding:
        return self._held.get(stream) or Holding()

    def streams(self) -> list[Stream]:
        return list(self._names)

    def set_sealed(self, stream: Stream, first: int, last: int) -> None:
        """Note a range of sealed sectors, as the store has it at start."""
        self._touch(stream).sealed.add(first, last)

    def set(self, place: Place, length: int, state: int) -> None:
        """Note one sector; news that is older than what is known changes nothing."""
        stream = place[:3]
        known = self._held.get(stream)
        if known is not None:
            had = known.parts.get(place.sector, (0, 0))
            if place.sector in known.sealed or had == (length, state) or had[0] > length:
                return
        self._touch(stream).set(place.sector, length, state)

    def lose(self, place: Place) -> None:
        """Note that a sector is spoilt: there is nothing of it to give, and all of it to get."""
        known = self[place[:3]]
        if place.sector in known.sealed or known.parts.get(place.sector, (0, 0))[0]:
            self._touch(place[:3]).set(place.sector, 0, OPEN)

    def _touch(self, stream: Stream) -> Holding:
        holding = self._held.get(stream)
        if holding is None:
            holding = self._held[stream] = Holding()
            self._numbers[stream] = len(self._names)
            self._names.append(stream)
        self.version += 1
        self._changed[stream] = self.version
        self._changed.move_to_end(stream)
        return holding

    def since(
        self, speaker: Speaker, instance: bytes, version: int, names: int, room: int
    ) -> Summary:
        """Return the news since `version` of `instance`, of about `room` bytes at most.

        names  how many logs whoever asks has the names of
        """
        if instance != self.instance or version > self.version or names > len(self._names):
            version = names = 0
        newer: list[Stream] = []
        for stream, at in reversed(self._changed.items()):
            if at <= version:
                break
            newer.append(stream)
        held: dict[int, Holding] = {}
        upto, size = version, 0
        for stream in reversed(newer):
            holding = self._held[stream]
            size += _COST_LOG + _COST_PAIR * len(holding.sealed.pairs())
            size += _COST_PART * len(holding.parts)
            if held and size > room:
                break
            held[self._numbers[stream]] = holding
            upto = self._changed[stream]
        # Names of what is told, in the order of their numbers, so a list with no hole in it.
        known = max([names, *(number + 1 for number in held)])
        more = len(held) < len(newer)
        named = self._names[names:known]
        return Summary(
            speaker, self.instance, upto if more else self.version, more, names, named, held
        )


class View:
    """What a peer said that it has, put together from its summaries."""

    def __init__(self) -> None:
        self.instance = b""
        self.version = 0
        self.names: list[Stream] = []
        self.held: dict[Stream, Holding] = {}
        self._ranges = 0

    def take(self, summary: Summary) -> list[Stream]:
        """Take a summary and return the logs that changed; what is inconsistent starts anew.

        Raises  PeerError when that is more than any site has; then it starts anew, too
        """
        if summary.instance != self.instance or summary.first != len(self.names):
            if summary.first:
                self.forget()
                return []
            self.forget()
            self.instance = summary.instance
        self.names += summary.names
        changed = []
        for number, holding in summary.holdings.items():
            if number < len(self.names):
                stream = self.names[number]
                self._ranges += _ranges(holding) - _ranges(self.held.get(stream))
                self.held[stream] = holding
                changed.append(stream)
        if len(self.names) > LOGS_MAX or self._ranges > RANGES_MAX:
            self.forget()
            raise PeerError(f"says that it has more than {LOGS_MAX} logs or {RANGES_MAX} ranges")
        self.version = summary.version
        return changed

    def forget(self) -> None:
        self.__init__()  # type: ignore[misc]


def _ranges(holding: Holding | None) -> int:
    return len(holding.sealed.pairs()) + len(holding.parts) if holding else 0
