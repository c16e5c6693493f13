"""The duty of telling alarms: on both databases, by real hubs, to a real webhook."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.support.hub import FakeGateway, WritePath, converse
from tests.support.hub_process import Client, HubProcess
from vitalkeep.errors import ToolError
from vitalkeep.hub.config.load import parse
from vitalkeep.hub.duties import DutyDesk, DutySettings
from vitalkeep.hub.store import Store
from vitalkeep.hub.store.duties import LostTermError, duties
from vitalkeep.hub.targets import Lines, TargetError, make_target
from vitalkeep.keys.vault import Vault

LONG_MS = 60_000
SOON_S = 40


def expire(store: Store) -> None:
    with store.writing() as connection:
        connection.execute(sa.update(duties).values(until_ms=1))


def test_a_duty_has_one_holder_and_each_has_a_higher_term(store: Store) -> None:
    first = store.take("alarms", "a", LONG_MS)
    assert first is not None
    assert first.term == 1
    assert store.take("alarms", "b", LONG_MS) is None
    store.keep("alarms", "a", 1, LONG_MS, 77)
    expire(store)
    second = store.take("alarms", "b", LONG_MS)
    assert second is not None
    assert (second.term, second.progress_ms) == (2, 77)
    with pytest.raises(LostTermError):
        store.keep("alarms", "a", 1, LONG_MS, 99)
    store.give("alarms", "a", 1)
    assert store.take("alarms", "a", LONG_MS) is None, "a late word changes nothing"


def test_whose_term_has_ended_gets_it_back_only_as_a_new_one(store: Store) -> None:
    assert store.take("alarms", "a", LONG_MS)
    expire(store)
    with pytest.raises(LostTermError):
        store.keep("alarms", "a", 1, LONG_MS, 0)
    found = store.take("alarms", "a", LONG_MS)
    assert found is not None
    assert found.term == 2


def test_an_alarm_is_noted_once_by_the_commit_that_stores_it(path: WritePath, store: Store):
    gateway = FakeGateway()
    gateway.alarm("SpO2 low")
    converse(path, gateway)
    (notice,) = store.untold(0, 10)
    assert notice["content"]["text"] == "SpO2 low"
    assert store.take("alarms", "a", LONG_MS)
    with pytest.raises(LostTermError):
        store.told([notice["id"]], 2, ("alarms", "a"))
    assert len(store.untold(0, 10)) == 1, "it was not noted under a term that is not"
    store.told([notice["id"]], 1, ("alarms", "a"))
    assert store.untold(0, 10) == []
    store.forget_notices(-1000)
    assert store.count("notices") == 0


def desk(store: Store, name: str, rank: int, **settings: float) -> DutyDesk:
    return DutyDesk("alarms", name, store, DutySettings(rank=rank, **settings))


def test_it_goes_from_one_that_is_cut_off_to_another_and_back(store: Store) -> None:
    primary, standby = desk(store, "a", 0, steady_s=0), desk(store, "b", 1, steady_s=0)

    async def story() -> list[str | None]:
        news = [await primary.beat(True), await standby.beat(True)]
        news += [await primary.beat(False), await standby.beat(True)]
        assert (primary.left_s(), primary.term) == (0, None)
        assert standby.left_s() > 0
        await primary.beat(True)
        news += [await standby.beat(True), await primary.beat(True)]
        return news

    assert asyncio.run(story()) == ["taken", None, "given", "taken", "given", "taken"]
    assert primary.term == 3


def test_alarms_are_told_after_a_holder_whose_clock_was_ahead(store: Store) -> None:
    found = store.take("alarms", "a", LONG_MS)
    assert found is not None
    now_ms = store.clock_ms()
    store.keep("alarms", "a", found.term, LONG_MS, now_ms + 10**11)
    store.give("alarms", "a", found.term)
    settings = DutySettings(witness="postgresql://witness.example/a", overlap_s=60.0)
    successor = DutyDesk("alarms", "b", store, settings)
    assert asyncio.run(successor.beat(True)) == "taken"
    assert successor.since_ms <= store.clock_ms() - 60_000
    assert successor.progress_ms <= store.clock_ms()


def test_a_holder_that_does_not_reach_the_database_stops_by_itself(store: Store) -> None:
    holder = desk(store, "a", 0, term_s=2.0)

    async def story() -> None:
        assert await holder.beat(True) == "taken"
        holder.book = Store("postgresql://nobody@127.0.0.1:1/none")
        assert await holder.beat(True) is None
        assert holder.why
        while holder.left_s():
            await asyncio.sleep(0.1)
        assert await holder.beat(True) == "lost"

    asyncio.run(story())


# --- targets ---


class Hook:
    """A receiver of webhooks that keeps what it got; `broken` makes it refuse."""

    def __init__(self) -> None:
        self.got: list[dict] = []
        self.tokens: set[str | None] = set()
        self.broken = False
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                assert self.headers["idempotency-key"] == body["id"]
                hook.tokens.add(self.headers["authorization"])
                if not hook.broken:
                    hook.got.append(body)
                self.send_response(503 if hook.broken else 204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/alarms"

    def texts(self) -> list[str]:
        return [notice["text"] for notice in self.got]


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_a_webhook_that_refuses_is_an_error_and_one_that_takes_it_is_not(hook: Hook) -> None:
    target = make_target(hook.url, "secret")

    async def story() -> None:
        await target.send({"id": "1", "text": "low"}, 5)
        hook.broken = True
        with pytest.raises(TargetError, match="HTTP 503"):
            await target.send({"id": "2", "text": "low"}, 5)
        hook.server.shutdown()
        hook.server.server_close()
        with pytest.raises(TargetError):
            await target.send({"id": "3", "text": "low"}, 5)
        await target.close()

    asyncio.run(story())
    assert [notice["id"] for notice in hook.got] == ["1"]
    assert hook.tokens == {"Bearer secret"}


def test_a_file_gets_a_line_for_each_and_a_full_disk_is_an_error(tmp_path: Path) -> None:
    asyncio.run(Lines(tmp_path / "alarms").send({"id": "1"}, 5))
    asyncio.run(Lines(tmp_path / "alarms").send({"id": "2"}, 5))
    assert (tmp_path / "alarms").read_text() == '{"id":"1"}\n{"id":"2"}\n'
    with pytest.raises(TargetError, match="No space left"):
        asyncio.run(Lines(Path("/dev/full")).send({"id": "3"}, 5))


def test_a_target_that_makes_no_sense_is_said_with_its_line() -> None:
    with pytest.raises(ToolError, match=r"hub\.toml:2: duties\.alarms: want"):
        parse('[duties]\nalarms = "ftp://x"\n')
    with pytest.raises(ToolError, match="want no password here"):
        parse('[duties]\nwitness = "postgresql://a:secret@b/c"\n')
    with pytest.raises(ToolError, match="witness: want postgresql"):
        parse('[duties]\nwitness = "sqlite:////x.db"\n')


# --- real hubs ---


class Sites:
    """Two hubs with a witness, on one broker; each has a database of its own."""

    def __init__(self, root: Path, broker: str, witness: str, hook: Hook) -> None:
        self.root, self.broker, self.witness, self.hook = root, broker, witness, hook
        self.vault = Vault.create(root / "vault")
        self.gateway = FakeGateway(site=self.vault.site_id)
        entry = self.gateway.vault_entry()
        self.vault.add_gateway(entry.id, entry.bed, entry.root, entry.logs[0])

    def alarm(self, text: str) -> None:
        """Send an alarm, and all that lies before it, to whoever listens at the broker."""
        host, port = self.broker.removeprefix("mqtt://").split(":")
        self.gateway.alarm(text)
        client = Client(host, int(port), "vk-alarm")
        for run in self.gateway.sector_runs(0, 0):
            client.publish(*run)
        client.pump(0.2)
        client.close()

    def hub(self, name: str, rank: int) -> HubProcess:
        folder = self.root / name
        folder.mkdir(exist_ok=True)
        config = folder / "hub.toml"
        config.write_text(
            f'[duties]\nalarms = "{self.hook.url}"\nwitness = "{self.witness}"\n'
            f"rank = {rank}\nterm_s = 2.0\nsteady_s = 1.0\n"
        )
        vault = Vault.open(self.root / "vault")
        if not (folder / "vault").exists():
            copy = Vault.create(folder / "vault", name)
            for entry in vault.gateways():
                copy.add_gateway(entry.id, entry.bed, entry.root, entry.logs[0])
        return HubProcess(folder, "--config", str(config), "--broker", self.broker)


def wait_for(condition: Callable[[], object], seconds: float = SOON_S) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.mosquitto
@pytest.mark.postgres
def test_two_sites_with_a_witness_tell_each_alarm_and_know_who_does_it(
    tmp_path: Path, mosquitto: str, postgres: str, hook: Hook
) -> None:
    sites = Sites(tmp_path, mosquitto, postgres, hook)

    def is_here(hub: HubProcess) -> bool:
        return hub.health()["duties"]["alarms"]["here"]

    with sites.hub("primary", 0) as primary, sites.hub("standby", 1) as standby:
        wait_for(lambda: is_here(primary))
        assert not is_here(standby)
        sites.alarm("first")
        wait_for(lambda: hook.texts() == ["first"])
        hook.broken = True
        sites.alarm("second")
        wait_for(lambda: primary.health()["duties"]["alarms"]["error"])
        primary.child.send_signal(signal.SIGKILL)
        primary.child.wait()
        hook.broken = False
        wait_for(lambda: is_here(standby) and "second" in hook.texts())
        first, *others = hook.got
        assert {notice["term"] for notice in others} == {2}
        again = [notice for notice in others if notice["text"] == "first"]
        assert {notice["id"] for notice in again} <= {first["id"]}, "a repeat can be seen"
        with sites.hub("primary", 0) as back:
            wait_for(lambda: is_here(back) and not is_here(standby))
            story = [line["text"] for line in standby.get("/api/ward")["story"]]
            assert any("are told from here now, in term 2" in text for text in story)
            assert any("left to another hub" in text for text in story)
            sites.alarm("third")
            wait_for(lambda: "third" in hook.texts())
            thirds = [notice for notice in hook.got if notice["text"] == "third"]
            assert [notice["term"] for notice in thirds] == [3]
