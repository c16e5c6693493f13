"""A gateway that lost its keys, seen from its site: the log goes on, and someone is told."""

import asyncio

import pytest

from bridge.core.journal import layout
from tests.support.epochs import lose_slots
from tests.support.hub import FakeGateway, Table, WritePath, converse, place
from vitalkeep.hub import account, sectors
from vitalkeep.hub.account import BACKLOG, COMING, GAP, KEYS_LOST, STORED, Facts
from vitalkeep.hub.receipts import survey, surveyed


@pytest.fixture
def gateway():
    made = FakeGateway()
    made.fill(2)
    made.observe()
    return made


def lose_keys(gateway, cls=0):
    """Take a class's slots and power on again; its open sector stays without a seal."""
    lose_slots(gateway.keys, cls)
    gateway.boot()


def states(store, gateway, cls=0):
    return [state for _, _, state in store.states((gateway.id, gateway.log_id, cls), 0, 99)]


def told(store, name):
    rows = store.recent("events", 0, 1000)
    return [(row["cls"], row["sector"], row["text"]) for row in rows if row["name"] == name]


def orphan_run(gateway, number, cls=0):
    """Return the run with all that a sector without a seal holds."""
    data = gateway.sector(cls, number)
    end = layout.used_end(data)
    assert end <= 1024
    return gateway.run(cls, number, 0, data[:end])


def test_log_goes_on_in_a_new_epoch_and_it_is_told_once(path, store, vault, gateway):
    converse(path, gateway)
    lose_keys(gateway)
    gateway.fill(5)
    converse(path, gateway)
    proven, orphan = sectors.PROVEN, sectors.ORPHAN
    assert states(store, gateway) == [proven, proven, orphan, proven, proven, sectors.OPEN]
    assert gateway.sender.mismatches == 0
    assert gateway.sender.in_flight == 0
    assert told(store, "key-epoch") == [(0, 3, "class A goes on with sector 3 in epoch 1")]
    assert told(store, "orphan") == [(0, 2, "class A sector 2: its key is lost, it has no seal")]
    lines = [line["text"] for line in path.ward.story if line["tone"] == "bad"]
    assert len([text for text in lines if "epoch" in text]) == 2
    # Neither more sectors nor a hub's restart add another row.
    other = WritePath(vault, store)
    gateway.fill(7)
    gateway.connect()
    converse(other, gateway)
    assert states(store, gateway)[-2:] == [proven, sectors.OPEN]
    assert len(told(store, "key-epoch")) == 1
    other.intake.close()


def test_backlog_brings_the_orphan_after_the_live_sector(path, store, gateway):
    lose_keys(gateway)
    gateway.fill(5)
    converse(path, gateway)
    proven = sectors.PROVEN
    assert states(store, gateway) == [
        *(proven, proven, sectors.ORPHAN, proven, proven),
        sectors.OPEN,
    ]
    assert [found[:2] for found in told(store, "orphan")] == [(0, 2)]
    assert [found[:2] for found in told(store, "key-epoch")] == [(0, 3)]


def test_orphan_still_grows_and_is_receipted_by_its_digest(path, store, gateway):
    data = gateway.sector(0, 2)
    topic, payload = gateway.run(0, 2, 0, data)
    path.send(gateway.heartbeat(), gateway.run(0, 2, 0, data[:100]))
    lose_keys(gateway)
    path.send(*gateway.sector_runs(0, 3))
    assert states(store, gateway) == [sectors.ORPHAN, sectors.OPEN]
    path.send(gateway.heartbeat())
    (receipt,) = path.send((topic, payload))
    (entry,) = gateway.take(receipt).entries
    assert entry[:3] == (0, 2, len(data))
    assert gateway.sender.mismatches == 0
    rows = store.spans(gateway.id, 0)
    assert (rows[0]["state"], rows[0]["length"]) == (sectors.ORPHAN, len(data))


def test_orphan_that_no_site_has_is_sent_to_its_end_and_then_rests(path, store, gateway):
    lose_keys(gateway)
    gateway.fill(4)
    converse(path, gateway)
    orphan = gateway.sector(0, 2)
    stored = store.load([place(gateway, 2)])[place(gateway, 2)]
    end = layout.used_end(orphan)
    assert stored[:3] == (orphan[:end], sectors.ORPHAN, end)
    assert gateway.sender.has(0, 2)
    assert gateway.sender.backlog_bytes(0) == 0
    gateway.connect()
    converse(path, gateway)
    assert gateway.sender.has(0, 2)
    assert gateway.sender.mismatches == 0


def test_account_names_what_the_lost_keys_cost(path, store, gateway):
    gateway.set_clock(1_790_000_000_000)
    gateway.observe()
    converse(path, gateway)
    lose_keys(gateway)
    gateway.clock.now_ms = 1000
    gateway.set_clock(1_790_000_600_000)
    gateway.observe()
    converse(path, gateway)
    offsets = {row["boot"]: row["utc_ms"] - row["mono_ms"] for row in store.clocks(gateway.id)}
    facts = Facts(store.spans(gateway.id, 0), [], offsets, None, True)
    start_ms = 1_790_000_000_000 - 1000
    found = account.account(facts, 0, start_ms, start_ms + 602_000)
    assert KEYS_LOST in [segment.cause for segment in found.segments]


def words(path, store, gateway):
    """Return (kind, cause) of what the account says of class A."""
    offsets = {row["boot"]: row["utc_ms"] - row["mono_ms"] for row in store.clocks(gateway.id)}
    path.send(gateway.heartbeat())
    beat = path.ward.facts(gateway.id)[0]
    facts = Facts(store.spans(gateway.id, 0), [], offsets, beat, True)
    found = account.account(facts, 0, 0, gateway.clock.utc_ms()).segments
    return [(segment.kind, segment.cause) for segment in found]


@pytest.mark.parametrize("keyless", [False, True])
def test_gateway_that_comes_back_after_its_sector_was_closed_owes_the_rest(
    path, store, gateway, keyless
):
    gateway.set_clock(1_790_000_000_000)
    gateway.observe()
    converse(path, gateway)
    asyncio.run(path.intake.close_orphans([place(gateway, 2)]))
    assert states(store, gateway)[2:] == [sectors.ORPHAN]
    # It goes on for a while with no site, and sends the newest first.
    for _ in range(10):
        gateway.clock.now_ms += 1000
        gateway.observe()
    if keyless:
        lose_keys(gateway)
        gateway.set_clock(1_790_000_600_000)
        gateway.observe()
        gateway.clock.now_ms = 1000
    else:
        gateway.fill(3)
    gateway.observe()
    path.send(*gateway.sector_runs(0, gateway.journal.newest(0)[0]))
    gateway.connect()
    assert (COMING, BACKLOG) in words(path, store, gateway)
    assert GAP not in [kind for kind, _ in words(path, store, gateway)]
    converse(path, gateway)
    if keyless:
        assert words(path, store, gateway)[-3:] == [(STORED, ""), (GAP, KEYS_LOST), (STORED, "")]
    else:
        assert sectors.ORPHAN not in states(store, gateway)
        assert {kind for kind, _ in words(path, store, gateway)} == {STORED}


def test_every_class_has_an_epoch_of_its_own(path, store, gateway):
    converse(path, gateway)
    lose_keys(gateway, None)
    for cls in range(3):
        gateway.fill(gateway.journal.newest(cls)[0] + 1, cls)
    converse(path, gateway)
    lose_keys(gateway, 1)
    gateway.fill(gateway.journal.newest(1)[0] + 1, 1)
    converse(path, gateway)
    found = sorted(told(store, "key-epoch"))
    assert [text[-1] for _, _, text in found] == ["1", "1", "2", "1"]
    assert [cls for cls, _, _ in found] == [0, 1, 1, 2]
    for cls in range(3):
        assert sectors.BROKEN not in states(store, gateway, cls)
        assert sectors.WHOLE not in states(store, gateway, cls)


def test_epoch_that_nobody_began_fits_no_seal(gateway):
    """Whoever has the uplink key but no seed can claim an epoch and never close a sector."""
    table = Table(gateway)
    data = bytearray(gateway.sector(0, 1))
    old = layout.parse_header(data)
    claim = (old.cls, old.gateway, old.log_id, 1, 5, 1, old.table, old.boot, 0, 0, 0)
    data[: layout.HEADER_SIZE] = layout.Header(*claim).pack(old.random)
    for at in range(0, layout.SECTOR_SIZE, 512):
        table.take(gateway.run(0, 1, at, bytes(data[at : at + 512])))
    assert table.ingest.sector(place(gateway, 1)).state == sectors.BROKEN
    assert table.ingest.counters["seal_mismatch"] == 1
    assert not table.rows.get("observations")


def test_broken_sector_is_held_and_not_offered_again(path, store, gateway):
    """A bit that flipped before the seal: what the site has and what was sealed differ."""
    flipped = bytearray(gateway.sector(0, 1))
    flipped[700] ^= 4
    end = layout.parse_seal(flipped)[0]
    at = gateway.journal.pool.find(0, 1) * layout.SECTOR_SIZE
    gateway.flash.data[at : at + layout.SECTOR_SIZE] = flipped
    converse(path, gateway)
    assert states(store, gateway)[:3] == [sectors.PROVEN, sectors.BROKEN, sectors.OPEN]
    assert gateway.sender.has(0, 1)
    assert gateway.sender.in_flight == 0
    assert path.intake.ingest.counters["seal_mismatch"] == 1
    assert [line for line in path.ward.story if "seal mismatch" in line["text"]]
    assert end < layout.SEAL_AT
    # The next session begins with the site's word: nothing of it is sent again.
    gateway.connect()
    for payload in path.send(gateway.heartbeat(ask=True)):
        gateway.take(payload)
    assert gateway.sender.has(0, 1)
    assert list(gateway.next_runs()) == []


def test_what_is_broken_or_an_orphan_goes_as_an_entry(gateway):
    """The map is believed without a digest, so only proven sectors stand in it."""

    class Beat:
        gateway, log, heads = b"g" * 8, b"l" * 8, {0: (0, 5, 10)}

    known = [
        (0, 4096, sectors.PROVEN),
        (1, 4096, sectors.BROKEN),
        (2, 300, sectors.ORPHAN),
        (3, 4096, sectors.WHOLE),
        (4, 4096, sectors.PROVEN),
        (5, 10, sectors.OPEN),
    ]
    ((stream, _, _),) = surveyed(Beat)
    maps, places = survey(Beat, {stream: known})
    assert maps == [(0, 1, 5, b"\x08")]
    assert [found.sector for found in places] == [5, 3, 2, 1]


def test_seal_that_settles_a_sector_reaches_the_store(path, store, gateway):
    runs = gateway.sector_runs(0, 0)
    end = layout.parse_seal(gateway.sector(0, 0))[0]
    forged = bytes(layout.pack_seal(end, b"\x55" * 16))
    path.send(*runs[:-1], gateway.run(0, 0, layout.SEAL_AT, forged))
    assert states(store, gateway) == [sectors.BROKEN]
    path.send(runs[-1])
    where = place(gateway, 0)
    assert store.load([where])[where][:2] == (gateway.sector(0, 0), sectors.PROVEN)
    assert store.count("pieces") == 0
