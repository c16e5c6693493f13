"""The hub's wiring: vault, store, write path, consumer, ward and page, and their one loop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from vitalkeep.hub import foreign_trends, health, metrics, readiness, trends
from vitalkeep.hub.address import Address
from vitalkeep.hub.cards import with_beds
from vitalkeep.hub.config.basics import PageSettings
from vitalkeep.hub.config.load import Config
from vitalkeep.hub.consume import COMMON, Consumer
from vitalkeep.hub.context import Context
from vitalkeep.hub.intake import Intake
from vitalkeep.hub.jobs import JOBS, accounts
from vitalkeep.hub.jobs.history import hours
from vitalkeep.hub.named import Named
from vitalkeep.hub.page import Feed, make_app
from vitalkeep.hub.sectors import DAY_MS
from vitalkeep.hub.serving import QuietServer, listen, quiet_server
from vitalkeep.hub.store import Store, StoreError, utc_now_ms
from vitalkeep.hub.timeserver import TimeServer
from vitalkeep.hub.ward import STALE_S, Ward
from vitalkeep.hub.worker import ClusterSettings, Worker
from vitalkeep.keys.vault import Vault

log = logging.getLogger(__name__)

_RESTART_S = 1.0
_REMEMBERED = 200  # rows of each log that the page starts from
_STOP_S = 2


@dataclass(frozen=True)
class Settings:
    """http: (host, port) of the page, None for none; port 0 takes a free one. time: for UDP.

    broker  addresses of the servers of one broker
    time_may_fail  a port for the time that somebody else has is no reason not to start
    config  what hub.toml says, for the parts
    worker  name of this hub among others on its database, where that takes several
    """

    broker: Sequence[Address]
    http: tuple[str, int] | None
    time: tuple[str, int] | None = None
    time_may_fail: bool = False
    config: Config = field(default_factory=Config)
    worker: str = "hub"


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
        worker = None
        if store.kind == "postgresql":
            terms = settings.config[ClusterSettings]
            worker = Worker(
                settings.worker, store, lambda: (g.id for g in vault.gateways()), terms
            )
        self.ward = Ward(vault.gateways(), worker.serves if worker else lambda _: True)
        self.intake = Intake(vault, store, self.ward, worker)
        if worker is None:
            self.consumer = Consumer(settings.broker, self.intake.handle)
        else:
            # Each gateway is a filter of its own, and what a broker loses comes again.
            self.consumer = Consumer(settings.broker, self.intake.handle, filters=COMMON, qos=0)
        self.feed = Feed()
        self.time = TimeServer(vault)
        self.context = Context(
            vault, store, settings.config, self.ward, self.intake, self.consumer, self.feed,
            self.time, worker,
        )  # fmt: skip
        metrics.add_to_registry(self.context)
        self._settings = settings
        self._ready = ready

    # --- running ---

    async def run(self, stop: asyncio.Event | None = None) -> None:
        """Serve until `stop` is set, SIGINT or SIGTERM; raises ToolError when it cannot begin."""
        stop = self.context.stop = stop or asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
                loop.add_signal_handler(number, stop.set)
        self.store.stand_alone()
        sock = _listen(*self._settings.http) if self._settings.http else None
        settings = self._settings
        if settings.time is not None:
            await self.time.listen(settings.time, settings.time_may_fail)
        await self.context.read(self._remember)
        # What is here by now stays. To look at it again would stop everything each time.
        gc.collect()
        gc.freeze()
        self.ward.say(utc_now_ms(), None, "info", "Hub started")
        jobs: list[tuple[str, Callable[[], Awaitable[None]]]] = [("consumer", self.consumer.run)]
        jobs += [(name, partial(job, self.context)) for name, job in JOBS]
        tasks = [asyncio.create_task(self._supervise(name, job)) for name, job in jobs]
        server = None
        address = None
        if sock is not None:
            host, port = sock.getsockname()[:2]
            address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
            refused = self.context.meters.page_refused
            names = self._settings.config[PageSettings].names
            door = Named(make_app(self, self.feed), names, refused.labels("name").inc)
            server = quiet_server(door, refused.labels("crowd").inc)
            tasks.append(asyncio.create_task(server.serve(sockets=[sock])))
            while not server.started and not tasks[-1].done():
                await asyncio.sleep(0.01)
        try:
            await self._say_ready(address)
            await stop.wait()
            if self.context.fault is not None:
                raise self.context.fault
        finally:
            self.time.close()
            await self._shut_down(server, tasks)

    async def _say_ready(self, address: str | None) -> None:
        if self._ready:
            broker = ",".join(map(str, self._settings.broker))
            self._ready({"http": address, "broker": broker, "time": self.time.address})

    async def _shut_down(
        self, server: QuietServer | None, tasks: list[asyncio.Task[None]]
    ) -> None:
        self.feed.close()
        if server is not None:
            server.should_exit = True
            await asyncio.wait([tasks.pop()], timeout=_STOP_S)
        waiting: set[asyncio.Task[None]] = set(tasks)
        while waiting:
            # Again and again: before Python 3.12 a library's wait_for may swallow a cancellation.
            for task in waiting:
                task.cancel()
            _, waiting = await asyncio.wait(waiting, timeout=_STOP_S)
        if self.context.worker is not None:
            await self.context.worker.leave()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self.intake.close)
        self.context.reader.shutdown(wait=True, cancel_futures=True)
        self.store.close()

    async def _supervise(self, name: str, job: Callable[[], Awaitable[None]]) -> None:
        """Run a job until it returns; what stops it is logged, counted, and it starts again."""
        while True:
            try:
                return await job()
            except Exception:
                log.exception("job %s", name)
                self.intake.ingest.counters[f"restart_{name}"] += 1
            await asyncio.sleep(_RESTART_S)

    def _remember(self) -> None:
        """Fill the page from the store, so that a restart does not blank it."""
        with contextlib.suppress(StoreError):
            now_ms = utc_now_ms()
            rows: dict[str, list[Any]] = {"clocks": [], "alarms": []}
            rows["observations"] = self.store.latest()
            for gateway in self.ward.gateways():
                rows["clocks"] += self.store.clocks(gateway)
                rows["alarms"] += reversed(self.store.newest("alarms", gateway, _REMEMBERED))
            self.ward.stored(rows, now_ms)
            desk = self.intake.ingest.payloads.radio
            for row in desk.remember(self.store.heads(), self.store.radio()):
                self.ward.by_radio(row)
            self.ward.story.clear()
            for table in ("events", "gaps"):
                past = self.store.recent(table, now_ms - DAY_MS, _REMEMBERED)
                self.ward.stored({table: reversed(past)}, now_ms)
            for row in reversed(self.store.recent("story", now_ms - DAY_MS, _REMEMBERED)):
                self.ward.tell(row["at_ms"], row["gateway"], row["tone"], row["text"])

    # --- what the page asks ---

    async def snapshot(self) -> str:
        """Return all that the page shows, but for trends, in JSON."""
        beds = await self.context.cards.all()
        fields = {
            "now": utc_now_ms(),
            "site": self.vault.site_name,
            "stale_s": STALE_S,
            "account_minutes": accounts.MINUTES,
            "story": list(self.ward.story),
            "health": self.health(),
        }
        return with_beds(fields, beds)

    def trends(self, gateways: Sequence[bytes]) -> dict[str, Any]:
        return self.context.cards.trends(gateways)

    def health(self) -> dict[str, Any]:
        return health.of(self.context)

    def attained(self, days: int) -> dict[str, Any] | None:
        return self.context.attained.get(days)

    async def history(self, gateway: bytes, days: int) -> list[dict[str, Any]] | None:
        return await hours(self.context, gateway, days)

    async def trend(self, query: Mapping[str, str]) -> dict[str, Any]:
        return await trends.of(self.context, query)

    async def foreign_trend(self, query: Mapping[str, str]) -> dict[str, Any]:
        return await foreign_trends.of(self.context, query)

    def not_ready(self) -> list[str]:
        return readiness.reasons(self.context)

    def metrics(self) -> bytes:
        return metrics.text(self.context)

    def sheds(self, work: str) -> bool:
        return self.context.sheds(work)

    async def account(self, minutes: int) -> dict[str, Any]:
        return await accounts.of_all(self.context, minutes)


def _listen(host: str, port: int) -> socket.socket:
    hint = "Stop what uses the port, or choose another: --http 127.0.0.1:0 takes a free one."
    return listen(host, port, "the page", hint)
