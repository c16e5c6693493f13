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
from vitalkeep.hub.elapsed import elapsed_s
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
    store.keep("alarms", "a", 1, LONG_MS, 77_000)
    expire(store)
    second = store.take("alarms", "b", LONG_MS)
    assert second is not None
    assert second.term == 2
    assert 77_000 <= second.behind_ms < 77_000 + LONG_MS
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


def test_a_successor_looks_back_by_a_length_of_time_and_not_by_a_clock(store: Store) -> None:
    settings = DutySettings(witness="postgresql://witness.example/a", overlap_s=60.0)
    first, second = (DutyDesk("alarms", name, store, settings) for name in "ab")

    async def story() -> None:
        assert await first.beat(True) == "taken"
        first.told_s -= 300  # so long nobody answered where alarms are told
        assert await first.beat(True) is None
        await first.leave()
        before_s = elapsed_s()
        assert await second.beat(True) == "taken"
        assert second.since_s <= before_s - 360
        assert second.told_s <= before_s - 300
        assert await first.beat(True) is None
        await second.leave()
        assert await first.beat(True) == "taken"
        assert first.since_s <= before_s - 360, "it has not got any further"

    asyncio.run(story())


def sleeps(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let this machine have been suspended: its monotonic clock stood still."""
    awake = time.clock_gettime
    monkeypatch.setattr(time, "clock_gettime", lambda clock: awake(clock) + seconds)


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="of Linux alone")
def test_whoever_slept_for_longer_than_its_term_knows_that_it_is_over(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = desk(store, "a", 0, term_s=600.0)
    assert asyncio.run(holder.beat(True)) == "taken"
    sleeps(monkeypatch, 500)
    assert holder.left_s() > 0
    sleeps(monkeypatch, 200)
    assert holder.left_s() == 0


def test_whoever_does_not_know_that_it_slept_is_kept_out_by_the_database(store: Store) -> None:
    sleeper, other = desk(store, "a", 0, term_s=600.0), desk(store, "b", 1)
    assert asyncio.run(sleeper.beat(True)) == "taken"
    expire(store)
    store.depart("alarms", "a")
    assert asyncio.run(other.beat(True)) == "taken"
    assert sleeper.left_s() > 0, "it believes in its term"
    with pytest.raises(LostTermError):
        store.told([1], 1, ("alarms", "a"))
    with pytest.raises(LostTermError), store.under("alarms", "a", 1).writing():
        pass
    assert asyncio.run(sleeper.beat(True)) == "lost"
    assert other.left_s() > 0


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
        self.gateway.alarm(text)
        self.send()

    def send(self) -> None:
        """Send all alarms so far: whoever did not listen may do so by now."""
        host, port = self.broker.removeprefix("mqtt://").split(":")
        client = Client(host, int(port), "vk-alarm")
        for run in self.gateway.sector_runs(0, 0):
            client.publish(*run)
        client.pump(0.2)
        client.close()

    def hub(self, name: str, rank: int, *more: str) -> HubProcess:
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
        return HubProcess(folder, "--config", str(config), "--broker", self.broker, *more)


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


def shift_clock(url: str, hours: int) -> str:
    """Let a database's clock be wrong, for all that asks it; returns its address."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE SCHEMA shifted"))
        wrong = f"SELECT pg_catalog.clock_timestamp() + interval '{hours} hours'"
        made = "CREATE FUNCTION shifted.clock_timestamp() RETURNS timestamptz LANGUAGE sql"
        connection.execute(sa.text(f"{made} VOLATILE AS $${wrong}$$"))
        # What PostgreSQL has itself comes last, once it is named.
        name = connection.dialect.identifier_preparer.quote(engine.url.database or "")
        path = "public, shifted, pg_catalog"
        connection.execute(sa.text(f"ALTER DATABASE {name} SET search_path = {path}"))
    engine.dispose()
    return url


@pytest.mark.mosquitto
@pytest.mark.postgres
@pytest.mark.parametrize("hours", [-2, 2])
def test_an_alarm_is_told_though_the_clocks_of_two_sites_differ_by_hours(
    tmp_path: Path, mosquitto: str, databases: Callable[[], str], hook: Hook, hours: int
) -> None:
    """Either way: the clock of the site that takes over is behind, or ahead."""
    sites = Sites(tmp_path, mosquitto, databases(), hook)
    late = ("--database", shift_clock(databases(), hours))

    def is_here(hub: HubProcess) -> bool:
        return hub.health()["duties"]["alarms"]["here"]

    with sites.hub("primary", 0) as primary, sites.hub("standby", 1, *late) as standby:
        wait_for(lambda: is_here(primary))
        store = Store(late[1])
        store.open()
        sites.alarm("first")
        wait_for(lambda: hook.texts() == ["first"])
        hook.broken = True
        sites.alarm("second")
        wait_for(lambda: primary.health()["duties"]["alarms"]["error"])
        wait_for(lambda: sites.send() or len(store.untold(0, 10)) == 2)
        told = store.untold(0, 10)[0]["stored_ms"]
        assert abs(told - 1000 * time.time()) > 3_600_000, "its clock is wrong"
        store.close()
        primary.child.send_signal(signal.SIGKILL)
        primary.child.wait()
        hook.broken = False
        wait_for(lambda: is_here(standby) and "second" in hook.texts())
