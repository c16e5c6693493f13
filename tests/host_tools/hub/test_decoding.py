"""Backlog is decoded after its receipts: nothing twice, nothing never, whoever is killed when."""

import asyncio
import os
import signal
import subprocess
import sys
import time

import pytest

from bridge.core.journal import layout
from tests.support.hub import FakeGateway, Table, WritePath, place
from vitalkeep.hub.consume import Message
from vitalkeep.hub.jobs.decoding import Decoding
from vitalkeep.hub.late import Task, decode_sector, decode_sectors, process
from vitalkeep.hub.sectors import OPEN, PROVEN, Stored
from vitalkeep.hub.store import Late, utc_now_ms


@pytest.fixture(scope="module")
def filled():
    made = FakeGateway(sectors=40)
    made.fill(4)
    return made


@pytest.fixture
def expected(filled):
    """Return what a hub that decodes everything at once has of sectors 0 to 3."""
    table = Table(filled)
    for number in range(4):
        runs = filled.sector_runs(0, number)
        table.take(*runs)
    return [{**row, "stored_ms": 0} for row in table.rows["observations"]]


def send_backlog(path, filled, numbers=range(4), until=None):
    """Send sectors as a backlog: bytes alone are committed."""
    runs = [run for number in numbers for run in filled.sector_runs(0, number)][:until]
    messages = [Message(*message) for message in (filled.heartbeat(), *runs)]
    return asyncio.run(path.intake.handle(messages))


def rows(store, filled):
    return [{**row, "stored_ms": 0} for row in store.observations(filled.id)]


def tasks(path, store):
    """Return the tasks that the job would give to its process."""
    return asyncio.run(Decoding(store, path.intake)._next(-1000))


def as_late(task, found):
    return Late(task.place, task.stored.decoded, found.decoded, found.spans, found.rows,
                found.blocks)  # fmt: skip


def test_late_is_as_if_at_once(path, store, filled, expected):
    send_backlog(path, filled)
    assert store.count("observations") == 0
    assert len(store.undecoded(0, 99)) == 4
    asyncio.run(path.decoding.catch_up())
    assert rows(store, filled) == expected
    assert store.undecoded(0, 99) == {}
    assert [row["name"] for row in store.recent("events", 0, 9)] == ["boot"]
    spans = store.spans(filled.id, 0)
    assert [row["decoded"] for row in spans] == [layout.SECTOR_SIZE] * 4
    assert all("vent" in row["spans"] for row in spans)
    (last,) = [row for row in store.latest() if row["device"] == "vent"]
    assert last["mono_ms"] == expected[-1]["mono_ms"]


def test_every_moment_of_a_kill_leaves_each_observation_once(path, store, vault, filled, expected):
    """A hub dies before, between and after the commits of what was decoded; another goes on."""
    send_backlog(path, filled)
    first = tasks(path, store)
    found = decode_sectors(first, utc_now_ms())
    store.commit_late([as_late(first[0], found[0])])
    # What the dead hub had still to commit comes late, and twice: from a hub that was not dead.
    asyncio.run(path.decoding.catch_up())
    late = [as_late(task, f) for task, f in zip(first, found, strict=True)]
    assert store.commit_late(late) == []
    other = WritePath(vault, store)
    asyncio.run(other.decoding.catch_up())
    other.intake.close()
    assert rows(store, filled) == expected


def test_commit_of_what_is_decoded_is_whole_or_nothing(path, store, filled, monkeypatch):
    send_backlog(path, filled, range(1))
    (task,) = tasks(path, store)
    late = as_late(task, decode_sector(task, utc_now_ms()))
    monkeypatch.setattr(store, "replace", _killed)
    with pytest.raises(KeyboardInterrupt):
        store.commit_late([late])
    monkeypatch.undo()
    assert store.count("observations") == store.count("events") == 0
    assert store.commit_late([late]) == [late]


def _killed(*_):
    raise KeyboardInterrupt


def test_live_run_takes_along_what_was_not_decoded_yet(path, store, filled, expected):
    """A sector of which only bytes are stored goes on live: all of it is decoded, once."""
    half = len(filled.sector_runs(0, 3)) // 2
    send_backlog(path, filled, range(3, 4), half)
    (task,) = tasks(path, store)
    found = decode_sector(task, utc_now_ms())
    live = [Message(*run) for run in filled.sector_runs(0, 3)[half:-1]]
    beat = filled.heartbeat()
    path.intake.answers.forget()
    asyncio.run(path.intake.handle(live))
    # The process had it, too, and comes second.
    assert store.commit_late([as_late(task, found)]) == []
    asyncio.run(path.intake.handle([Message(*beat), Message(*filled.sector_runs(0, 3)[-1])]))
    assert rows(store, filled) == [row for row in expected if row["sector"] == 3]
    assert store.undecoded(utc_now_ms() + 1000, 9) == {}


def test_open_sector_that_rests_is_decoded_and_goes_on(path, store, filled, expected):
    half = len(filled.sector_runs(0, 2)) // 2
    send_backlog(path, filled, range(2, 3), half)
    asyncio.run(path.decoding.catch_up())
    assert rows(store, filled) == []  # it may grow yet
    asyncio.run(path.decoding.catch_up(rest_ms=-1000))
    some = rows(store, filled)
    assert some == [row for row in expected if row["sector"] == 2][: len(some)] != []
    send_backlog(path, filled, range(2, 3))
    asyncio.run(path.decoding.catch_up())
    assert rows(store, filled) == [row for row in expected if row["sector"] == 2]


def test_sector_that_makes_no_sense_is_told_once_and_kept(path, store, filled, expected):
    """Its tags are right: the bytes stay, what stands before the damage is shown."""
    send_backlog(path, filled, range(1))
    (task,) = tasks(path, store)
    # Under a wrong key a few sectors look as if they were of records that are not known here.
    wrong = (Task(task.place, task.stored, bytes([n]) * 32) for n in range(50))
    found = next(f for one in wrong if (f := decode_sector(one, utc_now_ms())).error)
    assert found.decoded == layout.SECTOR_SIZE
    asyncio.run(path.intake.write_late([as_late(task, found)], [(task.place, found.error)]))
    assert path.intake.ingest.counters["undecodable"] == 1
    asyncio.run(path.decoding.catch_up())
    assert path.intake.ingest.counters["undecodable"] == 1
    asyncio.run(path.intake.write_story())
    assert "undecodable" in store.recent("story", 0, 1)[0]["text"]
    assert store.load([task.place])[task.place].state == PROVEN


def test_bytes_that_the_store_spoilt_do_not_stop_the_others(path, store, filled, monkeypatch):
    send_backlog(path, filled, range(2))
    find = store.undecoded

    def spoilt(*arguments):
        found = find(*arguments)
        where = place(filled, 0)
        if where in found:
            found[where] = Stored(bytes(4096), OPEN)
        return found

    monkeypatch.setattr(store, "undecoded", spoilt)
    asyncio.run(path.decoding.catch_up())
    assert {row["sector"] for row in store.observations(filled.id)} == {1}


def test_process_decodes_and_ends_with_its_hub(path, store, filled, tmp_path):
    send_backlog(path, filled, range(1))
    (task,) = tasks(path, store)
    here = decode_sector(task, 7)
    with process() as pool:
        (there,) = pool.submit(decode_sectors, [task], 7).result()
    assert there == here
    script = (
        "import os, time\n"
        "from vitalkeep.hub.late import process\n"
        "if __name__ == '__main__':\n"
        "    print(process().submit(os.getpid).result(), flush=True)\n"
        "    time.sleep(60)\n"
    )
    main = tmp_path / "main.py"
    main.write_text(script)
    with subprocess.Popen([sys.executable, main], stdout=subprocess.PIPE) as hub:
        child = int(hub.stdout.readline())
        os.kill(hub.pid, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while _lives(child):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _lives(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
