"""What a peer has and this site lacks: asked for, verified, committed."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from bridge.core import wire as uplink
from bridge.core.journal.layout import CLASSES
from vitalkeep.hub.batch import Run, Sealed
from vitalkeep.hub.exchange import wire
from vitalkeep.hub.exchange.client import Client
from vitalkeep.hub.exchange.plan import Lack, Want, wants
from vitalkeep.hub.exchange.vain import Vain
from vitalkeep.hub.exchange.waiting import Waiting
from vitalkeep.hub.exchange.wire import Item, Nothing, Tagged
from vitalkeep.hub.sectors import Place, Stream

if TYPE_CHECKING:
    from vitalkeep.hub.exchange.exchange import Exchange

_GRACE_S = 1.0  # what is live comes from its gateway to both sites, at about the same time
_MERGE_MAX = 2  # sectors in one commit: what is live waits for no more than that
_ALARMS = {"wrong_seal", "wrong_header", "two_seals"}  # no honest hub gives these

Say = Callable[[str, str, Place | None], None]  # tone, text, place


class Fetcher:
    """One link's way of getting what is missing.

    missing  by log
    touch    is told of the logs whose holdings may have changed
    """

    def __init__(
        self,
        exchange: Exchange,
        counters: Counter[str],
        say: Say,
        touch: Callable[[Iterable[Stream]], None],
    ) -> None:
        self.missing: Waiting[Lack] = Waiting()
        self._exchange = exchange
        self._counters = counters
        self._say = say
        self._touch = touch
        self._vain = Vain()

    def clear(self) -> None:
        """Begin anew with another store of the peer."""
        self.missing.clear()
        self._vain.clear()

    async def fetch(self, client: Client, classes: tuple[int, ...]) -> bool:
        """Ask for what is due of some classes; returns whether there was anything."""
        exchange, now_s = self._exchange, time.monotonic()
        asked = wants(
            dict(self.missing.items(now_s - _GRACE_S)),
            classes,
            exchange.incoming.room(now_s),
            wire.ASK_MAX,
            lambda place: exchange.is_spared(place) or self._vain.holds(place, now_s),
        )
        if not asked:
            return False
        places = {want.place for want in asked}
        exchange.claimed |= places
        try:
            await self._ask(client, asked)
        finally:
            exchange.claimed -= places
        return True

    async def _ask(self, client: Client, asked: list[Want]) -> None:
        exchange = self._exchange
        digests = await self._prefixes(asked)
        pairs = [(want, digests.get(want.place, wire.prefix_digest(b""))) for want in asked]
        items, size, broken = await client.items(wire.pack_question(pairs))
        self._counters["bytes"] += size
        wait = exchange.incoming.take(size, time.monotonic())
        await self._store(items, {want.place for want in asked})
        self._judge(asked)
        if broken is not None:
            raise broken
        if wait:
            await asyncio.sleep(wait)

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

    async def _store(self, items: list[Item], asked: set[Place]) -> None:
        """Verify and commit what came, in steps so small that live runs hardly wait."""
        ingest = self._exchange.intake.ingest
        runs: list[Run] = []
        sealed: list[Sealed] = []
        places: set[Place] = set()
        for item in items:
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
                await self._merge(runs, sealed)
                runs, sealed, places = [], [], set()
            places.add(place)
            if run is not None:
                runs.append(run)
            elif isinstance(item, Sealed):
                sealed.append(item)
        if places:
            await self._merge(runs, sealed)

    async def _merge(self, runs: list[Run], sealed: list[Sealed]) -> None:
        exchange = self._exchange
        batch, answers = await exchange.intake.merge(runs, sealed)
        exchange.publish(answers)
        refused = [(place, why) for place, why in batch.refused if why in _ALARMS]
        self._counters["sectors"] += len(sealed) - len(batch.refused)
        self._counters["runs"] += len(runs)
        for _, why in batch.refused:
            self._counters[f"refused_{why}"] += 1
        if refused:
            place, why = refused[0]
            self._say("bad", f"gave bytes of {place} that are not its gateway's: {why}", place)

    def _judge(self, asked: list[Want]) -> None:
        """See what became of what was asked for; what is no further is left for a while."""
        now_s = time.monotonic()
        for want in asked:
            mine = self._exchange.holdings[want.place[:3]]
            have = mine.parts.get(want.place.sector, (0, 0))[0]
            if mine.has_whole(want.place.sector) or (not want.sealed and have > want.length):
                self._vain.forget(want.place)
            else:
                self._counters["in_vain"] += 1
                self._vain.note(want.place, now_s)
            self._touch([want.place[:3]])
