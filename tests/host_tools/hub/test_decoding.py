"""Backlog is decoded after its receipts: nothing twice, nothing never, whoever is killed when."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from bridge.core.journal import layout
from tests.support.hub import FakeGateway, Table, WritePath, place
from vitalkeep.hub.consume import Message
from vitalkeep.hub.decode import RECENT
from vitalkeep.hub.jobs.decoding import Decoding
from vitalkeep.hub.late import Decoders, Task, decode_sectors, process
from vitalkeep.hub.sectors import OPEN, PROVEN, Stored
from vitalkeep.hub.store import utc_now_ms


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


def decode(task, now_ms=1000):
    """Decode as a process does that has just begun."""
    return Decoders().decode(task, now_ms)


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


def test_old_ones_are_found_behind_new_ones_that_are_in_hand(path, store, filled, monkeypatch):
    send_backlog(path, filled)
    monkeypatch.setattr(f"{Decoding.__module__}._AT_ONCE", 1)
    decoding = Decoding(store, path.intake)
    (growing,) = decoding._growing
    growing._under_way = frozenset(place(filled, number) for number in (1, 2, 3))
    (task,) = asyncio.run(decoding._next(-1000))
    assert task.place == place(filled, 0)


def test_every_moment_of_a_kill_leaves_each_observation_once(path, store, vault, filled, expected):
    """A hub dies before, between and after the commits of what was decoded; another goes on."""
    send_backlog(path, filled)
    first = tasks(path, store)
    found = decode_sectors(first, utc_now_ms())
    store.commit_late(found[:1])
    # What the dead hub had still to commit comes late, and twice: from a hub that was not dead.
    asyncio.run(path.decoding.catch_up())
    assert store.commit_late(found) == []
    other = WritePath(vault, store)
    asyncio.run(other.decoding.catch_up())
    other.intake.close()
    assert rows(store, filled) == expected


def test_a_sector_that_comes_twice_in_a_round_is_stored_once(path, store, filled, expected):
    send_backlog(path, filled, range(2))
    found = [decode(task) for task in tasks(path, store)]
    assert store.commit_late([*found, found[0]]) == found
    assert rows(store, filled) == [row for row in expected if row["sector"] < 2]


def test_commit_of_what_is_decoded_is_whole_or_nothing(path, store, filled, monkeypatch):
    send_backlog(path, filled, range(1))
    (task,) = tasks(path, store)
    late = decode(task)
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
    found = decode(task)
    path.intake.answers.forget()
    path.send(*filled.sector_runs(0, 3)[half:-1])
    # The other process had it, too, and comes second.
    assert store.commit_late([found]) == []
    path.send(filled.heartbeat(), filled.sector_runs(0, 3)[-1])
    assert rows(store, filled) == [row for row in expected if row["sector"] == 3]
    assert store.undecoded(utc_now_ms() + 1000, 9) == {}


def test_live_sector_is_read_once_however_its_runs_come(path, store, filled, expected):
    for size in (100, 512, 1500):
        for run in filled.sector_runs(0, 1, size):
            path.send(run)
    assert rows(store, filled) == [row for row in expected if row["sector"] == 1]


def grown(filled, key, end, decoded):
    """Return the task for the first `end` bytes of sector 0."""
    return Task(place(filled, 0), Stored(filled.sector(0, 0)[:end], OPEN, decoded, 0), key)


def test_decoder_goes_on_where_it_was_only_if_that_is_in_the_store(path, store, filled):
    send_backlog(path, filled, range(1))
    (task,) = tasks(path, store)
    decoders = Decoders()
    whole = decode(task)
    ends = [*range(300, layout.SEAL_AT, 300), layout.SECTOR_SIZE]

    def count(found):
        return len(found.rows.get("observations", ()))

    number = decoded = 0
    for end in ends:
        found = decoders.decode(grown(filled, task.key, end, decoded), 1000)
        assert (found.was, count(found) > 0) == (decoded, found.decoded > decoded)
        number, decoded = number + count(found), found.decoded
    assert (number, decoded, found.spans) == (count(whole), whole.decoded, whole.spans)

    # The store refused the second of these: all since what it has comes again.
    first = decoders.decode(grown(filled, task.key, 900, 0), 1000)
    second = decoders.decode(grown(filled, task.key, 1800, first.decoded), 1000)
    again = decoders.decode(grown(filled, task.key, 2400, first.decoded), 1000)
    assert count(again) > count(second) > 0
    assert again == decode(grown(filled, task.key, 2400, first.decoded))._replace(
        rows=again.rows, blocks=again.blocks
    )
    assert again.rows["observations"][: count(second)] == second.rows["observations"]


def test_other_bytes_of_the_same_sector_are_read_from_their_beginning(filled, path, store):
    other = FakeGateway()
    other.fill(1)
    send_backlog(path, filled, range(1))
    (task,) = tasks(path, store)
    decoders = Decoders()
    half = decoders.decode(grown(filled, task.key, 2000, 0), 1000)
    assert half.rows["observations"]
    key = path.intake.ingest.chain_key(task.place, other.sector(0, 0))
    found = decoders.decode(grown(other, key, layout.SECTOR_SIZE, half.decoded), 1000)
    assert not found.error
    assert found.rows == decode(grown(other, key, layout.SECTOR_SIZE, half.decoded)).rows


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
    wrong = [decode(Task(task.place, task.stored, bytes([n]) * 32)) for n in range(50)]
    found = next(one for one in wrong if one.error)
    assert found.decoded == layout.SECTOR_SIZE
    asyncio.run(path.intake.write_late([found]))
    assert path.intake.ingest.counters["undecodable"] == 1
    asyncio.run(path.decoding.catch_up())
    assert path.intake.ingest.counters["undecodable"] == 1
    asyncio.run(path.intake.write_story())
    assert "undecodable" in store.recent("story", 0, 1)[0]["text"]
    assert store.load([task.place])[task.place].state == PROVEN


def test_bytes_that_the_store_spoilt_do_not_stop_the_others(path, store, filled, monkeypatch):
    send_backlog(path, filled, range(2))
    read_back = store.read_back

    def spoilt(*arguments):
        found = read_back(*arguments)
        where = place(filled, 0)
        if where in found:
            found[where] = Stored(bytes(4096), OPEN)
        return found

    monkeypatch.setattr(store, "read_back", spoilt)
    asyncio.run(path.decoding.catch_up())
    assert {row["sector"] for row in store.observations(filled.id)} == {1}


def test_process_decodes_and_ends_with_its_hub(path, store, filled, tmp_path):
    send_backlog(path, filled, range(1))
    (task,) = tasks(path, store)
    here = Decoders().decode(task, 7)
    with process(0) as pool:
        (there,) = pool.submit(decode_sectors, [task], 7).result()
    # All of it as a store keeps it, and one by one what people see.
    assert there._replace(rows={}) == here._replace(rows={})
    assert there.rows["events"] == here.rows["events"]
    assert there.rows["observations"] == here.rows["observations"][-RECENT:]
    assert len(here.rows["observations"]) > RECENT
    script = (
        "import os, time\n"
        "from vitalkeep.hub.late import process\n"
        "if __name__ == '__main__':\n"
        "    print(process(0).submit(os.getpid).result(), flush=True)\n"
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


class Ward:
    """Many beds on one write path, each in the midst of a sector."""

    def __init__(self, vault, store):
        self.store = store
        self.beds = [FakeGateway(id=b"gatewa%02d" % number) for number in range(20)]
        for number, bed in enumerate(self.beds):
            vault.add_gateway(bed.id, f"Bed {number}", bed.root, bed.log_id)
        self.sent = dict.fromkeys([bed.id for bed in self.beds], 0)
        self.path = WritePath(vault, store)

    def grow(self, bed, size):
        """Record until so many bytes were not sent yet."""
        while len(bed.sector(0, 0)) - self.sent[bed.id] < size:
            bed.clock.now_ms += 1000
            bed.observe(p1=bed.clock.now_ms // 7 % 900)

    async def send(self, *beds):
        runs = []
        for bed in beds:
            data = bed.sector(0, 0)
            for at in range(self.sent[bed.id], len(data), 512):
                runs.append(bed.run(0, 0, at, data[at : at + 512]))
            self.sent[bed.id] = len(data)
        await self.path.intake.handle([Message(*run) for run in runs])

    def shown(self):
        """Return the beds of which the store has the newest value."""
        newest = {row["gateway"]: row["mono_ms"] for row in self.store.latest()}
        return [bed for bed in self.beds if newest.get(bed.id) == bed.clock.now_ms]


def test_what_takes_long_to_read_keeps_nobody_else_waiting(vault, store):
    """After a start, and after an outage: who has little to be read is shown in the next round."""
    ward = Ward(vault, store)
    decoding = ward.path.decoding
    (growing,) = decoding._growing

    async def story():
        with ThreadPoolExecutor(1) as pool:
            # A process that has just begun reads each sector from its beginning.
            for bed in ward.beds:
                ward.grow(bed, 1200)
            await ward.send(*ward.beds)
            await decoding._decode_live(growing, pool)
            first = ward.shown()
            assert 0 < len(first) < len(ward.beds)
            ward.grow(first[0], 1)
            await ward.send(first[0])
            await decoding._decode_live(growing, pool)
            assert first[0] in ward.shown()
            assert len(ward.shown()) < len(ward.beds)
            await decoding.catch_up()
            assert ward.shown() == ward.beds
            # It knows them all by now; all but one come with much.
            for bed in ward.beds[:-1]:
                ward.grow(bed, 1000)
            await ward.send(*ward.beds[:-1])
            ward.grow(ward.beds[-1], 1)
            await ward.send(ward.beds[-1])
            await decoding._decode_live(growing, pool)
            assert ward.beds[-1] in ward.shown()
            assert len(ward.shown()) < len(ward.beds)
            await decoding.catch_up()
            assert ward.shown() == ward.beds

    asyncio.run(story())
    ward.path.intake.close()


def test_gateways_are_shared_and_a_killed_process_costs_nothing(vault, store):
    """Each gateway has one process, which knows it; another one takes the place of the killed."""
    ward = Ward(vault, store)
    intake, pools, given = ward.path.intake, [], []

    def make(nice):
        pools.append(process(nice))
        return pools[-1]

    class Sharing(Decoding):
        async def _decode(self, tasks, pool, live=False):
            given.extend((task.place.gateway, pools.index(pool)) for task in tasks)
            await super()._decode(tasks, pool, live)

    async def shown():
        deadline = time.monotonic() + 60
        while ward.shown() != ward.beds:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)

    async def say(size=1):
        for bed in ward.beds:
            ward.grow(bed, size)
        await ward.send(*ward.beds)

    async def story():
        job = asyncio.create_task(Sharing(store, intake, make, count=2).run())
        try:
            await say(400)
            await shown()
            first = dict(given)
            assert set(first.values()) == {0, 1}
            assert len(set(given)) == len(ward.beds)
            (child,) = pools[0]._processes
            os.kill(child, signal.SIGKILL)
            while intake.ingest.counters["restart_decoder"] == 0:
                await say()
                await asyncio.sleep(0.05)
            given.clear()
            await say()
            await shown()
            kept = {gateway for gateway, number in first.items() if number == 1}
            assert {number for gateway, number in given if gateway in kept} == {1}
            assert {number for gateway, number in given if gateway not in kept} == {2}
        finally:
            job.cancel()
            await asyncio.gather(job, return_exceptions=True)

    asyncio.run(story())
    assert intake.ingest.counters["restart_decoder"] == 1
    intake.close()
    for bed in ward.beds:
        times = [row["mono_ms"] for row in store.observations(bed.id)]
        assert times == sorted(set(times))
        assert times[-1] == bed.clock.now_ms
