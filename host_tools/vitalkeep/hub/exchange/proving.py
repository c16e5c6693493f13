"""What this site and a peer both have: the peer proves that it can read it back."""

from __future__ import annotations

import math
import random
import secrets
import time
from itertools import islice

from vitalkeep.hub.exchange import proof, wire
from vitalkeep.hub.exchange.client import Client
from vitalkeep.hub.exchange.errand import Errand
from vitalkeep.hub.exchange.ranges import Ranges
from vitalkeep.hub.exchange.wire import PeerError, Speaker
from vitalkeep.hub.sectors import Place

_PROVE_COUNT = 64
_SAMPLE_COUNT = 16


class Prover(Errand[Ranges]):
    """One link's way of knowing what its peer really has."""

    async def prove(self, client: Client, speaker: Speaker, classes: tuple[int, ...]) -> bool:
        """Have what is due of some classes proved; returns whether any of it was."""
        due = list(self._due(math.inf))
        # All of a log, not its oldest alone: what nobody can read back is in no newer one's way.
        unproved = (
            Place(*stream, number)
            for cls in classes
            for stream, ranges in due
            if stream[2] == cls
            for number in ranges
        )
        spared = self._is_spared
        places = list(islice((p for p in unproved if not spared(p)), _PROVE_COUNT))
        return bool(places) and await self._challenge(client, speaker, places)

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

    async def _challenge(self, client: Client, speaker: Speaker, places: list[Place]) -> bool:
        """Have sectors read back; returns whether any of them was."""
        exchange, site = self._exchange, speaker.site
        stored = await exchange.sectors(places)
        claims = [
            (place, len(found.data))
            for place, found in stored.items()
            if found is not None and found.cold is None and found.spoilt is None
        ]
        for place in set(places).difference(place for place, _ in claims):
            self._vain.note(place, time.monotonic())  # it cannot be read here, so not be compared
        if not claims:
            return False
        nonce = secrets.token_bytes(wire.NONCE_SIZE)
        answer = await client.ask("prove", wire.pack_challenge(nonce, claims), wire.REQUEST_MAX)
        answers, digests = wire.parse_proof(answer, len(claims))
        if answers != speaker:
            raise PeerError("another site, or another store, answers")
        proved, absent, wrong = proof.judge(nonce, site, claims, stored, digests)
        now_s = time.monotonic()
        for place in (*absent, *wrong):
            self._vain.note(place, now_s)
        first = next(iter((*absent, *wrong)), None)
        what = "cannot read back" if absent else "has other bytes of"
        self._judge_peer(f"{what} {first}" if first else "", first)
        if first:
            self._counters["proof_absent"] += len(absent)
            self._counters["proof_wrong"] += len(wrong)
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
        self.touch({place[:3] for place in places})
        return bool(proved)
