"""What fetching and proving have in common: something is to be done of each log with one peer."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Generic, TypeVar

from vitalkeep.hub.exchange.vain import Vain
from vitalkeep.hub.exchange.waiting import Waiting
from vitalkeep.hub.sectors import Place, Stream

if TYPE_CHECKING:
    from vitalkeep.hub.exchange.exchange import Exchange

T = TypeVar("T")

Say = Callable[[str, str, Place | None], None]  # tone, text, place


class Errand(Generic[T]):
    """One kind of work with one peer.

    waiting  what is to be done, by log
    touch    is told of the logs whose holdings or proofs may have changed
    """

    def __init__(
        self,
        exchange: Exchange,
        counters: Counter[str],
        say: Say,
        touch: Callable[[Iterable[Stream]], None],
    ) -> None:
        self.waiting: Waiting[T] = Waiting()
        self.touch = touch
        self._exchange = exchange
        self._counters = counters
        self._say = say
        self._vain = Vain()
        self._complained = False

    def clear(self) -> None:
        """Begin anew with another store of the peer."""
        self.waiting.clear()
        self._vain.clear()

    def _due(self, until_s: float) -> Iterator[tuple[Stream, T]]:
        """Yield what has waited since then or before, of the gateways that this worker serves."""
        serves = self._exchange.intake.serves
        return (item for item in self.waiting.items(until_s) if serves(item[0][0]))

    def _is_spared(self, place: Place) -> bool:
        """Say whether a sector is another link's right now, or was tried in vain just before."""
        return place in self._exchange.claimed or self._vain.holds(place, time.monotonic())

    def _judge_peer(self, complaint: str, place: Place | None) -> None:
        """Tell people what is wrong with the peer, "" for nothing; no more often than it mends."""
        if complaint and not self._complained:
            self._say("bad", complaint, place)
        self._complained = bool(complaint)
