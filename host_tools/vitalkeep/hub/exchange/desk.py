"""What other hubs ask this one, answered from its store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from bridge.core.journal import layout
from vitalkeep.hub.batch import Sealed
from vitalkeep.hub.exchange import proof, wire
from vitalkeep.hub.exchange.bucket import Bucket
from vitalkeep.hub.exchange.cold import ColdReader
from vitalkeep.hub.exchange.holdings import Holdings
from vitalkeep.hub.exchange.wire import Asked, Item, Nothing, Speaker, Tagged
from vitalkeep.hub.sectors import PROVEN, Place, Stored
from vitalkeep.hub.store import Store
from vitalkeep.hub.tags import TaggedSpan, payloads
from vitalkeep.hub.within import within

T = TypeVar("T")
Read = Callable[[Callable[[], T]], Awaitable[T]]

_WAIT_MAX_MS = 10_000
# Whoever asks is silent for so long at the most; it hangs up after 15 s.
_COLD_FETCH_S = 2.0
_COLD_PROVE_S = 8.0
_SUMMARY_ROOM = 1024 * 1024
_HEAD_COST = 1024  # bytes of a heartbeat, about


class Desk:
    """Answers by path; each takes the peer's name and a body.

    read    awaits a job that reads the store, on a thread
    bucket  of all that is sent
    cold    reads what is in the archive alone
    lost    is told of sectors that turn out to be spoilt
    """

    def __init__(
        self,
        me: Speaker,
        store: Store,
        holdings: Holdings,
        bucket: Bucket,
        read: Any,
        cold: ColdReader,
        lost: Callable[[Sequence[Place]], None] = lambda places: None,
    ) -> None:
        self._me = me
        self._store = store
        self._holdings = holdings
        self._bucket = bucket
        self._read = read
        self._cold = cold
        self._lost = lost
        self._news = asyncio.Event()

    def wake(self) -> None:
        """Say that something was committed."""
        self._news.set()

    async def summary(self, name: str, body: bytes) -> bytes:
        """What this site has, as far as it is news to who asks; waits for news if it may."""
        fields = wire.parse(body)
        instance = wire.octets(fields.get("instance"), 8)
        version = wire.whole(fields.get("version"), 0, 1 << 62)
        names = wire.whole(fields.get("names"), 0, 1 << 24)
        until = time.monotonic() + wire.whole(fields.get("wait_ms"), 0, _WAIT_MAX_MS) / 1000
        holdings = self._holdings
        while instance == holdings.instance and version == holdings.version:
            left = until - time.monotonic()
            if left <= 0:
                break
            self._news.clear()
            try:
                await within(left, self._news.wait())
            except asyncio.TimeoutError:
                break
        room = self._bucket.piece(_SUMMARY_ROOM)
        answer = wire.pack_summary(holdings.since(self._me, instance, version, names, room))
        await self._pay(len(answer))
        return answer

    async def fetch(self, name: str, body: bytes) -> bytes:
        """Sectors, whole or as runs."""
        asked = wire.parse_question(body)
        places = [item.place for item in asked]
        before = [_before(place) for place in places if place.sector]
        stored, tags = await self._read(lambda: self._load(places, before))
        self._lost(spoilt_of(stored))
        # Of a sector before, no more than the seal is asked for, and that is in the database.
        wanted = {place: stored[place] for place in places}
        filled = stored | await self._cold.fill(wanted, _COLD_FETCH_S)
        items = _items(asked, filled, tags, self._bucket.piece(wire.ANSWER_MAX // 2))
        answer = b"".join(map(wire.pack_item, items))
        await self._pay(len(answer))
        return answer

    async def prove(self, name: str, body: bytes) -> bytes:
        """Digests over what the store says now."""
        nonce, claims = wire.parse_challenge(body)
        places = [place for place, _ in claims]
        stored = await self._read(lambda: self._store.read_back(places))
        self._lost(spoilt_of(stored))
        stored = await self._cold.fill(stored, _COLD_PROVE_S)
        return wire.pack_proof(self._me, proof.answer(nonce, self._me.site, claims, stored))

    async def heads(self, name: str, body: bytes) -> bytes:
        """The last heartbeats, as they came."""
        since_ms = wire.whole(wire.parse(body).get("since"), 0, 1 << 62)
        count = -(-self._bucket.piece(wire.HEADS_MAX * _HEAD_COST) // _HEAD_COST)
        rows = await self._read(lambda: self._store.heard_since(since_ms, count))
        heard = [(bytes(r["gateway"]), r["at_ms"], bytes(r["payload"])) for r in rows]
        answer = wire.pack_heads(heard)
        await self._pay(len(answer))
        return answer

    async def _pay(self, size: int) -> None:
        wait = self._bucket.take(size, time.monotonic())
        if wait:
            await asyncio.sleep(wait)

    # --- on the reader's thread ---

    def _load(
        self, places: Sequence[Place], before: Sequence[Place]
    ) -> tuple[dict[Place, Stored | None], dict[Place, list[TaggedSpan]]]:
        stored = self._store.read_back(list(dict.fromkeys([*places, *before])))
        open_ones = [place for place in places if not _is_proven(stored[place])]
        return stored, self._store.tags_of(open_ones) if open_ones else {}


def _items(
    asked: Sequence[Asked],
    stored: Mapping[Place, Stored | None],
    tags: Mapping[Place, list[TaggedSpan]],
    most: int,
) -> list[Item]:
    """Return what is given of sectors, the first of them, in about `most` bytes."""
    found: list[Item] = []
    size = 0
    for item in asked:
        known = stored[item.place]
        made: list[Item] = [Nothing(item.place)]
        if known is not None and known.cold is not None:
            pass  # the archive has not given it yet: it is asked for again
        elif known is not None and known.state == PROVEN:
            previous = stored.get(_before(item.place)) if item.place.sector else None
            made = [Sealed(item.place, known.data, _tag(previous))]
        elif known is not None and not item.sealed:
            agree = wire.prefix_digest(known.data[: item.length]) == item.digest
            behind = item.length if agree else 0
            runs = payloads(item.place, known.data, tags[item.place], behind)
            if runs:
                place = item.place
                made = [Tagged(place.gateway, place.cls, payload) for payload in runs]
        size += sum(len(wire.pack_item(part)) for part in made)
        if found and size > most:
            break  # the rest is asked for again
        found += made
    return found


def spoilt_of(stored: Mapping[Place, Stored | None]) -> list[Place]:
    """Return which sectors are spoilt."""
    return [place for place, found in stored.items() if found is not None and found.spoilt]


def _before(place: Place) -> Place:
    return place._replace(sector=place.sector - 1)


def _is_proven(stored: Stored | None) -> bool:
    return stored is not None and stored.state == PROVEN


def _tag(stored: Stored | None) -> bytes | None:
    if stored is not None and stored.cold is not None:
        return stored.cold.tag
    return seal_of(stored.data) if stored is not None else None


def seal_of(data: bytes) -> bytes | None:
    """Return the tag in a sector's seal, None where it has none."""
    found = layout.parse_seal(data) if len(data) == layout.SECTOR_SIZE else None
    return found[1] if found else None
