"""What a peer has and this site lacks: asked for, verified, committed."""

from __future__ import annotations

import asyncio
import time

from bridge.core import wire as uplink
from bridge.core.journal.layout import CLASSES
from vitalkeep.hub.batch import Run, Sealed
from vitalkeep.hub.exchange import wire
from vitalkeep.hub.exchange.client import Client
from vitalkeep.hub.exchange.errand import Errand
from vitalkeep.hub.exchange.plan import Lack, Want, wants
from vitalkeep.hub.exchange.wire import Item, Nothing, Tagged
from vitalkeep.hub.sectors import Place
from vitalkeep.hub.tags import place_of

_GRACE_S = 1.0  # what is live comes from its gateway to both sites, at about the same time
_MERGE_MAX = 2  # sectors in one commit: what is live waits for no more than that
_PARSED_AT_ONCE = 100  # items of an answer
_ALARMS = {"wrong_seal", "wrong_header", "two_seals"}  # no honest hub gives these


class Fetcher(Errand[Lack]):
    """One link's way of getting what is missing."""

    async def fetch(self, client: Client, classes: tuple[int, ...]) -> bool:
        """Ask for what is due of some classes; returns whether anything came of it."""
        exchange, now_s = self._exchange, time.monotonic()
        asked = wants(
            dict(self._due(now_s - _GRACE_S)),
            classes,
            exchange.incoming.room(now_s),
            wire.ASK_MAX,
            self._is_spared,
        )
        if not asked:
            return False
        places = {want.place for want in asked}
        exchange.claimed |= places
        try:
            return await self._ask(client, asked)
        finally:
            exchange.claimed -= places

    async def _ask(self, client: Client, asked: list[Want]) -> bool:
        exchange = self._exchange
        digests = await self._prefixes(asked)
        pairs = [(want, digests.get(want.place, wire.prefix_digest(b""))) for want in asked]
        items, size, broken = await client.items(wire.pack_question(pairs))
        self._counters["bytes"] += size
        wait = exchange.incoming.take(size, time.monotonic())
        refused = await self._store(items, {want.place for want in asked})
        place, why = refused[0] if refused else (None, "")
        complaint = f"gave bytes of {place} that are not its gateway's: {why}" if refused else ""
        self._judge_peer(complaint, place)
        gained = self._judge(asked, items)
        if broken is not None:
            raise broken
        if wait:
            await asyncio.sleep(wait)
        return gained

    async def _prefixes(self, asked: list[Want]) -> dict[Place, bytes]:
        """Return digests of the prefixes that we have: the peer says whether it has the same."""
        places = [want.place for want in asked if not want.sealed and want.length]
        if not places:
            return {}
        lengths = {want.place: want.length for want in asked}
        stored = await self._exchange.read(lambda: self._exchange.store.read_back(places))
        return {
            place: wire.prefix_digest(found.data[: lengths[place]])
            for place, found in stored.items()
            if found
        }

    async def _store(self, items: list[Item], asked: set[Place]) -> list[tuple[Place, str]]:
        """Verify and commit what came, in steps so small that live runs hardly wait.

        Returns what no honest hub gives: (place, why)
        """
        ingest = self._exchange.intake.ingest
        runs: list[Run] = []
        sealed: list[Sealed] = []
        places: set[Place] = set()
        refused: list[tuple[Place, str]] = []
        for number, item in enumerate(items):
            if number % _PARSED_AT_ONCE == 0:
                await asyncio.sleep(0)  # others have their turn, whatever somebody sends
            if isinstance(item, Nothing):
                continue
            if isinstance(item, Tagged):
                if not self._exchange.admits(item.gateway):
                    self._counters["revoked"] += 1
                    continue
                leaf = f"log/{CLASSES[item.cls]}"
                run = ingest.payloads.parse(uplink.topic(item.gateway, leaf), item.payload)
                if not isinstance(run, Run):
                    self._counters["refused_run"] += 1
                    continue
                place = run.place
            else:
                run, place = None, item.place
            if place not in asked or not ingest.payloads.knows(place):
                self._counters["unasked"] += 1
                continue
            if place not in places and len(places) >= _MERGE_MAX:
                refused += await self._merge(runs, sealed)
                runs, sealed, places = [], [], set()
            places.add(place)
            if run is not None:
                runs.append(run)
            elif isinstance(item, Sealed):
                sealed.append(item)
        if places:
            refused += await self._merge(runs, sealed)
        return refused

    async def _merge(self, runs: list[Run], sealed: list[Sealed]) -> list[tuple[Place, str]]:
        exchange = self._exchange
        batch, answers = await exchange.intake.merge(runs, sealed)
        exchange.publish(answers)
        refused = [(place, why) for place, why in batch.refused if why in _ALARMS]
        self._counters["sectors"] += len(sealed) - len(batch.refused)
        self._counters["runs"] += len(runs)
        for _, why in batch.refused:
            self._counters[f"refused_{why}"] += 1
        return refused

    def _judge(self, asked: list[Want], items: list[Item]) -> bool:
        """See what became of what was asked for; what is no further is left for a while.

        Returns whether anything is. Of an answer that ends early the rest is asked for again, if
        something came of the first.
        """
        now_s = time.monotonic()
        stuck = []
        for want in asked:
            mine = self._exchange.holdings[want.place[:3]]
            have = mine.parts.get(want.place.sector, (0, 0))[0]
            if mine.has_whole(want.place.sector) or (not want.sealed and have > want.length):
                self._vain.forget(want.place)
            else:
                stuck.append(want.place)
            self.touch([want.place[:3]])
        gained = len(stuck) < len(asked)
        answered = {_place(item) for item in items}
        for place in stuck:
            if place in answered or not gained:
                self._counters["in_vain"] += 1
                self._vain.note(place, now_s)
        return gained


def _place(item: Item) -> Place | None:
    if isinstance(item, Tagged):
        return place_of(item.gateway, item.cls, item.payload)
    return item.place
