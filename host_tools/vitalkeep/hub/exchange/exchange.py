"""The exchange of one hub: its desk, a link for each peer, and what they share."""

from __future__ import annotations

import asyncio
import logging
import secrets
import ssl
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import monotonic
from typing import Any, TypeVar

from bridge.core.journal.layout import CLASSES
from vitalkeep.archive.bucket import Bucket
from vitalkeep.archive.keys import ArchiveKeys
from vitalkeep.archive.settings import ArchiveSettings
from vitalkeep.archive.shelf import Shelf
from vitalkeep.errors import ToolError
from vitalkeep.hub.batch import Change
from vitalkeep.hub.consume import Publish
from vitalkeep.hub.context import Context
from vitalkeep.hub.exchange import heads, tls
from vitalkeep.hub.exchange.bucket import Bucket as Rate
from vitalkeep.hub.exchange.calendar import Calendar, today
from vitalkeep.hub.exchange.cold import ColdReader
from vitalkeep.hub.exchange.copies import Copies
from vitalkeep.hub.exchange.desk import Desk, spoilt_of
from vitalkeep.hub.exchange.doorstep import CROWD
from vitalkeep.hub.exchange.heads import Heads
from vitalkeep.hub.exchange.holdings import Holdings
from vitalkeep.hub.exchange.link import Link
from vitalkeep.hub.exchange.ranges import Ranges
from vitalkeep.hub.exchange.server import Answer, Server
from vitalkeep.hub.exchange.settings import ExchangeSettings
from vitalkeep.hub.exchange.silence import Silence
from vitalkeep.hub.exchange.wire import Speaker
from vitalkeep.hub.sectors import DAY_MS, OPEN, Place, Stored, Stream
from vitalkeep.hub.serving import listen
from vitalkeep.hub.store import StoreError, utc_now_ms
from vitalkeep.hub.tls import Identity

log = logging.getLogger(__name__)

T = TypeVar("T")

_OTHERS_S = 5.0  # between looks at what other workers on the same database stored
_OTHERS_SLACK_MS = 60_000  # a commit's rows carry the time at which it was begun
_OTHERS_CHUNK = 100
_HOUSE_S = 3600.0
_RETRY_S = 5.0
_COLD_S = 10.0  # for the archive's answer, where nobody but a link waits
_LEAST_BURST = 16 * 1024  # of the bandwidth: a few sectors' worth


class Exchange:
    """Everything that links and desk share. Make it, then `run` it; it ends with its task.

    me         this site, and the epoch of its store
    incoming, outgoing  the bandwidth's limits
    sites      {site: epoch of its store} of all that ever held a copy
    claimed    sectors that one of the links asks its peer for right now
    """

    def __init__(self, hub: Context, settings: ExchangeSettings, identity: Identity) -> None:
        self.settings = settings
        self.identity = identity
        self.vault = hub.vault
        self.store = hub.store
        self.intake = hub.intake
        self.me = Speaker(hub.vault.site_id, hub.store.epoch)
        self.holdings = Holdings(secrets.token_bytes(8))
        self.copies = Copies()
        self.heads = Heads()
        self.calendar = Calendar(self)
        self.sites: dict[bytes, bytes] = {}
        self.claimed: set[Place] = set()
        rate = settings.rate_kb_s * 1000
        self.incoming, self.outgoing = Rate(rate, _LEAST_BURST), Rate(rate, _LEAST_BURST)
        names = [peer.name for peer in settings.peers]
        self.door = tls.Doorkeeper(identity.ca, names, settings.crl)
        self.cold = ColdReader(partial(_shelf, hub))
        self.desk = Desk(
            self.me, self.store, self.holdings, self.outgoing, self.read, self.cold, self._lost
        )
        self.links = [Link(peer, self, self._context) for peer in settings.peers]
        self._consumer = hub.consumer
        self._ward = hub.ward
        self._unfinished = hub.meters.exchange_unfinished
        self._silence = Silence()
        self._names: dict[str, bytes] = {}
        self._refused: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="exchange")
        self._listens = ""

    def _context(self) -> ssl.SSLContext:
        return self.identity.context()

    # --- running ---

    async def run(self) -> None:
        """Serve and fetch until cancelled; raises ToolError when it cannot begin."""
        self._loop = asyncio.get_running_loop()
        self.intake.on_commit.append(self._committed)
        self.intake.on_spoilt.append(self._lost)
        self.intake.answers.copied = self.copies.copied
        jobs: list[Coroutine[Any, Any, None]] = []
        try:
            await self._load()
            if self.settings.listen is not None:
                jobs.append(self._serve(self.settings.listen.host, self.settings.listen.port))
            jobs += [link.run() for link in self.links]
            jobs += [self._keep_house(), self._follow_others()]
            self._tasks = {asyncio.create_task(job) for job in jobs}
            while self._tasks:
                done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    self._tasks.discard(task)
                    task.result()  # what none of them expected ends all, and they start again
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self.intake.on_commit.remove(self._committed)
            self.intake.on_spoilt.remove(self._lost)
            self.cold.close()
            self._threads.shutdown(wait=True, cancel_futures=True)

    async def read(self, work: Callable[[], T]) -> T:
        """Run what waits for the store on a thread of its own; raises what `work` raises."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def sectors(self, places: Sequence[Place]) -> dict[Place, Stored | None]:
        """Return what this site has of sectors, read back wherever it is; some may stay cold."""
        stored = await self.read(lambda: self.store.read_back(places))
        self._lost(spoilt_of(stored))
        return await self.cold.fill(stored, _COLD_S)

    async def _load(self) -> None:
        """Read what is stored and what was proved; tries until the store does it."""
        while True:
            try:
                sealed, parts, copies, sites, own, theirs = await self.read(
                    lambda: (
                        self.store.sealed_ranges(),
                        self.store.unsealed(),
                        self.store.copies(),
                        self.store.other_sites(),
                        self.store.heard_since(0, 1_000_000),
                        self.store.witnesses(),
                    )
                )
                break
            except StoreError as error:
                log.warning("exchange: %s", error)
                await asyncio.sleep(_RETRY_S)
        for stream, first, last in sealed:
            self.holdings.set_sealed(stream, first, last)
        for part in parts:
            self.holdings.set(*part)
        self.copies.load(copies)
        for site, row in sites.items():
            self.sites[site] = bytes(row["epoch"])
            self._names[row["name"]] = site
        rows = [row | {"site": self.me.site} for row in own] + theirs
        known = {gateway.id: gateway for gateway in self.vault.gateways()}
        for row in rows:
            try:
                beat = heads.verify(known, bytes(row["gateway"]), bytes(row["payload"]))
            except heads.REFUSED:
                continue
            self.heads.hear(bytes(row["site"]), beat, row["at_ms"])

    async def _serve(self, host: str, port: int) -> None:
        answers: dict[str, Answer] = {
            "summary": self.desk.summary,
            "fetch": self.desk.fetch,
            "prove": self.desk.prove,
            "heads": self.desk.heads,
            "day": self.calendar.answer,
        }
        while True:
            stamp = self._stamp()
            hint = "Stop what uses the port, or set another: listen in [exchange]."
            sock = listen(host, port, "the exchange", hint)
            self._listens = "{}:{}".format(*sock.getsockname()[:2])
            context = tls.server_context(self.identity)
            server = Server(context, self.door, answers, self._refuse, self._miss)
            task = asyncio.create_task(server.serve(sock))
            try:
                while not task.done() and stamp == self._stamp():
                    await asyncio.wait([task], timeout=_OTHERS_S)
            finally:
                # Its certificate was renewed, or the hub ends.
                task.cancel()
                await asyncio.wait([task])
                sock.close()

    def _stamp(self) -> tuple[int, ...]:
        found = []
        for path in (self.identity.certificate, self.identity.key, self.identity.ca):
            try:
                found.append(path.stat().st_mtime_ns)
            except OSError:
                found.append(0)
        return tuple(found)

    def _refuse(self, reason: str) -> None:
        if reason not in self._refused and len(self._refused) < 64:
            log.warning("refused: %s", reason)
            self.say(None, "bad", f"Exchange refused: {reason}")
        self._refused[reason] = self._refused.get(reason, 0) + 1

    def _miss(self, why: str) -> None:
        """Count a connection that showed no certificate."""
        self._unfinished.labels(why).inc()
        if why == CROWD:
            self._refuse("a crowd that shows no certificates")

    async def _keep_house(self) -> None:
        """Once an hour: close what will never be sealed, and state yesterday."""
        while True:
            try:
                await self._close_orphans()
                await self.calendar.state_yesterday(today())
            except (StoreError, ToolError, OSError, ValueError) as error:
                log.warning("exchange: %s", error)
            await asyncio.sleep(_HOUSE_S)

    async def _close_orphans(self) -> None:
        if not (self._consumer.connected and self.intake.receipting):
            self._silence.deaf()
            return
        since_ms = utc_now_ms() - self.settings.orphan_days * DAY_MS
        silent = await self.read(lambda: self.store.silent(since_ms))
        places = [place for place, length, state in silent if state == OPEN and length]
        places = [place for place in places if self.intake.serves(place.gateway)]
        if places := self._silence.lasting(places, monotonic()):
            await self.intake.close_orphans(places)

    async def _follow_others(self) -> None:
        """Hear what other workers of this site stored in the same database."""
        if self.store.kind == "sqlite":
            return
        since_ms = utc_now_ms()
        while True:
            await asyncio.sleep(_OTHERS_S)
            began_ms = utc_now_ms()
            gateways = [gateway.id for gateway in self.vault.gateways()]
            try:
                for at in range(0, len(gateways), _OTHERS_CHUNK):
                    some, after = gateways[at : at + _OTHERS_CHUNK], since_ms - _OTHERS_SLACK_MS
                    self._changed(await self.read(partial(self.store.changed_since, some, after)))
                since_ms = began_ms
            except StoreError as error:
                log.warning("exchange: %s", error)

    def _committed(self, changes: Sequence[Change]) -> None:
        self._changed([(change.place, change.length, change.state) for change in changes])

    def _lost(self, places: Sequence[Place]) -> None:
        """Hear of spoilt sectors: whoever has them whole is asked for them."""
        before = self.holdings.version
        self.intake.suspect(places)
        for place in places:
            self.holdings.lose(place)
        self._spread(before, {place[:3] for place in places})

    def _changed(self, rows: Iterable[tuple[Place, int, int]]) -> None:
        before = self.holdings.version
        streams = set()
        for place, length, state in rows:
            self.holdings.set(place, length, state)
            streams.add(place[:3])
        self._spread(before, streams)

    def _spread(self, before: int, streams: set[Stream]) -> None:
        if self.holdings.version != before:
            self.desk.wake()
            for link in self.links:
                link.touch(streams)

    # --- what links and desk ask ---

    def knows(self, stream: Stream) -> bool:
        """Say whether a log is one of the vault's."""
        return self.intake.ingest.payloads.knows(Place(*stream, 0))

    def admits(self, gateway: bytes) -> bool:
        """Say whether something new is taken from a gateway."""
        return self.intake.ingest.payloads.admits(gateway)

    def held(self) -> dict[Stream, Ranges]:
        """Return copies of what is sealed here, by log."""
        return {stream: self.holdings[stream].sealed.copy() for stream in self.holdings.streams()}

    def publish(self, answers: Iterable[Publish]) -> None:
        """Send receipts; a gateway that is not there asks when it is."""
        for topic, payload in answers:
            self._consumer.publish(topic, payload)

    def say(self, gateway: bytes | None, tone: str, text: str) -> None:
        """Tell people, in the story."""
        self._ward.say(utc_now_ms(), gateway, tone, text)

    def say_soon(self, gateway: bytes | None, tone: str, text: str) -> None:
        """The same, from a thread."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self.say, gateway, tone, text)

    def site_of(self, name: str) -> bytes | None:
        """Return which site a hub of this name said to be of, None while it did not."""
        return self._names.get(name)

    async def set_site(self, speaker: Speaker, name: str) -> None:
        """Note another site's epoch; a new one voids its proofs."""
        await self.read(lambda: self.store.set_site(speaker.site, speaker.epoch, name))
        if self.sites.get(speaker.site) != speaker.epoch:
            self.copies.forget(speaker.site)
        self.sites[speaker.site] = speaker.epoch
        self._names[name] = speaker.site

    async def proved(self, site: bytes, places: Sequence[Place]) -> None:
        """Note that a site read these back; durable when this returns."""
        pairs = self.copies.add(site, places)
        await self.read(lambda: self.store.set_copies(site, pairs))

    async def withdraw(self, site: bytes, places: Iterable[Place]) -> None:
        """Note that a site no longer has what it proved."""
        pairs = self.copies.withdraw(site, places)
        await self.read(lambda: self.store.set_copies(site, pairs))

    def tell_copies(self, digests: dict[Place, bytes]) -> None:
        """Receipt sectors anew that have one copy more, to the gateways that hold them still."""
        by_count: dict[int, dict[Place, bytes]] = {}
        for place, digest in digests.items():
            by_count.setdefault(self.copies.count(place), {})[place] = digest
        for count, some in by_count.items():
            self.publish(self.intake.answers.tell_copies(some, count))

    def state(self) -> dict[str, Any]:
        """Return what the page and the API show."""
        peers = [link.state() for link in self.links]
        behind = [name for name in CLASSES if any(link.is_late(name) for link in self.links)]
        return {
            "listen": self._listens,
            "brief": {
                "peers": len(peers),
                "up": sum(peer["up"] for peer in peers),
                "behind": behind,
            },
            "peers": peers,
            "unknown": self.heads.unknown(self.holdings),
            "days": dict(self.calendar.state),
            "refused": dict(self._refused),
            "cold": dict(self.cold.counters),
        }


def _shelf(hub: Context) -> Shelf:
    """Return what reads the archive as it is set now; raises ToolError."""
    archive = hub.config[ArchiveSettings]
    bucket = Bucket(archive.address, archive.options()) if archive.address else None
    return Shelf(hub.store, ArchiveKeys(hub.vault.gateways()), bucket)
