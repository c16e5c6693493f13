"""What this site and a peer both have: the peer proves that it can read it back."""

from __future__ import annotations

import random
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from vitalkeep.hub.exchange import proof, wire
from vitalkeep.hub.exchange.client import Client
from vitalkeep.hub.exchange.fetching import Say
from vitalkeep.hub.exchange.ranges import Ranges
from vitalkeep.hub.exchange.vain import Vain
from vitalkeep.hub.exchange.waiting import Waiting
from vitalkeep.hub.exchange.wire import PeerError, Speaker
from vitalkeep.hub.sectors import Place, Stream

if TYPE_CHECKING:
    from vitalkeep.hub.exchange.exchange import Exchange

_PROVE_COUNT = 64
_SAMPLE_COUNT = 16


class Prover:
    """One link's way of knowing what its peer really has.

    unproved  sectors by log
    touch     is told of the logs of which something was proved
    """

    def __init__(
        self,
        exchange: Exchange,
        counters: Counter[str],
        say: Say,
        touch: Callable[[Iterable[Stream]], None],
    ) -> None:
        self.unproved: Waiting[Ranges] = Waiting()
        self._exchange = exchange
        self._counters = counters
        self._say = say
        self._touch = touch
        self._vain = Vain()

    def clear(self) -> None:
        """Begin anew with another store of the peer."""
        self.unproved.clear()
        self._vain.clear()

    async def prove(self, client: Client, speaker: Speaker, classes: tuple[int, ...]) -> bool:
        """Have what is due of some classes proved; returns whether there was anything."""
        exchange, now_s = self._exchange, time.monotonic()
        places: list[Place] = []
        for cls in classes:
            for stream, ranges in self.unproved.items():
                if stream[2] != cls or len(places) >= _PROVE_COUNT:
                    continue
                for number in ranges.head(_PROVE_COUNT):
                    place = Place(*stream, number)
                    spared = exchange.is_spared(place) or self._vain.holds(place, now_s)
                    if len(places) < _PROVE_COUNT and not spared:
                        places.append(place)
        if not places:
            return False
        await self._challenge(client, speaker, places)
        return True

    async def sample(self, client: Client, speaker: Speaker) -> None:
        """Have some of what was proved proved again: disks forget."""
        exchange = self._exchange
        streams = exchange.holdings.streams()
        places = []
        for stream in random.sample(streams, min(_SAMPLE_COUNT, len(streams))):
            pairs = exchange.copies.proved(speaker.site, stream).pairs()
            if pairs:
                places.append(Place(*stream, random.randint(*random.choice(pairs))))
        if places:
            await self._challenge(client, speaker, places)

    async def _challenge(self, client: Client, speaker: Speaker, places: list[Place]) -> None:
        exchange, site = self._exchange, speaker.site
        stored = await exchange.sectors(places)
        claims = [
            (place, len(found.data))
            for place, found in stored.items()
            if found is not None and found.cold is None
        ]
        for place in set(places).difference(place for place, _ in claims):
            self._vain.note(place, time.monotonic())  # it cannot be read here, so not be compared
        if not claims:
            return
        nonce = secrets.token_bytes(wire.NONCE_SIZE)
        answer = await client.ask("prove", wire.pack_challenge(nonce, claims), wire.REQUEST_MAX)
        answers, digests = wire.parse_proof(answer, len(claims))
        if answers != speaker:
            raise PeerError("another site, or another store, answers")
        proved, absent, wrong = proof.judge(nonce, site, claims, stored, digests)
        now_s = time.monotonic()
        for place in (*absent, *wrong):
            self._vain.note(place, now_s)
        if absent or wrong:
            self._counters["proof_absent"] += len(absent)
            self._counters["proof_wrong"] += len(wrong)
            what = "cannot read back" if absent else "has other bytes of"
            self._say("bad", f"{what} {(absent or wrong)[0]}", (absent or wrong)[0])
            await exchange.withdraw(site, [*absent, *wrong])
        self._counters["proved"] += len(proved)
        known = {place: exchange.copies.count(place) for place in proved}
        await exchange.proved(site, proved)
        fresh = {
            place: wire.prefix_digest(found.data)
            for place in proved
            if (found := stored[place]) and exchange.copies.count(place) > known[place]
        }
        exchange.tell_copies(fresh)
        self._touch({place[:3] for place in places})
