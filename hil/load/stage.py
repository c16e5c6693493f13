"""A site for a load: broker, store and hubs as people run them, and the gateways in its vault."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from hil.bench.uplink.brokers import Mosquitto, find_mosquitto
from hil.errors import RigError
from hil.hub import HubProcess
from hil.load import shape
from hil.load.crowd import Order
from hil.load.gateway import Gateway
from hil.load.process import Load
from hil.postgres import PostgresServer
from hil.secure_broker import SecureBroker
from vitalkeep.keys.vault import Gateway as Provisioned
from vitalkeep.keys.vault import Vault

SQLITE, POSTGRESQL = "sqlite", "postgresql"
_PAGE_S = 10
_CONNECT_S = 120


@dataclass(frozen=True)
class Setting:
    """What a stage is made of.

    tls      certificates on both sides of the broker, as `vitalkeep site config` sets it up
    store    SQLITE or POSTGRESQL
    workers  hubs on one broker and one store
    """

    gateways: int = 1000
    seed: int = 1
    tls: bool = False
    store: str = SQLITE
    workers: int = 1
    heartbeat_ms: int = 2000
    receipt_wait_ms: int = 3500

    def __str__(self) -> str:
        words = [f"{self.gateways} gateways", self.store]
        words += ["TLS"] if self.tls else []
        words += [f"{self.workers} workers"] if self.workers > 1 else []
        return ", ".join(words)


class Stage:
    """Everything but the load runs when it is entered (`async with`); nothing does afterwards.

    logs      folder of logs.py with the gateways' logs
    database  URL of the store
    hubs      the hubs: kill and start them at will
    postgres  the server of the store, None for SQLite
    """

    def __init__(self, setting: Setting, logs: Path) -> None:
        self.setting = setting
        self.logs = logs
        self.hubs: list[HubProcess] = []
        self.postgres: PostgresServer | None = None
        self.database = ""
        self.identities = [shape.identity(setting.seed, n) for n in range(setting.gateways)]
        self._stack = AsyncExitStack()
        self._tls: Path | None = None

    async def __aenter__(self) -> Stage:
        try:
            await self._build()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _build(self) -> None:
        name = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="vitalkeep-load-"))
        self.folder = Path(name)
        vault = Vault.create(self.folder / "vault")
        vault.add_gateways(
            Provisioned(who.id, f"bed-{who.number}", who.root, (who.log,))
            for who in self.identities
        )
        self.site = vault.site_id
        if self.setting.store == POSTGRESQL:
            server = await asyncio.to_thread(PostgresServer)
            self._stack.callback(server.close)
            await asyncio.to_thread(server.start)
            self.postgres = server
            self.database = server.create("hub")
        else:
            self.database = f"sqlite:///{self.folder / 'hub.db'}"
        self.broker = await self._start_broker()
        for number in range(self.setting.workers):
            hub = self._make_hub(number)
            self._stack.push_async_callback(hub.close)
            await hub.start()
            self.hubs.append(hub)

    async def _start_broker(self) -> Mosquitto | SecureBroker:
        broker: Mosquitto | SecureBroker
        if self.setting.tls:
            broker = SecureBroker(self.folder)
            self._tls = self.folder / "gateways"
            self._tls.mkdir(mode=0o700)
            for who in self.identities:
                broker.admit_pem(who.id, self._tls / f"{who.number:05d}.pem")
            (self._tls / "ca.pem").write_bytes((broker.hub / "ca.pem").read_bytes())
            self._stack.push_async_callback(broker.stop)
            url = broker.url
        else:
            program = find_mosquitto()
            if program is None:
                raise RigError("A load needs mosquitto.", "Install it: apt-get install mosquitto.")
            broker = Mosquitto(program)
            self._stack.callback(broker.stop)
            url = f"mqtt://127.0.0.1:{broker.port}"
        await broker.start()
        self.broker_url = url
        return broker

    def _make_hub(self, number: int) -> HubProcess:
        more = []
        if isinstance(self.broker, SecureBroker):
            for option in ("ca", "certificate", "key"):
                more += [f"--{option}", str(self.broker.hub / f"{option}.pem")]
        folder = self.folder
        if number:
            # One vault and one store, and data of its own beside them.
            folder = self.folder / f"worker-{number}"
            folder.mkdir(mode=0o700)
            (folder / "vault").symlink_to(self.folder / "vault")
        return HubProcess(folder, self.database, self.broker_url, "127.0.0.1:0", *more)

    # --- the load ---

    def make_load(self, make: Callable[..., Gateway] = Gateway) -> Load:
        """Return the gateways as a process, not started; the caller closes it."""
        setting = self.setting
        return Load(
            Order(
                self.logs,
                setting.gateways,
                setting.seed,
                self.site,
                self.broker.port,
                self._tls,
                setting.heartbeat_ms,
                setting.receipt_wait_ms,
                make,
            )
        )

    async def all_up(self, load: Load, patience_s: float = _CONNECT_S) -> None:
        """Wait until every gateway is receipted and owes nothing old; raises RigError."""
        await self._state(load, "up", self.setting.gateways, patience_s)
        await self._state(load, "behind", 0, patience_s)

    async def _state(self, load: Load, name: str, want: int, patience_s: float) -> None:
        known: dict[str, Any] = {}
        loop = asyncio.get_running_loop()
        end = loop.time() + patience_s
        while (known := await load.state())[name] != want:
            if loop.time() > end:
                raise RigError(
                    f"After {patience_s:g} s {name} is {known[name]}, want {want}.",
                    f"What is known: {known}; the hub's log: {self.words()}",
                )
            await asyncio.sleep(0.1)

    # --- what the hub says ---

    def words(self) -> str:
        """Return the last of what the hubs wrote to their logs."""
        logs = [self.folder / "hub.log", *self.folder.glob("worker-*/hub.log")]
        return "\n".join(log.read_text(errors="replace")[-1000:] for log in logs if log.exists())

    async def health(self, number: int = 0) -> dict[str, Any]:
        """Return a hub's own word on how it is; raises OSError when it does not answer."""
        url = f"{self.hubs[number].page_url}/api/health"

        def ask() -> Any:
            try:
                with urlopen(url, timeout=_PAGE_S) as answer:
                    return json.load(answer)
            except HTTPError as error:
                return json.loads(error.read())

        return dict(await asyncio.to_thread(ask))

    def pages(self) -> list[str]:
        """Return the URL of each hub's page."""
        return [str(hub.page_url) for hub in self.hubs]

    def pids(self) -> dict[str, int]:
        """Return the processes of the site by what they are."""
        found = {"broker": self.broker.pid}
        for number, hub in enumerate(self.hubs):
            found["hub" if not number else f"hub {number + 1}"] = hub.pid
        if self.postgres is not None:
            found["postgresql"] = self.postgres.pid
        return found
