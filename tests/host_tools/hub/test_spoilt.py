"""A sector whose stored bytes are not as many as its row says: it alone stands, and heals."""

import asyncio

import pytest
import sqlalchemy as sa

from bridge.core.journal import layout
from tests.support.hub import FakeGateway, WritePath, converse, place
from vitalkeep.hub import sectors
from vitalkeep.hub.batch import Sealed
from vitalkeep.hub.consume import Message
from vitalkeep.hub.store import bulk, tables
from vitalkeep.hub.tags import payloads

OTHER_ID = bytes(range(100, 108))


@pytest.fixture
def gateway():
    return FakeGateway()


@pytest.fixture
def other(vault):
    made = FakeGateway(OTHER_ID)
    entry = made.vault_entry("Bed 2")
    vault.add_gateway(entry.id, entry.bed, entry.root, entry.logs[0])
    return made


@pytest.fixture
def begin(vault, store, other):
    """Return a function that starts the write path anew, as a hub does that was restarted."""
    made = []

    def start():
        made.append(WritePath(vault, store))
        return made[-1]

    yield start
    for path in made:
        path.intake.close()


def change(store, where, **values):
    table = tables.sectors
    named = [table.c[name] == value for name, value in where._asdict().items()]
    with store.writing() as connection:
        statement = sa.update(table).where(*named).values(**values)
        assert connection.execute(statement).rowcount == 1


def lose_piece(store, where, index):
    """Take one of the pieces of a sector out; returns the others, by offset."""
    table = tables.pieces
    named = [table.c[name] == value for name, value in where._asdict().items()]
    query = sa.select(table.c.offset, table.c.data).where(*named).order_by(table.c.offset)
    with store.writing() as connection:
        pieces = [(row.offset, bytes(row.data)) for row in connection.execute(query)]
        offset, _ = pieces.pop(index)
        connection.execute(sa.delete(table).where(*named, table.c.offset == offset))
    return pieces


def quarantined(store):
    return store.read(sa.select(tables.quarantine))


def told(path, word="spoilt"):
    return [line["text"] for line in path.ward.story if word in line["text"]]


def entries(gateway, answers):
    """Return (class, sector) of what was receipted to a gateway."""
    found = set()
    for topic, payload in answers:
        if gateway.id.hex() in topic:
            found |= {entry[:2] for entry in gateway.take(payload).entries}
    return found


def speak(path, gateway, commits=4):
    """Let a gateway's open sector come in several pieces."""
    converse(path, gateway)
    for _ in range(commits):
        gateway.clock.now_ms += 1000
        gateway.observe()
        for payload in path.send(*gateway.next_runs()):
            gateway.take(payload)


def sound(store, gateway):
    """Say whether the store has of class A what the gateway has, whole and decoded."""
    newest, _ = gateway.journal.newest(0)
    places = [place(gateway, number) for number in range(newest + 1)]
    found = store.load(places)
    return all(
        one is not None
        and one.spoilt is None
        and one.data == gateway.sector(0, where.sector)
        and one.state == (sectors.OPEN if where.sector == newest else sectors.PROVEN)
        and one.decoded == len(one.data)
        for where, one in found.items()
    )


@pytest.mark.parametrize("index", [0, 2, -1])
def test_lost_piece_stops_its_sector_alone_until_the_gateway_sends_it_again(
    begin, store, gateway, other, index
):
    path = begin()
    gateway.fill(1)
    speak(path, gateway)
    rows = len(store.observations(gateway.id))
    open_one = place(gateway, gateway.journal.newest(0)[0])
    before = store.load([open_one])[open_one]
    pieces = lose_piece(store, open_one, index)

    path = begin()
    gateway.connect()
    path.send(gateway.heartbeat(), other.heartbeat())
    gateway.observe()
    newest, end = gateway.journal.newest(0)
    late = gateway.run(0, newest, len(before.data), gateway.sector(0, newest)[len(before.data) :])
    answers = asyncio.run(path.send_async(late, *other.sector_runs(0, 0)))
    assert entries(other, answers) == {(0, 0)}
    assert not entries(gateway, answers)
    path.send(late)
    assert path.intake.ingest.counters["spoilt"] == 2
    (text,) = told(path)
    assert f"want {len(before.data)}" in text
    found = store.load([open_one])[open_one]
    assert found.spoilt.length == len(before.data)
    assert (found.data, list(found.spoilt.remains)) == (b"", pieces)
    assert store.states(open_one[:3], newest, newest) == [(newest, 0, sectors.OPEN)]

    gateway.connect()
    converse(path, gateway)
    assert path.intake.ingest.counters["mended"] == 1
    assert gateway.sender.mismatches == gateway.sender.in_flight == 0
    assert store.load([open_one])[open_one].data == gateway.sector(0, newest)[:end]
    # Nothing of what was left is gone: it is in the sector, or in the quarantine.
    kept = {(row["offset"], bytes(row["data"])) for row in quarantined(store)}
    assert kept <= set(pieces)
    again = gateway.sector(0, newest)
    assert all(again[at : at + len(some)] == some for at, some in pieces)
    asyncio.run(path.decoding.catch_up(rest_ms=0))
    assert len(store.observations(gateway.id)) == rows + 1
    # What it came in goes on to other sites, and it grows and is sealed as any other.
    tags = store.tags_of([open_one])[open_one]
    assert payloads(open_one, again, tags, 0)
    gateway.fill(newest + 1)
    converse(path, gateway)
    asyncio.run(path.decoding.catch_up(rest_ms=0))
    assert sound(store, gateway)
    assert sound_after_restart(begin, store, gateway)


def sound_after_restart(begin, store, gateway):
    path = begin()
    gateway.connect()
    converse(path, gateway)
    return sound(store, gateway) and not told(path)


DAMAGES = {
    "cut": lambda data: {"data": data[:100]},
    "emptied": lambda data: {"data": b""},
    "lost": lambda data: {"data": None},
    "longer": lambda data: {"data": data + b"more"},
    "other bytes": lambda data: {"data": bytes(200)},
    "row's length shorter": lambda data: {"length": 4000},
    "row's length nothing": lambda data: {"length": 0},
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("healer", ["gateway", "site"])
def test_spoilt_sealed_sector_is_neither_claimed_nor_in_the_way_and_becomes_whole_again(
    begin, store, gateway, other, damage, healer
):
    path = begin()
    gateway.fill(4)
    converse(path, gateway)
    asyncio.run(path.decoding.catch_up(rest_ms=0))
    rows = store.observations(gateway.id)
    where = place(gateway, 1)
    data = gateway.sector(0, 1)
    change(store, where, **damage(data))
    assert store.sealed_ranges() == [(where[:3], 0, 0), (where[:3], 2, 3)]
    assert store.states(where[:3], 1, 1) == [(1, 0, sectors.OPEN)]
    assert store.spoilt(9) == [where]

    path = begin()
    answers = asyncio.run(path.send_async(gateway.heartbeat(), other.heartbeat()))
    first, run = gateway.run(0, 1, 0, data[:300]), gateway.run(0, 1, 300, data[300:600])
    answers = asyncio.run(path.send_async(run, *other.sector_runs(0, 0)))
    assert entries(other, answers) == {(0, 0)}
    assert not entries(gateway, answers)
    assert len(told(path)) == 1
    if healer == "gateway":
        assert (0, 1) in entries(gateway, asyncio.run(path.send_async(first)))
        gateway.connect()
        converse(path, gateway)
        assert gateway.sender.mismatches == gateway.sender.in_flight == 0
    else:
        tag = layout.parse_seal(gateway.sector(0, 0))[1]
        batch, _ = asyncio.run(path.intake.merge([], [Sealed(where, data, tag)]))
        assert not batch.refused
    assert path.intake.ingest.counters["mended"] == 1
    wrong = damage(data).get("data", data)
    kept = [bytes(row["data"]) for row in quarantined(store)]
    if healer == "site":
        assert kept == ([wrong] if wrong and not data.startswith(wrong) else [])
    else:
        assert kept == ([wrong] if wrong and not data[:300].startswith(wrong) else [])
    asyncio.run(path.decoding.catch_up(rest_ms=0))
    assert sound(store, gateway)
    assert len(store.observations(gateway.id)) == len(rows)
    assert store.spoilt(9) == []
    assert sound_after_restart(begin, store, gateway)


def test_forged_copy_heals_nothing(begin, store, gateway):
    path = begin()
    gateway.fill(2)
    converse(path, gateway)
    where, data = place(gateway, 1), gateway.sector(0, 1)
    change(store, where, data=data[:100])
    path = begin()
    forged = Sealed(where, data[:500] + bytes(3) + data[503:], None)
    batch, _ = asyncio.run(path.intake.merge([], [forged]))
    assert batch.refused == [(where, "wrong_seal")]
    assert store.spoilt(9) == [where]


def test_sectors_around_a_spoilt_one_wait_for_its_tag(begin, store, gateway):
    path = begin()
    gateway.fill(3)
    path.send(*gateway.sector_runs(0, 0), *gateway.sector_runs(0, 1))
    change(store, place(gateway, 1), data=b"short")
    path = begin()
    path.send(*gateway.sector_runs(0, 2))
    assert store.load([place(gateway, 2)])[place(gateway, 2)].state == sectors.WHOLE
    path.send(*gateway.sector_runs(0, 1))
    assert store.load([place(gateway, 2)])[place(gateway, 2)].state == sectors.PROVEN
    assert sound(store, gateway) or gateway.journal.newest(0)[0] == 3


def test_spoilt_sector_is_not_decoded_and_holds_no_other_up(begin, store, gateway):
    path = begin()
    gateway.fill(3)
    runs = [run for number in range(3) for run in gateway.sector_runs(0, number)]
    asyncio.run(path.intake.handle([Message(*run) for run in runs]))
    change(store, place(gateway, 0), data=gateway.sector(0, 0)[:1000])
    path = begin()
    asyncio.run(path.decoding.catch_up(rest_ms=0))
    found = store.load([place(gateway, number) for number in range(3)])
    assert [one.decoded for one in found.values()] == [0, 4096, 4096]
    path.send(*gateway.sector_runs(0, 0))
    asyncio.run(path.decoding.catch_up(rest_ms=0))
    assert store.load([place(gateway, 0)])[place(gateway, 0)].decoded == 4096


def test_silent_spoilt_sector_is_not_closed(begin, store, gateway):
    path = begin()
    speak(path, gateway)
    open_one = place(gateway, gateway.journal.newest(0)[0])
    lose_piece(store, open_one, 1)
    path = begin()
    asyncio.run(path.intake.close_orphans([open_one]))
    assert store.load([open_one])[open_one].state == sectors.OPEN
    assert [row for row in store.silent(1 << 62) if row[0] == open_one] in (
        [],
        [(open_one, 0, sectors.OPEN)],
    )


def test_what_grows_while_it_is_read_is_not_spoilt(begin, store, gateway, monkeypatch):
    """On PostgreSQL a commit may come between the pieces and the row that says how many bytes."""
    path = begin()
    speak(path, gateway)
    where = place(gateway, gateway.journal.newest(0)[0])
    whole = store.load([where])[where]
    select, looks = bulk.select, []

    def late(connection, table, *rest):
        found = select(connection, table, *rest)
        if table is tables.pieces and found:
            looks.append(found)
            return sorted(found)[: len(looks) + 1]  # one more has come each time
        return found

    monkeypatch.setattr(bulk, "select", late)
    seen = store.load([where])[where]
    assert len(looks) > 2
    assert seen == whole
    assert seen.spoilt is None
