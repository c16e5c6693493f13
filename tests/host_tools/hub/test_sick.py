"""A sick store or broker under a real hub: no receipt, a reason, and it goes on by itself.

Real where it can be: a file system that is full, a server that is stopped, a lock that is held.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from bridge.core.journal import layout
from hil.bench.uplink.brokers import Mosquitto, find_mosquitto
from hil.postgres import PostgresServer
from tests.support.hub import FakeGateway, place
from tests.support.hub_process import HubProcess, Online
from vitalkeep.hub.store import Store
from vitalkeep.keys.vault import Vault

_WAIT_S = 40


@pytest.fixture
def vault(vault: Vault) -> Vault:
    vault._write()  # the child reads which site it is
    return vault


@pytest.fixture
def gateway(vault: Vault) -> FakeGateway:
    return FakeGateway(site=vault.site_id)


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + _WAIT_S
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.1)


class Bedside:
    """A gateway that goes on recording and sending, whatever the site does."""

    def __init__(self, gateway: FakeGateway, hub: HubProcess) -> None:
        self.gateway = gateway
        self.hub = hub
        self.online = Online(gateway, hub.broker)
        self.online.talk(self.online.settled, _WAIT_S)

    def goes_on(self) -> None:
        self.gateway.clock.now_ms += 1000
        self.gateway.observe(p1=self.gateway.clock.now_ms // 1000 % 100)
        with contextlib.suppress(TimeoutError):
            self.online.talk(lambda: False, 0.2)

    def until_refused(self, words: str) -> None:
        """Go on until the hub says why it receipts no more."""

        def refused() -> bool:
            self.goes_on()
            health = self.hub.health()
            return not health["receipting"] and words in health["reason"]

        until(refused, f"the hub to say {words!r}: {self.hub.health()}")

    def is_receipted_nothing(self) -> None:
        """Receipts that stand for bytes are none while the store is away."""
        with contextlib.suppress(TimeoutError):
            self.online.talk(lambda: False, 0.3)  # what was on its way
        before = len([found for found in self.online.receipts if found.entries])
        for _ in range(3):
            self.goes_on()
        assert len([found for found in self.online.receipts if found.entries]) == before

    def recovers(self, database: str) -> None:
        """All of the log comes to the site by itself, and the page has told both ends."""
        until(lambda: self.hub.health()["receipting"], "the hub to receipt again")
        self.online.talk(self.online.settled, _WAIT_S)
        assert self.gateway.sender.mismatches == 0
        texts = [line["text"] for line in self.hub.get("/api/ward")["story"]]
        assert any(text.startswith("Not receipting: ") for text in texts), texts
        assert "Receipting again" in texts
        self.is_all_there(database)

    def is_all_there(self, database: str) -> None:
        store = Store(database)
        newest, end = self.gateway.journal.newest(0)
        for number in range(newest + 1):
            where = place(self.gateway, number)
            stored = store.load([where])[where]
            assert stored is not None
            assert stored.data == self.gateway.sector(0, number)
        assert end > layout.HEADER_SIZE
        store.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with room for little."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=6m,mode=700", "tmpfs", str(folder)]
    if not sys.platform.startswith("linux") or subprocess.run(command, check=False).returncode:
        pytest.skip("mounting a small file system takes root on Linux")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all the room that is left."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return ballast


def test_full_disk(tmp_path: Path, vault: Vault, gateway: FakeGateway, small_disk: Path) -> None:
    database = f"sqlite:///{small_disk / 'hub.db'}"
    with HubProcess(tmp_path, "--database", database) as hub:
        bedside = Bedside(gateway, hub)
        ballast = fill(small_disk)
        bedside.until_refused("full")
        bedside.is_receipted_nothing()
        ballast.unlink()
        bedside.recovers(database)


def test_file_that_may_not_grow(tmp_path: Path, vault: Vault, gateway: FakeGateway) -> None:
    resource = pytest.importorskip("resource")
    if not hasattr(resource, "prlimit"):
        pytest.skip("limits of another process take Linux")
    database = f"sqlite:///{tmp_path / 'hub.db'}"
    with HubProcess(tmp_path, "--database", database) as hub:
        bedside = Bedside(gateway, hub)
        size = (tmp_path / "hub.db-wal").stat().st_size
        old = resource.prlimit(hub.child.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(hub.child.pid, resource.RLIMIT_FSIZE, (size, old[1]))
        bedside.until_refused("")
        bedside.is_receipted_nothing()
        resource.prlimit(hub.child.pid, resource.RLIMIT_FSIZE, old)
        bedside.recovers(database)


def test_store_that_is_slow(tmp_path: Path, vault: Vault, gateway: FakeGateway) -> None:
    """Another process holds SQLite's lock: the hub's statement waits, and then it fails."""
    database = f"sqlite:///{tmp_path / 'hub.db'}"
    with HubProcess(tmp_path, "--database", database) as hub:
        bedside = Bedside(gateway, hub)
        with contextlib.closing(
            sqlite3.connect(tmp_path / "hub.db", isolation_level=None)
        ) as other:
            other.execute("BEGIN IMMEDIATE")
            bedside.until_refused("the store does not answer")
            bedside.is_receipted_nothing()
            other.execute("ROLLBACK")
        bedside.recovers(database)
        assert hub.health()["counters"]["store_slow"] >= 1


@pytest.mark.postgres
def test_statement_that_is_delayed(
    tmp_path: Path, vault: Vault, gateway: FakeGateway, postgres: str
) -> None:
    """A lock on a table delays the commit for seconds and fails nothing."""
    with HubProcess(tmp_path, "--database", postgres) as hub:
        bedside = Bedside(gateway, hub)
        with psycopg.connect(postgres.replace("+psycopg", "")) as other:
            other.execute("LOCK TABLE sectors IN ACCESS EXCLUSIVE MODE")
            bedside.until_refused("the store does not answer")
            bedside.is_receipted_nothing()
            other.rollback()
        bedside.recovers(postgres)
        assert hub.health()["counters"].get("store_refusals", 0) == 0


@pytest.mark.postgres
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["stopped", "crashed"])
def test_database_gone_and_back(
    tmp_path: Path, vault: Vault, gateway: FakeGateway, how: signal.Signals
) -> None:
    with PostgresServer() as server:
        database = server.create("hub")
        with HubProcess(tmp_path, "--database", database) as hub:
            bedside = Bedside(gateway, hub)
            server.stop(how)
            bedside.until_refused("")
            bedside.is_receipted_nothing()
            server.start()
            bedside.recovers(database)


@pytest.mark.mosquitto
def test_broker_gone_and_back(tmp_path: Path, vault: Vault, gateway: FakeGateway) -> None:
    program = find_mosquitto()
    assert program is not None
    broker = Mosquitto(program)
    database = f"sqlite:///{tmp_path / 'hub.db'}"
    url = f"mqtt://127.0.0.1:{broker.port}"
    try:
        asyncio.run(broker.start())
        with HubProcess(tmp_path, "--database", database, "--broker", url) as hub:
            bedside = Bedside(gateway, hub)
            broker.kill()
            until(lambda: not hub.health()["broker"]["connected"], "the hub to notice")
            assert hub.health()["broker"]["last_error"]
            for _ in range(20):
                gateway.clock.now_ms += 1000
                gateway.observe()
            asyncio.run(broker.start())
            until(lambda: hub.health()["broker"]["connected"], "the hub to be back")
            gateway.connect()
            bedside = Bedside(gateway, hub)
            bedside.is_all_there(database)

            def told() -> bool:
                story = " | ".join(line["text"] for line in hub.get("/api/ward")["story"])
                return "The broker is gone: " in story and "The broker is there again" in story

            until(told, "the story to tell both")
    finally:
        broker.stop()
