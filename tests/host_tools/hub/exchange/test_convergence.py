"""Real sectors, real checks: whatever sites got of a log, exchange gives each all of it.

The stores are in memory; what goes between them is what hubs send, verified as hubs do.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.core.journal.layout import SECTOR_SIZE
from tests.support.hub import FakeGateway, Table
from vitalkeep.hub.batch import Batch, Run, Sealed
from vitalkeep.hub.exchange.plan import Holding, lack, wants
from vitalkeep.hub.ingest import Ingest
from vitalkeep.hub.sectors import BROKEN, OPEN, ORPHAN, PROVEN, WHOLE, Stored
from vitalkeep.hub.tags import parse_tags, payloads
from vitalkeep.keys.cipher import Aes256

TOPIC = "vk/%s/log/A"


class Site:
    """A hub's ingest on a store in memory: {place: bytes, state}, and the runs' tags."""

    def __init__(self, gateway):
        self.ingest = Ingest([gateway.vault_entry()], Aes256)
        self.gateway = gateway
        self.stored = {}
        self.tags = {}
        self.rows = {}
        self.refused = []

    def commit(self, runs=(), sealed=()):
        ingest = self.ingest
        places = ingest.missing([item.place for item in (*runs, *sealed)])
        for place in places:
            ingest.load(place, self.stored.get(place))
        batch = Batch(1000)
        for run in runs:
            ingest.take(run, batch)
        for whole in sealed:
            ingest.take_sealed(whole, batch)
        ingest.finish(batch)
        self.refused += batch.refused
        for place in batch.replaced:
            self.tags.pop(place, None)
        for change in batch.changes:
            known = self.stored.get(change.place, Stored(b"", OPEN))
            assert len(known.data) == change.old
            data = change.whole or known.data + change.piece
            decoded = known.decoded if change.decoded is None else change.decoded
            self.stored[change.place] = Stored(data, change.state, decoded, change.day)
            self.tags[change.place] = self.tags.get(change.place, b"") + change.tags
        for table, rows in batch.rows.items():
            self.rows.setdefault(table, []).extend(rows)
        return batch

    def hear(self, *messages):
        """Take messages of a gateway."""
        found = [self.ingest.payloads.parse(*message) for message in messages]
        return self.commit([run for run in found if isinstance(run, Run)])

    def restart(self):
        self.ingest.forget()

    def holding(self):
        made = Holding()
        for place, found in self.stored.items():
            made.set(place.sector, len(found.data), found.state)
        return made

    def give(self, want):
        """Return (payloads of runs, sealed sectors) that answer a want."""
        known = self.stored[want.place]
        before = self.stored.get(want.place._replace(sector=want.place.sector - 1))
        if known.state == PROVEN:
            tag = before.data[4079:4095] if before and len(before.data) == 4096 else None
            return [], [Sealed(want.place, known.data, tag)]
        spans = list(parse_tags(self.tags[want.place]))
        return payloads(want.place, known.data, spans, want.length) or [], []

    def pull(self, other, count=64, cut=64):
        stream = (self.gateway.id, self.gateway.log_id, 0)
        asked = wants({stream: lack(self.holding(), other.holding())}, (0,), None, count)
        before = dict(self.stored)
        for want in asked[:cut]:
            runs, sealed = other.give(want)
            topic = TOPIC % self.gateway.id.hex()
            found = [self.ingest.payloads.parse(topic, payload) for payload in runs]
            assert all(isinstance(run, Run) for run in found)
            self.commit(found, sealed)
        for place, known in before.items():
            assert self.stored[place].data.startswith(known.data)
        return before != self.stored


@pytest.fixture(scope="module")
def gateway():
    made = FakeGateway(sectors=24)
    made.fill(3, step_ms=3000)
    made.observe(0)
    return made


@pytest.fixture(scope="module")
def runs(gateway):
    return [run for number in range(4) for run in gateway.sector_runs(0, number, size=700)]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_sites_end_with_the_union_of_what_they_got(gateway, runs, data):
    count = data.draw(st.integers(2, 3))
    sites = [Site(gateway) for _ in range(count)]
    at = st.integers(0, count - 1)
    got = [set() for _ in sites]
    for index in data.draw(st.lists(st.integers(0, len(runs) - 1), max_size=60)):
        # In any order, any part of it, more than once: as links and reconnects have it.
        where = data.draw(at)
        sites[where].hear(runs[index])
        got[where].add(index)
        if data.draw(st.integers(0, 4)) == 0:
            one, two = data.draw(at), data.draw(at)
            sites[one].pull(sites[two], data.draw(st.integers(1, 4)), data.draw(st.integers(0, 3)))
        if data.draw(st.integers(0, 9)) == 0:
            sites[where].restart()
    longest = {}
    for site in sites:
        for place, found in site.stored.items():
            if len(found.data) > len(longest.get(place, b"")):
                longest[place] = found.data
    moved = True
    while moved:
        moved = False
        for index in range(count):
            moved = sites[index].pull(sites[(index + 1) % count]) or moved
    union = {place: found.data for place, found in sites[0].stored.items()}
    for site in sites:
        # What waited behind a hole may make it more than any had, and never less.
        assert {place: found.data for place, found in site.stored.items()} == union
        assert all(union[place].startswith(data) for place, data in longest.items())
        assert not site.refused
        for place, found in site.stored.items():
            own = gateway.sector(0, place.sector)
            assert own.startswith(found.data)
    # Whoever has the whole log up to a sector has proved it.
    for site in sites:
        for place, found in site.stored.items():
            before = union.get(place._replace(sector=place.sector - 1), b"")
            if len(found.data) == 4096 and (place.sector == 0 or len(before) == 4096):
                assert found.state == PROVEN


def place(gateway, number):
    from vitalkeep.hub.sectors import Place

    return Place(gateway.id, gateway.log_id, 0, number)


def sealed(gateway, number, previous=True):
    tag = gateway.sector(0, number - 1)[4079:4095] if number and previous else None
    return Sealed(place(gateway, number), gateway.sector(0, number), tag)


def test_sealed_sector_needs_the_tag_before_it_from_somebody(gateway):
    site = Site(gateway)
    site.commit(sealed=[sealed(gateway, 2, previous=False)])
    assert site.refused == [(place(gateway, 2), "no_tag")]
    site.commit(sealed=[sealed(gateway, 2)])
    assert site.stored[place(gateway, 2)].state == WHOLE
    site.commit(sealed=[sealed(gateway, 0), sealed(gateway, 1, previous=False)])
    assert {found.state for found in site.stored.values()} == {PROVEN}
    assert {found.decoded for found in site.stored.values()} == {0}  # that has time


def test_every_changed_byte_of_a_sealed_sector_is_refused(gateway):
    data = gateway.sector(0, 0)
    for at in (0, 5, 20, 73, 74, 500, 2000, 4076, 4080, 4095):
        site = Site(gateway)
        forged = data[:at] + bytes((data[at] ^ 0x40,)) + data[at + 1 :]
        site.commit(sealed=[Sealed(place(gateway, 0), forged, None)])
        assert not site.stored
        assert len(site.refused) == 1


def test_seal_settles_what_contradicts_it_and_keeps_both(gateway):
    """Whoever stole an uplink key can tag what he likes, and cannot seal it."""
    site = Site(gateway)
    data = gateway.sector(0, 0)
    site.hear(gateway.run(0, 0, 0, data[:500]), gateway.run(0, 0, 500, bytes(100)))
    site.restart()
    site.commit(sealed=[sealed(gateway, 0)])
    assert site.stored[place(gateway, 0)][:3] == (data, PROVEN, SECTOR_SIZE)
    assert site.ingest.counters["superseded"] == 1
    (row,) = site.rows["quarantine"]
    assert row["data"] == data[:500] + bytes(100)
    # All of it is decoded anew.
    whole = Table(gateway).take(*gateway.sector_runs(0, 0))
    key = [(row["offset"], row["idx"]) for row in whole.rows["observations"]]
    again = [(row["offset"], row["idx"]) for row in site.rows["observations"]]
    assert again[-len(key) :] == key


def test_broken_sector_takes_the_seal_that_fits(gateway):
    site = Site(gateway)
    body = gateway.sector_runs(0, 0)[:-1]
    site.hear(*body, gateway.run(0, 0, 4076, _other_seal(gateway.sector(0, 0))))
    assert site.stored[place(gateway, 0)].state == BROKEN
    assert lack(site.holding(), Holding()).sectors == 0
    site.commit(sealed=[sealed(gateway, 0)])
    assert site.stored[place(gateway, 0)].state == PROVEN


def _other_seal(data):
    from bridge.core.journal import layout

    end, tag = layout.parse_seal(data)
    return bytes(layout.pack_seal(end, bytes(16) if tag != bytes(16) else b"\x01" * 16))


def test_two_prefixes_that_differ_are_both_kept_and_told(gateway):
    one, two = Site(gateway), Site(gateway)
    data = gateway.sector(0, 3)
    half = len(data) // 2
    one.hear(gateway.run(0, 3, 0, data))
    two.hear(gateway.run(0, 3, 0, data[:half]), gateway.run(0, 3, half, bytes(5)))
    before = two.stored[place(gateway, 3)]
    want = wants({place(gateway, 3)[:3]: lack(two.holding(), one.holding())}, (0,), None, 1)[0]
    # The digest of its prefix does not fit, so it is given all of them.
    runs = payloads(want.place, data, list(parse_tags(one.tags[want.place])), 0)
    batch = two.hear(*((TOPIC % gateway.id.hex(), payload) for payload in runs))
    assert two.stored[place(gateway, 3)] == before
    assert batch.alarms
    assert two.rows["quarantine"][0]["reason"] == "conflict"


def test_silent_gateways_sector_is_closed_and_opened_again_by_its_runs(gateway):
    site = Site(gateway)
    body = gateway.sector_runs(0, 0)
    site.hear(*body[:3])
    batch = Batch(1000)
    site.ingest.close_silent(place(gateway, 0), batch)
    site.ingest.finish(batch)
    assert batch.changes[0].state == ORPHAN
    assert batch.rows["events"][0]["name"] == "orphan"
    site.hear(*body[3:])
    assert site.stored[place(gateway, 0)].state == PROVEN


def test_prefix_without_its_tags_is_given_to_nobody(gateway):
    data = gateway.sector(0, 3)
    assert payloads(place(gateway, 3), data, [], 0) is None
