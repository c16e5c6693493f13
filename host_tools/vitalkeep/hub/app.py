"""The hub's wiring: vault, store, write path, consumer, ward and page, and their one loop."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import uvicorn

from bridge.core.journal.layout import CLASSES
from vitalkeep.errors import ToolError
from vitalkeep.hub import account
from vitalkeep.hub.clocks import best_offsets
from vitalkeep.hub.consume import Address, Consumer
from vitalkeep.hub.intake import Intake
from vitalkeep.hub.page import Feed, make_app
from vitalkeep.hub.store import Store, StoreError, utc_now_ms
from vitalkeep.hub.timeserver import TimeServer
from vitalkeep.hub.tls import Watch
from vitalkeep.hub.ward import STALE_S, Ward
from vitalkeep.keys.vault import Vault

log = logging.getLogger(__name__)

_TICK_S = 0.25
_HOUSE_S = 2.0
_ACCOUNT_S = 5.0
_RESTART_S = 1.0
_CERTIFICATES_S = 60.0
_DAY_MS = 24 * 3600 * 1000
_ACCOUNT_MINUTES = 60
_REMEMBERED = 200  # rows of each log that the page starts from
_STOP_S = 2


@dataclass(frozen=True)
class Settings:
    """http: (host, port) of the page, None for none; port 0 takes a free one. time: for UDP.

    time_may_fail  a port for the time that somebody else has is no reason not to start
    """

    broker: Address
    http: tuple[str, int] | None
    time: tuple[str, int] | None = None
    time_may_fail: bool = False


class Hub:
    """One running hub.

    ready  called once with {"http": url or None, "broker": url, "time": host:port or None} when
           all are open
    """

    def __init__(
        self,
        vault: Vault,
        store: Store,
        settings: Settings,
        ready: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self.vault = vault
        self.store = store
        self.ward = Ward(vault.gateways())
        self.intake = Intake(vault, store, self.ward)
        self.consumer = Consumer(settings.broker, self.intake.handle)
        self.certificates = Watch()
        self.feed = Feed()
        self.time = TimeServer(vault)
        self._settings = settings
        self._ready = ready
        self._started = time.monotonic()
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="account")
        self._health_told: dict[str, Any] = {}

    # --- running ---

    async def run(self, stop: asyncio.Event | None = None) -> None:
        """Serve until `stop` is set, SIGINT or SIGTERM; raises ToolError when it cannot begin."""
        stop = stop or asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
                loop.add_signal_handler(number, stop.set)
        sock = _listen(*self._settings.http) if self._settings.http else None
        settings = self._settings
        if settings.time is not None:
            await self.time.listen(settings.time, settings.time_may_fail)
        await loop.run_in_executor(self._reader, self._remember)
        self.ward.say(utc_now_ms(), None, "info", "Hub started")
        tasks = [
            asyncio.create_task(self._supervise(name, job))
            for name, job in (
                ("consumer", self.consumer.run),
                ("tick", self._tick),
                ("house", self._house),
                ("accounts", self._accounts),
                ("certificates", self._watch_certificates),
            )
        ]
        server = None
        address = None
        if sock is not None:
            host, port = sock.getsockname()[:2]
            address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
            server = _Server(make_app(self, self.feed))
            tasks.append(asyncio.create_task(server.serve(sockets=[sock])))
            while not server.started and not tasks[-1].done():
                await asyncio.sleep(0.01)
        try:
            await self._say_ready(address)
            await stop.wait()
        finally:
            self.time.close()
            await self._shut_down(server, tasks)

    async def _say_ready(self, address: str | None) -> None:
        if self._ready:
            broker = str(self._settings.broker)
            self._ready({"http": address, "broker": broker, "time": self.time.address})

    async def _shut_down(self, server: _Server | None, tasks: list[asyncio.Task[None]]) -> None:
        self.feed.close()
        if server is not None:
            server.should_exit = True
            await asyncio.wait([tasks.pop()], timeout=_STOP_S)
        waiting: set[asyncio.Task[None]] = set(tasks)
        while waiting:
            # Again and again: before Python 3.12 wait_for may swallow a cancellation.
            for task in waiting:
                task.cancel()
            _, waiting = await asyncio.wait(waiting, timeout=_STOP_S)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self.intake.close)
        self._reader.shutdown(wait=True, cancel_futures=True)
        self.store.close()

    async def _supervise(self, name: str, job: Callable[[], Awaitable[None]]) -> None:
        """Run a job for ever; what stops it is logged, counted, and it starts again."""
        while True:
            try:
                await job()
            except Exception:
                log.exception("job %s", name)
                self.intake.ingest.counters[f"restart_{name}"] += 1
            await asyncio.sleep(_RESTART_S)

    def _remember(self) -> None:
        """Fill the page from the store, so that a restart does not blank it."""
        with contextlib.suppress(StoreError):
            now_ms = utc_now_ms()
            rows: dict[str, list[Any]] = {"clocks": [], "observations": [], "alarms": []}
            for gateway in self.ward.gateways():
                rows["clocks"] += self.store.clocks(gateway)
                for table in ("observations", "alarms"):
                    rows[table] += reversed(self.store.newest(table, gateway, _REMEMBERED))
            self.ward.stored(rows, now_ms)
            desk = self.intake.ingest.radio
            for row in desk.remember(self.store.heads(), self.store.radio()):
                self.ward.by_radio(row)
            self.ward.story.clear()
            for table in ("events", "gaps"):
                past = self.store.recent(table, now_ms - _DAY_MS, _REMEMBERED)
                self.ward.stored({table: reversed(past)}, now_ms)
            for row in reversed(self.store.recent("story", now_ms - _DAY_MS, _REMEMBERED)):
                self.ward.tell(row["at_ms"], row["gateway"], row["tone"], row["text"])

    # --- jobs ---

    async def _tick(self) -> None:
        while True:
            hearing = self.consumer.connected and self.intake.receipting
            self.ward.tick(utc_now_ms(), hearing)
            dirty, self.ward.dirty = self.ward.dirty, set()
            if dirty and len(self.feed):
                beds = [self.ward.bed(gateway, trends=False) for gateway in dirty]
                self.feed.publish("beds", {"now": utc_now_ms(), "beds": beds})
            news, self.ward.story_news = self.ward.story_news, []
            if news:
                self.feed.publish("story", news)
            health = self.health()
            steady = {name: health[name] for name in ("receipting", "reason", "broker")}
            steady["counters"] = health["counters"]
            if steady != self._health_told:
                self._health_told = steady
                self.feed.publish("health", health)
            await asyncio.sleep(_TICK_S)

    async def _house(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_HOUSE_S)
            with contextlib.suppress(StoreError):
                await loop.run_in_executor(self._reader, self.store.checkpoint)
            if self.vault.changed():
                try:
                    self.vault.reload()
                    self.intake.set_vault(self.vault)
                    self.time.set_vault(self.vault)
                except ToolError as error:
                    log.warning("%s", error.message)
            await self.intake.write_story()

    async def _accounts(self) -> None:
        while True:
            for gateway in self.ward.gateways():
                found = await self._account(gateway, _ACCOUNT_MINUTES)
                if found is not None:
                    self.ward.set_account(gateway, found)
            await asyncio.sleep(_ACCOUNT_S)

    async def _watch_certificates(self) -> None:
        """Say weeks ahead what is about to end, and whether the broker lets anyone in."""
        address = self._settings.broker
        if address.identity is None:
            await asyncio.Event().wait()
            return
        probed = False
        while True:
            now = dt.datetime.now(dt.timezone.utc)
            ends = address.identity.ends()
            if self.consumer.broker_ends is not None:
                ends["broker"] = self.consumer.broker_ends
            for text in self.certificates.look(ends, now):
                self.ward.say(utc_now_ms(), None, "bad", text)
            if self.consumer.connected and not probed:
                probed = True
                if await address.identity.lets_strangers_in(address.host, address.port):
                    self.intake.ingest.counters["broker_open"] += 1
                    text = "The broker lets clients in that show no certificate: configure it anew"
                    self.ward.say(utc_now_ms(), None, "bad", text)
            # Until the broker answers there is little to see.
            await asyncio.sleep(_CERTIFICATES_S if probed else _HOUSE_S)

    async def _account(self, gateway: bytes, minutes: int) -> dict[str, Any] | None:
        beat, link_up, anchor = self.ward.facts(gateway)
        now_ms = utc_now_ms()
        anchored = anchor.offset(beat.boot) if beat else None

        def work() -> dict[str, Any]:
            clocks = self.store.clocks(gateway)
            offsets = {boot: best[0] for boot, best in best_offsets(clocks).items()}
            if beat is not None and anchored is not None:
                offsets.setdefault(beat.boot, anchored)
            facts = account.Facts(
                self.store.spans(gateway, now_ms - _DAY_MS),
                [r for r in self.store.recent("gaps", now_ms - _DAY_MS, 1000)
                 if bytes(r["gateway"]) == gateway],
                offsets,
                beat,
                link_up,
            )  # fmt: skip
            start_ms = now_ms - minutes * 60_000
            accounts = {
                name: account.account(facts, cls, start_ms, now_ms)
                for cls, name in enumerate(CLASSES)
            }
            return {n: found.as_dict() for n, found in accounts.items() if found.segments}

        try:
            return await asyncio.get_running_loop().run_in_executor(self._reader, work)
        except StoreError:
            return None

    # --- what the page asks ---

    def snapshot(self) -> dict[str, Any]:
        """Return all that the page shows."""
        beds = [self.ward.bed(gateway, trends=True) for gateway in self.ward.gateways()]
        beds.sort(key=lambda bed: bed["bed"])
        return {
            "now": utc_now_ms(),
            "site": self.vault.site_name,
            "stale_s": STALE_S,
            "account_minutes": _ACCOUNT_MINUTES,
            "beds": beds,
            "story": list(self.ward.story),
            "health": self.health(),
        }

    def health(self) -> dict[str, Any]:
        """Return the hub's own state; counters name everything that was refused."""
        consumer, intake = self.consumer, self.intake
        return {
            "receipting": intake.receipting,
            "reason": intake.reason,
            "site": {"id": self.vault.site_id.hex(), "name": self.vault.site_name},
            "store": {"address": self.store.address, "epoch": self.store.epoch.hex()},
            "broker": {
                "address": str(consumer.address),
                "connected": consumer.connected,
                "last_error": consumer.last_error,
                "sessions": consumer.sessions,
            },
            "certificate_days": dict(self.certificates.days),
            "uptime_s": round(time.monotonic() - self._started, 1),
            "batches": intake.batches,
            "commit_ms": round(intake.commit_ms, 2),
            "viewers": len(self.feed),
            "time": dict(self.time.counters),
            "strangers": dict(intake.ingest.strangers),
            "counters": dict(intake.ingest.counters),
        }

    async def account(self, minutes: int) -> dict[str, Any]:
        """Return the loss account of the last `minutes` for every bed."""
        beds = {}
        for gateway in self.ward.gateways():
            found = await self._account(gateway, minutes)
            beds[gateway.hex()] = {"bed": self.ward.name(gateway), "classes": found}
        return {"now": utc_now_ms(), "minutes": minutes, "beds": beds}


class _Server(uvicorn.Server):
    """Uvicorn without signal handlers: the hub has its own."""

    def __init__(self, app: Any) -> None:
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, timeout_graceful_shutdown=1, lifespan="off"
        )
        super().__init__(config)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listen(host: str, port: int) -> socket.socket:
    """Return a bound socket; raises ToolError that says who is asked to do what."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        sock = socket.socket(family, kind, protocol)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(128)
    except OSError as error:
        raise ToolError(
            f"the page cannot listen on {host}:{port}: {error.strerror or error}",
            "Stop what uses the port, or choose another: --http 127.0.0.1:0 takes a free one.",
        ) from None
    return sock
