"""One peer: what it has and this site lacks comes over, and what both have is proved there."""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from bridge.core.journal.layout import CLASSES
from vitalkeep.errors import ToolError
from vitalkeep.hub.exchange import heads, wire
from vitalkeep.hub.exchange.client import Client
from vitalkeep.hub.exchange.fetching import Fetcher
from vitalkeep.hub.exchange.holdings import View
from vitalkeep.hub.exchange.plan import Holding, lack, unproved
from vitalkeep.hub.exchange.proving import Prover
from vitalkeep.hub.exchange.ranges import Ranges
from vitalkeep.hub.exchange.schedule import Schedule
from vitalkeep.hub.exchange.settings import Peer
from vitalkeep.hub.exchange.waiting import Waiting
from vitalkeep.hub.exchange.wire import PeerError, RefusedError, Speaker
from vitalkeep.hub.sectors import Place, Stream
from vitalkeep.hub.store import StoreError, utc_now_ms

if TYPE_CHECKING:
    from vitalkeep.hub.exchange.exchange import Exchange

log = logging.getLogger(__name__)

_PACE_S = 1.0  # between two looks at a peer that always has news
_WAIT_MS = 2000  # for how long a peer may hold a question for news
_RETRY_FIRST_S, _RETRY_MAX_S = 0.5, 5.0
_AGAIN_S = 10.0  # after a question of these was refused, twice as long each time
_PAGES_MAX = 100  # of heartbeats at once: 50,000 gateways
_HEADS_S, _DAYS_S, _SAMPLE_S, _STRANGE_S = 60.0, 600.0, 300.0, 60.0
_DOWN_S = 10.0  # before people are told
_LATE_S = {"A": 60.0, "B": 3900.0, "C": 3900.0}  # what waits longer is told


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
        self.exchange = exchange
        self._context = context
        self._view = View()
        self._dirty: set[Stream] = set()
        self._owed: Waiting[int] = Waiting()
        self._fetcher = Fetcher(exchange, self.counters, self.say, self.touch)
        self._prover = Prover(exchange, self.counters, self.say, self.touch)
        self._schedule = Schedule(exchange.settings.every_s)
        self._down_s: float | None = time.monotonic()
        self._told_down = False
        self._told_late: set[str] = set()
        self._due: defaultdict[str, float] = defaultdict(float)
        self._again_s: dict[str, float] = {}  # of what was refused
        self._heads_ms = 0
        self._strange: set[Stream] = set()  # of the peer, and our vault does not know them

    def touch(self, streams: Iterable[Stream]) -> None:
        """Hear that this site's holdings of some logs changed."""
        self._dirty.update(streams)

    async def run(self) -> None:
        """Talk, for ever; every way in which a peer can fail ends in a pause and a new try."""
        pause = _RETRY_FIRST_S
        while True:
            try:
                # Made anew each time: a renewed certificate is used from then on.
                async with Client(self.peer, self._context(), self.exchange.door) as client:
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
        await self._refresh()
        busy = self.exchange.intake.busy
        waiting = self._is_waiting((1, 2))
        classes = self._schedule.classes(time.monotonic(), not busy, waiting)
        assert self.speaker is not None
        moved = await self._fetcher.fetch(client, classes)
        moved = await self._prover.prove(client, self.speaker, classes) or moved
        await self._now_and_then(client)
        self._answered()
        if not moved:
            left = started + _PACE_S - time.monotonic()
            await asyncio.sleep(max(0.0, left))

    def _is_waiting(self, classes: tuple[int, ...]) -> bool:
        """Say whether anything of some classes is missing here, or not proved there."""
        return self._fetcher.waiting.any_of(classes) or self._prover.waiting.any_of(classes)

    # --- what it has ---

    async def _look(self, client: Client) -> None:
        view = self._view
        quiet = not self._is_waiting((0, 1, 2))
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
        exchange = self.exchange
        if speaker.site == exchange.me.site:
            raise PeerError("it is a hub of this very site: want another site's")
        before = exchange.site_of(self.peer.name)
        if before not in (None, speaker.site):
            # Else one store could pass for many copies.
            raise PeerError("it was of another site before: issue it a certificate of a new name")
        known = exchange.sites.get(speaker.site)
        if known is not None and known != speaker.epoch:
            self.counters["renewed"] += 1
            self.say("bad", "has a new store: it is filled again, and proves everything anew")
        await exchange.set_site(speaker, self.peer.name)
        self.speaker = speaker
        self._view.forget()
        for part in (self._fetcher, self._prover, self._owed):
            part.clear()
        self._strange.clear()
        self._dirty.update(exchange.holdings.streams())

    async def _refresh(self) -> None:
        """Bring what is missing, unproved and owed up to date for the logs that changed."""
        assert self.speaker is not None
        exchange, now_s = self.exchange, time.monotonic()
        dirty, self._dirty = self._dirty, set()
        lost = {}
        for stream in dirty:
            if not exchange.knows(stream):
                if stream in self._view.held:
                    self._strange.add(stream)
                continue
            self._strange.discard(stream)
            mine = exchange.holdings[stream]
            theirs = self._view.held.get(stream) or Holding()
            proved = exchange.copies.proved(self.speaker.site, stream)
            found = lack(mine, theirs)
            self._fetcher.waiting.set(stream, found, found.sectors, now_s)
            left = unproved(mine, theirs, proved)
            self._prover.waiting.set(stream, left, len(left), now_s)
            owed = len(mine.sealed.minus(theirs.sealed))
            self._owed.set(stream, owed, owed, now_s)
            if stream in self._view.held and (gone := proved.minus(theirs.sealed)):
                lost[stream] = gone
        try:
            for stream, gone in lost.items():
                await self._withdraw(self.speaker.site, stream, gone)
        except StoreError:
            self.touch(lost)
            raise

    async def _withdraw(self, site: bytes, stream: Stream, gone: Ranges) -> None:
        """Take back what a site once proved of a log and no longer claims to have."""
        self.counters["lost"] += len(gone)
        first = Place(*stream, gone.head(1)[0])
        self.say("bad", f"no longer has {len(gone)} sectors that it had, {first} and on")
        await self.exchange.withdraw(site, (Place(*stream, number) for number in gone))

    # --- heads and days ---

    async def _now_and_then(self, client: Client) -> None:
        now_s = time.monotonic()
        for name, every_s, job in (
            ("heads", _HEADS_S, self._hear),
            ("days", _DAYS_S, self._countersign),
            ("sample", _SAMPLE_S, self._sample),
            ("strange", _STRANGE_S, self._look_again),
        ):
            if now_s >= self._due[name]:
                self._due[name] = now_s + every_s
                try:
                    await job(client)
                    self._again_s.pop(name, None)
                except RefusedError as error:
                    # It may not have met us yet. All else goes on with it.
                    log.warning("%s: %s: %s", self.peer.name, name, error)
                    self.counters[f"refuses_{name}"] += 1
                    again_s = min(self._again_s.get(name, _AGAIN_S), every_s)
                    self._due[name] = now_s + again_s
                    self._again_s[name] = 2 * again_s

    async def _hear(self, client: Client) -> None:
        """Keep the heartbeats that the peer heard: it cannot take back what they say."""
        assert self.speaker is not None
        newest = self._heads_ms
        for _ in range(_PAGES_MAX):
            question = wire.dump({"since": newest})
            some = wire.parse_heads(await client.ask("heads", question))
            await self._keep_heads(self.speaker.site, some)
            before, newest = newest, max((at_ms for _, at_ms, _ in some), default=newest)
            if len(some) < wire.HEADS_MAX or newest <= before:
                break
        # Should its clock have been ahead for a while: what it hears after that counts as well.
        self._heads_ms = min(newest, utc_now_ms())

    async def _keep_heads(self, site: bytes, heard: list[tuple[bytes, int, bytes]]) -> None:
        exchange = self.exchange
        known = {one.id: one for one in exchange.vault.gateways()}
        rows: list[dict[str, Any]] = []
        for gateway, at_ms, payload in heard:
            try:
                beat = heads.verify(known, gateway, payload)
            except heads.REFUSED:
                self.counters["refused_heartbeat"] += 1
                continue
            rows.append({"gateway": gateway, "at_ms": at_ms, "payload": payload})
            exchange.heads.hear(site, beat, at_ms)
        if rows:
            await exchange.read(lambda: exchange.store.set_witnesses(site, rows))

    async def _sample(self, client: Client) -> None:
        assert self.speaker is not None
        await self._prover.sample(client, self.speaker)

    async def _countersign(self, client: Client) -> None:
        await self.exchange.calendar.offer(client, self.peer.name, self.say)

    async def _look_again(self, client: Client) -> None:
        """See whether somebody has brought our vault up to date."""
        self.touch([stream for stream in self._strange if self.exchange.knows(stream)])

    # --- what people are told ---

    def say(self, tone: str, text: str, place: Place | None = None) -> None:
        log.warning("%s %s", self.peer.name, text)
        self.exchange.say(place.gateway if place else None, tone, f"{self.peer.name} {text}")

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
            self.say("bad", f"does not answer: {reason}")

    def _answered(self) -> None:
        self.up, self._down_s = True, None
        if self._told_down:
            self._told_down = False
            self.say("good", "answers again")
        now_s = time.monotonic()
        missing, owed = self._fetcher.waiting.by_class(now_s), self._owed.by_class(now_s)
        for name, most_s in _LATE_S.items():
            waited = max(missing[name][1], owed[name][1])
            if waited > most_s and name not in self._told_late:
                self._told_late.add(name)
                count = missing[name][0] + owed[name][0]
                self.say("bad", f"and this site differ in {count} sectors of class {name}")
            elif not waited and name in self._told_late:
                self._told_late.discard(name)
                self.say("good", f"and this site have the same of class {name} again")

    def is_late(self, cls: str) -> bool:
        """Say whether the two sites have differed in a class for longer than they may."""
        return cls in self._told_late

    def state(self) -> dict[str, Any]:
        """Return what the page and the API show."""
        now_s = time.monotonic()
        missing, owed = self._fetcher.waiting.by_class(now_s), self._owed.by_class(now_s)
        unproved_ = self._prover.waiting.by_class(now_s)
        site = self.speaker.site if self.speaker else b""
        proved = self.exchange.copies.by_class(site)
        return {
            "name": self.peer.name,
            "site": site.hex(),
            "up": self.up,
            "down_s": 0 if self._down_s is None else round(now_s - self._down_s, 1),
            "last_error": self.last_error,
            "unknown_logs": len(self._strange),
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
