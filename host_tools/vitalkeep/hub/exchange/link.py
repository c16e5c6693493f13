"""One peer: what it has and this site lacks comes over, and what both have is proved there."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import secrets
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from bridge.core import wire as uplink
from bridge.core.journal.layout import CLASSES
from vitalkeep.errors import ToolError
from vitalkeep.hub.exchange import heads, proof, wire
from vitalkeep.hub.exchange.client import Client
from vitalkeep.hub.exchange.holdings import View
from vitalkeep.hub.exchange.plan import Holding, Lack, Want, lack, unproved, wants
from vitalkeep.hub.exchange.ranges import Ranges
from vitalkeep.hub.exchange.schedule import Schedule
from vitalkeep.hub.exchange.settings import Peer
from vitalkeep.hub.exchange.vain import Vain
from vitalkeep.hub.exchange.waiting import Waiting
from vitalkeep.hub.exchange.wire import Item, Nothing, PeerError, Speaker, Tagged
from vitalkeep.hub.ingest import Run, Sealed, Stream
from vitalkeep.hub.sectors import Place
from vitalkeep.hub.store import StoreError

if TYPE_CHECKING:
    from vitalkeep.hub.exchange.exchange import Exchange

log = logging.getLogger(__name__)

_PACE_S = 1.0  # between two looks at a peer that always has news
_GRACE_S = 1.0  # what is live comes from its gateway to both sites, at about the same time
_WAIT_MS = 2000  # for how long a peer may hold a question for news
_RETRY_FIRST_S, _RETRY_MAX_S = 0.5, 5.0
_MERGE_MAX = 2  # sectors in one commit: what is live waits for no more than that
_PROVE_COUNT = 64
_SAMPLE_COUNT = 16
_HEADS_S, _DAYS_S, _SAMPLE_S = 60.0, 600.0, 300.0
_DOWN_S = 10.0  # before people are told
_LATE_S = {"A": 60.0, "B": 3900.0, "C": 3900.0}  # what waits longer is told
_ALARMS = {"wrong_seal", "wrong_header", "two_seals"}  # no honest hub gives these


class Link:
    """The conversation with one peer, for ever.

    up        it answered the last question
    last_error  what went wrong last, for as long as nothing else does
    speaker   its site and its store's epoch, None before it first answered
    counters  what came, what was refused and why
    """

    def __init__(self, peer: Peer, exchange: Exchange, context: Callable[[], ssl.SSLContext]):
        self.peer = peer
        self.up = False
        self.last_error = ""
        self.speaker: Speaker | None = None
        self.counters: Counter[str] = Counter()
        self._exchange = exchange
        self._context = context
        self._view = View()
        self._dirty: set[Stream] = set()
        self._missing: Waiting[Lack] = Waiting()
        self._unproved: Waiting[Ranges] = Waiting()
        self._owed: Waiting[int] = Waiting()
        self._vain, self._vain_proofs = Vain(), Vain()
        self._schedule = Schedule(exchange.settings.every_s)
        self._down_s: float | None = time.monotonic()
        self._told_down = False
        self._told_late: set[str] = set()
        self._due = dict.fromkeys(("heads", "days", "sample"), 0.0)
        self._heads_ms = 0
        self._strange = 0  # logs of the peer that our vault does not know

    def touch(self, streams: Iterable[Stream]) -> None:
        """Hear that this site's holdings of some logs changed."""
        self._dirty.update(streams)

    async def run(self) -> None:
        """Talk, for ever; every way in which a peer can fail ends in a pause and a new try."""
        pause = _RETRY_FIRST_S
        while True:
            try:
                # Made anew each time: a renewed certificate is used from then on.
                async with Client(self.peer, self._context(), self._exchange.door) as client:
                    while True:
                        await self._round(client)
                        pause = _RETRY_FIRST_S
            except (PeerError, ToolError) as error:
                self._broke(str(error))
            except StoreError as error:
                self._broke(f"our store: {error}")
            await asyncio.sleep(pause * random.uniform(0.7, 1.0))
            pause = min(2 * pause, _RETRY_MAX_S)

    async def _round(self, client: Client) -> None:
        started = time.monotonic()
        await self._look(client)
        self._refresh()
        busy = self._exchange.intake.busy
        waiting = self._missing.any_of((1, 2)) or self._unproved.any_of((1, 2))
        classes = self._schedule.classes(time.monotonic(), not busy, waiting)
        moved = await self._fetch(client, classes)
        moved = await self._prove(client, classes) or moved
        await self._now_and_then(client)
        self._answered()
        if not moved:
            left = started + _PACE_S - time.monotonic()
            await asyncio.sleep(max(0.0, left))

    # --- what it has ---

    async def _look(self, client: Client) -> None:
        view = self._view
        quiet = not self._missing.any_of((0, 1, 2)) and not self._unproved.any_of((0, 1, 2))
        question = {
            "instance": (view.instance or bytes(8)).hex(),
            "version": view.version,
            "names": len(view.names),
            "wait_ms": _WAIT_MS if quiet and not self._dirty else 0,
        }
        summary = wire.parse_summary(await client.ask("summary", wire.dump(question)))
        await self._meet(summary.speaker)
        known = set(view.held)
        changed = view.take(summary)
        if not view.held and known:
            self._dirty |= known  # it starts anew: what was missing may no longer be there
        self._dirty.update(changed)

    async def _meet(self, speaker: Speaker) -> None:
        """Take who answers; another epoch voids what the site proved."""
        if speaker == self.speaker:
            return
        exchange = self._exchange
        if speaker.site == exchange.me.site:
            raise PeerError("it is a hub of this very site: want another site's")
        before = exchange.site_of(self.peer.name)
        if before not in (None, speaker.site):
            # Else one store could pass for many copies.
            raise PeerError("it was of another site before: issue it a certificate of a new name")
        known = exchange.sites.get(speaker.site)
        if known is not None and known != speaker.epoch:
            self.counters["renewed"] += 1
            self._say("bad", "has a new store: it is filled again, and proves everything anew")
        await exchange.set_site(speaker, self.peer.name)
        self.speaker = speaker
        self._view.forget()
        for waiting in (self._missing, self._unproved, self._owed):
            waiting.clear()
        self._vain.clear()
        self._vain_proofs.clear()
        self._dirty.update(exchange.holdings.streams())

    def _refresh(self) -> None:
        """Bring what is missing, unproved and owed up to date for the logs that changed."""
        assert self.speaker is not None
        exchange, now_s = self._exchange, time.monotonic()
        dirty, self._dirty = self._dirty, set()
        for stream in dirty:
            if not exchange.knows(stream):
                self._strange += stream in self._view.held
                continue
            mine = exchange.holdings[stream]
            theirs = self._view.held.get(stream) or Holding()
            proved = exchange.copies.proved(self.speaker.site, stream)
            found = lack(mine, theirs)
            self._missing.set(stream, found, found.sectors, now_s)
            left = unproved(mine, theirs, proved)
            self._unproved.set(stream, left, len(left), now_s)
            owed = len(mine.sealed.minus(theirs.sealed))
            self._owed.set(stream, owed, owed, now_s)
            if stream in self._view.held and (lost := proved.minus(theirs.sealed)):
                exchange.later(self._lost([Place(*stream, n) for n in lost.head(_PROVE_COUNT)]))

    async def _lost(self, places: list[Place]) -> None:
        """What it once proved it no longer claims to have."""
        assert self.speaker is not None
        self.counters["lost"] += len(places)
        self._say("bad", f"no longer has {len(places)} sectors that it had, {places[0]} and on")
        await self._exchange.withdraw(self.speaker.site, places)

    # --- what is missing here ---

    async def _fetch(self, client: Client, classes: tuple[int, ...]) -> bool:
        exchange, now_s = self._exchange, time.monotonic()
        asked = wants(
            dict(self._missing.items(now_s - _GRACE_S)),
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
        pairs = [(want, digests.get(want.place, _digest(b""))) for want in asked]
        items, size, broken = await client.items(wire.pack_question(pairs))
        self.counters["bytes"] += size
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
            place: _digest(found.data[: lengths[place]])
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
                    self.counters["revoked"] += 1
                    continue
                leaf = f"log/{CLASSES[item.cls]}"
                run = ingest.parse(uplink.topic(item.gateway, leaf), item.payload)
                if not isinstance(run, Run):
                    self.counters["refused_run"] += 1
                    continue
                place = run.place
            else:
                run, place = None, item.place
            if place not in asked or not ingest.knows(place):
                self.counters["unasked"] += 1
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
        self.counters["sectors"] += len(sealed) - len(batch.refused)
        self.counters["runs"] += len(runs)
        for _, why in batch.refused:
            self.counters[f"refused_{why}"] += 1
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
                self.counters["in_vain"] += 1
                self._vain.note(want.place, now_s)
            self._dirty.add(want.place[:3])

    # --- what it can read back ---

    async def _prove(self, client: Client, classes: tuple[int, ...]) -> bool:
        exchange, now_s = self._exchange, time.monotonic()
        places: list[Place] = []
        for cls in classes:
            for stream, ranges in self._unproved.items():
                if stream[2] != cls or len(places) >= _PROVE_COUNT:
                    continue
                for number in ranges.head(_PROVE_COUNT):
                    place = Place(*stream, number)
                    spared = exchange.is_spared(place) or self._vain_proofs.holds(place, now_s)
                    if len(places) < _PROVE_COUNT and not spared:
                        places.append(place)
        if not places:
            return False
        await self._challenge(client, places)
        return True

    async def _sample(self, client: Client) -> None:
        """Have some of what was proved proved again: disks forget."""
        assert self.speaker is not None
        exchange = self._exchange
        streams = exchange.holdings.streams()
        places = []
        for stream in random.sample(streams, min(_SAMPLE_COUNT, len(streams))):
            pairs = exchange.copies.proved(self.speaker.site, stream).pairs()
            if pairs:
                places.append(Place(*stream, random.randint(*random.choice(pairs))))
        if places:
            await self._challenge(client, places)

    async def _challenge(self, client: Client, places: list[Place]) -> None:
        assert self.speaker is not None
        exchange, site = self._exchange, self.speaker.site
        stored = await exchange.read(lambda: exchange.store.read_back(places))
        claims = [(place, len(found.data)) for place, found in stored.items() if found]
        if not claims:
            return
        nonce = secrets.token_bytes(wire.NONCE_SIZE)
        answer = await client.ask("prove", wire.pack_challenge(nonce, claims), wire.REQUEST_MAX)
        speaker, digests = wire.parse_proof(answer, len(claims))
        if speaker != self.speaker:
            raise PeerError("another site, or another store, answers")
        proved, absent, wrong = proof.judge(nonce, site, claims, stored, digests)
        now_s = time.monotonic()
        for place in (*absent, *wrong):
            self._vain_proofs.note(place, now_s)
        if absent or wrong:
            self.counters["proof_absent"] += len(absent)
            self.counters["proof_wrong"] += len(wrong)
            what = "cannot read back" if absent else "has other bytes of"
            self._say("bad", f"{what} {(absent or wrong)[0]}", (absent or wrong)[0])
            await exchange.withdraw(site, [*absent, *wrong])
        self.counters["proved"] += len(proved)
        known = {place: exchange.copies.count(place) for place in proved}
        await exchange.proved(site, proved)
        fresh = {
            place: _digest(found.data)
            for place in proved
            if (found := stored[place]) and exchange.copies.count(place) > known[place]
        }
        exchange.tell_copies(fresh)
        self._dirty.update(place[:3] for place in places)

    # --- heads and days ---

    async def _now_and_then(self, client: Client) -> None:
        now_s = time.monotonic()
        for name, every_s, job in (
            ("heads", _HEADS_S, self._hear),
            ("days", _DAYS_S, self._countersign),
            ("sample", _SAMPLE_S, self._sample),
        ):
            if now_s >= self._due[name]:
                await job(client)
                self._due[name] = time.monotonic() + every_s

    async def _hear(self, client: Client) -> None:
        """Keep the heartbeats that the peer heard: it cannot take back what they say."""
        assert self.speaker is not None
        exchange, site = self._exchange, self.speaker.site
        heard = []
        while True:
            question = wire.dump({"since": self._heads_ms})
            some = wire.parse_heads(await client.ask("heads", question))
            heard += some
            newest = max((at_ms for _, at_ms, _ in some), default=self._heads_ms)
            if len(some) < wire.HEADS_MAX or newest <= self._heads_ms:
                break
            self._heads_ms = newest
        self._heads_ms = max(self._heads_ms, newest)
        rows: list[dict[str, Any]] = []
        for gateway, at_ms, payload in heard:
            try:
                beat = heads.verify(exchange.vault, gateway, payload)
            except heads.REFUSED:
                self.counters["refused_heartbeat"] += 1
                continue
            rows.append({"gateway": gateway, "at_ms": at_ms, "payload": payload})
            exchange.heads.hear(site, beat, at_ms)
        if rows:
            await exchange.read(lambda: exchange.store.set_witnesses(site, rows))

    async def _countersign(self, client: Client) -> None:
        await self._exchange.calendar.offer(client, self.peer.name, self._say)

    # --- what people are told ---

    def _say(self, tone: str, text: str, place: Place | None = None) -> None:
        log.warning("%s %s", self.peer.name, text)
        self._exchange.say(place.gateway if place else None, tone, f"{self.peer.name} {text}")

    def _broke(self, reason: str) -> None:
        now_s = time.monotonic()
        if self.up or self._down_s is None:
            self._down_s = now_s
        self.up = False
        if reason != self.last_error:
            log.warning("%s: %s", self.peer.name, reason)
        self.last_error = reason
        self.counters["broken"] += 1
        if not self._told_down and now_s - self._down_s > _DOWN_S:
            self._told_down = True
            self._say("bad", f"does not answer: {reason}")

    def _answered(self) -> None:
        self.up, self._down_s = True, None
        if self._told_down:
            self._told_down = False
            self._say("good", "answers again")
        now_s = time.monotonic()
        missing, owed = self._missing.by_class(now_s), self._owed.by_class(now_s)
        for name, most_s in _LATE_S.items():
            waited = max(missing[name][1], owed[name][1])
            if waited > most_s and name not in self._told_late:
                self._told_late.add(name)
                count = missing[name][0] + owed[name][0]
                self._say("bad", f"and this site differ in {count} sectors of class {name}")
            elif not waited and name in self._told_late:
                self._told_late.discard(name)
                self._say("good", f"and this site have the same of class {name} again")

    def is_late(self, cls: str) -> bool:
        """Say whether the two sites have differed in a class for longer than they may."""
        return cls in self._told_late

    def state(self) -> dict[str, Any]:
        """Return what the page and the API show."""
        now_s = time.monotonic()
        missing, owed = self._missing.by_class(now_s), self._owed.by_class(now_s)
        unproved_ = self._unproved.by_class(now_s)
        site = self.speaker.site if self.speaker else b""
        proved = self._exchange.copies.by_class(site)
        return {
            "name": self.peer.name,
            "site": site.hex(),
            "up": self.up,
            "down_s": 0 if self._down_s is None else round(now_s - self._down_s, 1),
            "last_error": self.last_error,
            "unknown_logs": self._strange,
            "classes": {
                name: {
                    "missing": missing[name][0],
                    "missing_s": missing[name][1],
                    "owed": owed[name][0],
                    "owed_s": owed[name][1],
                    "unproved": unproved_[name][0],
                    "unproved_s": unproved_[name][1],
                    "proved": proved[name],
                }
                for name in CLASSES
            },
            "counters": dict(self.counters),
        }


def _digest(prefix: bytes) -> bytes:
    return hashlib.sha256(prefix).digest()[:8]
