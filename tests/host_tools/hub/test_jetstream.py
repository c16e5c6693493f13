"""Duties with NATS JetStream as the witness: real servers, one of which is killed."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.hub import FakeGateway
from tests.support.hub_process import Client, HubProcess
from tests.support.needs import find_program
from tests.support.processes import answers, free_port, running
from vitalkeep.errors import ToolError
from vitalkeep.hub.config.load import parse
from vitalkeep.hub.duties import DutyDesk, DutySettings
from vitalkeep.hub.jetstream import JetStreamBook
from vitalkeep.hub.store import StoreError
from vitalkeep.hub.store.duties import LostTermError
from vitalkeep.keys.vault import Vault

LONG_MS, SHORT_MS = 60_000, 500
SOON_S = 60

nats = pytest.mark.nats


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a server with JetStream."""
    folder, port = tmp_path_factory.mktemp("nats"), free_port()
    program = find_program("nats-server")
    assert program is not None, "no nats-server here"
    command = [program, "-js", "-sd", str(folder / "js"), "-a", "127.0.0.1", "-p", str(port)]
    with running(command, folder / "log", lambda: answers(port)):
        yield f"nats://127.0.0.1:{port}"


@pytest.fixture
def book(server: str) -> Iterator[Callable[[], JetStreamBook]]:
    """Return a function that opens what one hub has of the bucket."""
    made: list[JetStreamBook] = []

    def make() -> JetStreamBook:
        made.append(JetStreamBook(server))
        made[-1].open()
        return made[-1]

    yield make
    for one in made:
        one.close()


@nats
def test_a_duty_has_one_holder_and_each_has_a_higher_term(book) -> None:
    a, b = book(), book()
    first = a.take("one", "a", SHORT_MS)
    assert first is not None
    assert (first.holder, first.term) == ("a", 1)
    assert b.take("one", "b", SHORT_MS) is None
    a.keep("one", "a", 1, SHORT_MS, 77_000)
    assert b.take("one", "b", SHORT_MS) is None, "it was renewed"
    time.sleep(SHORT_MS / 1000 + 0.1)
    second = b.take("one", "b", LONG_MS)
    assert second is not None
    assert second.term == 2
    assert 77_000 + SHORT_MS <= second.behind_ms < 77_000 + LONG_MS
    with pytest.raises(LostTermError):
        a.keep("one", "a", 1, LONG_MS, 99)
    a.give("one", "a", 1)
    assert a.take("one", "a", LONG_MS) is None, "a late word changes nothing"
    b.give("one", "b", 2)
    third = a.take("one", "a", LONG_MS)
    assert third is not None
    assert third.term == 3
    again = book().take("one", "a", LONG_MS)
    assert again is not None
    assert again.term == 4, "a process of the same name that starts again"


@nats
def test_a_word_is_as_old_as_the_servers_say_for_who_has_just_begun(book) -> None:
    a = book()
    a.take("old", "a", SHORT_MS)
    a.keep("old", "a", 1, SHORT_MS, 5_000)
    time.sleep(2)
    late = book()
    late.attend("old", "b", 0, True, LONG_MS)  # reads the word for the first time
    time.sleep(SHORT_MS / 1000 + 0.1)
    late.attend("old", "b", 0, True, LONG_MS)
    found = late.take("old", "b", LONG_MS)
    assert found is not None
    assert found.behind_ms >= 5_000 + 2_000 + SHORT_MS
    time.sleep(1)
    late.give("old", "b", 2)
    again = a.take("old", "a", LONG_MS)
    assert again is not None
    assert again.behind_ms >= 5_000 + 3_000 + SHORT_MS, "a hand-over takes nothing off it"


@nats
def test_of_two_that_take_at_once_one_has_it(book) -> None:
    hubs = [book() for _ in range(3)]

    async def all_at_once(term: int) -> list[object]:
        loop = asyncio.get_running_loop()
        jobs = [
            loop.run_in_executor(None, hub.take, "race", f"hub-{n}", LONG_MS)
            for n, hub in enumerate(hubs)
        ]
        found = await asyncio.gather(*jobs)
        (holder,) = [one for one in found if one is not None]
        assert holder.term == term
        hubs[int(holder.holder[-1])].give("race", holder.holder, term)
        return found

    for term in range(1, 6):
        asyncio.run(all_at_once(term))


@nats
def test_who_stands_by_is_known_and_who_is_silent_is_gone(book) -> None:
    a, b = book(), book()
    a.attend("by", "a", 0, True, SHORT_MS)
    alive, duty = b.attend("by", "b", 1, False, LONG_MS)
    assert {(one.name, one.rank, one.fit) for one in alive} == {("a", 0, True), ("b", 1, False)}
    assert (duty.holder, duty.term) == (None, 0)
    time.sleep(SHORT_MS / 1000 + 0.1)
    alive, _ = b.attend("by", "b", 1, True, LONG_MS)
    (left,) = alive
    assert (left.name, left.fit) == ("b", True)
    assert left.for_s < 5
    a.attend("by", "a", 0, True, LONG_MS)
    a.depart("by", "a")
    assert [one.name for one in b.attend("by", "b", 1, True, LONG_MS)[0]] == ["b"]


@nats
def test_a_desk_hands_over_and_back_as_with_a_database(book) -> None:
    settings = [DutySettings(rank=rank, steady_s=0, witness="tls://x:1") for rank in (0, 1)]
    primary = DutyDesk("desk", "a", book(), settings[0])
    standby = DutyDesk("desk", "b", book(), settings[1])

    async def story() -> list[str | None]:
        news = [await primary.beat(True), await standby.beat(True)]
        news += [await primary.beat(False), await standby.beat(True)]
        assert (primary.left_s(), primary.term) == (0, None)
        await primary.beat(True)
        return [*news, await standby.beat(True), await primary.beat(True)]

    assert asyncio.run(story()) == ["taken", None, "given", "taken", "given", "taken"]
    assert primary.term == 3


def test_a_witness_that_is_not_there_is_said() -> None:
    book = JetStreamBook(f"nats://127.0.0.1:{free_port()}")
    with pytest.raises(StoreError, match="witness: "):
        book.take("one", "a", LONG_MS)
    book.close()
    with pytest.raises(ToolError, match="want no password here"):
        parse('[duties]\nwitness = "tls://a:secret@b:4222"\n')
    with pytest.raises(ToolError, match="witness: want postgresql"):
        parse('[duties]\nwitness = "tls://a:1,http://b"\n')


# --- real hubs ---


def here(hub: HubProcess) -> bool:
    return hub.health()["duties"]["alarms"]["here"]


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SOON_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@nats
@pytest.mark.mosquitto
def test_of_two_sites_one_tells_alarms_and_when_it_is_killed_the_other(
    tmp_path: Path, mosquitto: str, server: str
) -> None:
    gateway = FakeGateway()
    target = tmp_path / "alarms"
    entry = gateway.vault_entry()

    def site(name: str, rank: int) -> HubProcess:
        folder = tmp_path / name
        folder.mkdir()
        vault = Vault.create(folder / "vault", name)
        vault.add_gateway(entry.id, entry.bed, entry.root, entry.logs[0])
        (folder / "hub.toml").write_text(
            f'[duties]\nalarms = "file:{target}"\nwitness = "{server}"\nrank = {rank}\n'
            "term_s = 2.0\nsteady_s = 1.0\n"
        )
        return HubProcess(folder, "--config", str(folder / "hub.toml"), "--broker", mosquitto)

    def alarm(text: str) -> None:
        host, port = mosquitto.removeprefix("mqtt://").split(":")
        gateway.alarm(text)
        client = Client(host, int(port), "vk-alarm")
        for run in gateway.sector_runs(0, 0):
            client.publish(*run)
        client.pump(0.2)
        client.close()

    def told() -> list[dict]:
        return [json.loads(line) for line in target.open()] if target.exists() else []

    with site("primary", 0) as primary, site("standby", 1) as standby:
        wait_for(lambda: here(primary))
        assert not here(standby)
        alarm("first")
        wait_for(lambda: [notice["text"] for notice in told()] == ["first"])
        primary.child.send_signal(signal.SIGKILL)
        primary.child.wait()
        alarm("second")
        wait_for(lambda: here(standby))
        wait_for(lambda: "second" in [notice["text"] for notice in told()])
        assert {notice["term"] for notice in told()} == {1, 2}
        repeats = [notice["id"] for notice in told() if notice["text"] == "first"]
        assert len(set(repeats)) == 1, "a repeat has the same id"
