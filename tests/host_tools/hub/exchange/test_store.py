"""What the exchange asks of the store, on both engines."""

import asyncio
import contextlib
import json

import pytest
import sqlalchemy as sa

from bridge.core import wire
from bridge.core.journal import layout
from tests.support.hub import FakeGateway, place
from vitalkeep.hub.batch import Sealed
from vitalkeep.hub.late import Decoders
from vitalkeep.hub.sectors import OPEN, ORPHAN, PROVEN
from vitalkeep.hub.store import utc_now_ms
from vitalkeep.hub.tags import payloads

DAY = "2026-11-24"


@contextlib.contextmanager
def listening(engine, listener):
    sa.event.listen(engine, "before_cursor_execute", listener)
    try:
        yield
    finally:
        sa.event.remove(engine, "before_cursor_execute", listener)


def filled(path):
    gateway = FakeGateway()
    gateway.fill(3)
    for number in (0, 1, 3):
        path.send(*gateway.sector_runs(0, number, 300))
    path.send(gateway.heartbeat())
    return gateway


def test_store_says_what_it_has_and_with_which_tags(path, store):
    gateway = filled(path)
    stream = (gateway.id, gateway.log_id, 0)
    live = gateway.sector(0, 3)
    assert store.sealed_ranges() == [(stream, 0, 1)]
    assert store.unsealed() == [(place(gateway, 3), len(live), OPEN)]
    assert len(store.changed_since([gateway.id], 0)) == 3
    assert store.changed_since([gateway.id], 2**60) == []
    tags = [layout.parse_seal(gateway.sector(0, number))[1] for number in (0, 1)]
    assert store.seals(stream, 0, 9) == list(enumerate(tags))
    assert store.seals(stream, 0, 9, until_ms=1) == []
    # Of a sealed sector no tag is left; of an open one all, and they make its runs again.
    spans = store.tags_of([place(gateway, 0), place(gateway, 3)])
    assert spans[place(gateway, 0)] == []
    again = payloads(place(gateway, 3), live, spans[place(gateway, 3)], 0)
    assert again == [payload for _, payload in gateway.sector_runs(0, 3, 300)]
    found = store.read_back([place(gateway, 0), place(gateway, 2)])
    assert found[place(gateway, 0)][:2] == (gateway.sector(0, 0), PROVEN)
    assert found[place(gateway, 2)] is None


def test_whole_sector_without_proof_keeps_its_tags_until_it_is_proven(path, store):
    gateway = FakeGateway()
    gateway.fill(3)
    path.send(*gateway.sector_runs(0, 1, 300))
    where = place(gateway, 1)
    runs = [payload for _, payload in gateway.sector_runs(0, 1, 300)]
    assert payloads(where, gateway.sector(0, 1), store.tags_of([where])[where], 0) == runs
    path.send(*gateway.sector_runs(0, 0))
    assert store.tags_of([where])[where] == []


def other_story():
    """Return a gateway of the same keys that recorded something else, and an alarm."""
    gateway = FakeGateway()
    gateway.observe(0, device=1, p1=55)
    gateway.alarm("never rang")
    gateway.fill(2, step_ms=700)
    return gateway


@pytest.mark.parametrize("live", [True, False])
def test_all_that_was_decoded_of_wrong_bytes_goes_with_them(path, store, live):
    """Somebody with an uplink key tagged bytes that were never sealed."""
    gateway, wrong = FakeGateway(), other_story()
    gateway.fill(1)
    if not live:
        path.send(wrong.heartbeat())  # its newest sector is another one: this one has time
    path.send(*wrong.sector_runs(0, 0)[:-1])
    assert bool(store.count("observations")) == live
    # A process has what is there, and comes too late with it.
    tasks = asyncio.run(path.decoding._next(-1000))
    late = [Decoders().decode(task, utc_now_ms()) for task in tasks]
    assert late or live
    right = Sealed(place(gateway, 0), gateway.sector(0, 0), None)
    batch, _ = asyncio.run(path.intake.merge([], [right]))
    assert not batch.refused
    assert store.commit_late(late) == []
    seen = {(row["mono_ms"], row["device"]) for row in store.observations(gateway.id)}
    assert len(seen) == store.count("observations")
    assert min(seen) == (1000, "vent")
    assert {device for _, device in seen} == {"vent"}
    (last,) = store.latest()
    assert last["mono_ms"] == max(seen)[0]
    assert store.count("alarms") == 0
    assert store.untold(0, 9) == []
    (spans,) = store.spans(gateway.id, 0)
    assert list(json.loads(spans["spans"])) == ["vent"]
    assert store.undecoded(2**60, 9) == {}
    assert store.tags_of([right.place])[right.place] == []
    # Nothing of it is left over to be in the way of what comes next.
    path.send(*gateway.sector_runs(0, 1))
    assert store.sealed_ranges() == [(right.place[:3], 0, 0)]


def test_alarms_of_sealed_bytes_are_told_though_others_stood_in_their_place(path, store):
    gateway, wrong = FakeGateway(), FakeGateway()
    for one, text in ((gateway, "rang"), (wrong, "fake")):
        one.alarm(text)
        one.fill(1)
    path.send(*wrong.sector_runs(0, 0)[:-1])
    (notice,) = store.untold(0, 9)
    store.told([notice["id"]], 1, None)
    right = Sealed(place(gateway, 0), gateway.sector(0, 0), None)
    asyncio.run(path.intake.merge([], [right]))
    assert [notice["content"]["text"] for notice in store.untold(0, 9)] == ["rang"]


def test_copies_are_of_one_store_of_a_site(store):
    site, stream = b"site---2", (b"gateway1", b"logid---", 0)
    store.set_site(site, b"epoch--1", "hub-west")
    store.set_copies(site, {stream: [(0, 4), (6, 9)]})
    store.set_copies(site, {stream: [(0, 9)]})
    assert store.copies() == [(site, stream, 0, 9)]
    store.set_site(site, b"epoch--1", "hub-west")
    assert store.copies()
    store.set_site(site, b"epoch--2", "hub-west")
    assert store.copies() == []
    assert bytes(store.other_sites()[site]["epoch"]) == b"epoch--2"


def test_heartbeats_are_kept_as_they_came(path, store):
    gateway = filled(path)
    (row,) = store.heard_since(0, 9)
    fields = wire.parse_status(bytes(row["payload"]), gateway.uplink_key, gateway.id)
    assert fields["log"] == gateway.log_id.hex()
    assert store.heard_since(row["at_ms"] + 1, 9) == []
    for at_ms in (1, 2):
        heard = [{"gateway": gateway.id, "at_ms": at_ms, "payload": b"said"}]
        store.set_witnesses(b"site---2", heard)
    assert [row["at_ms"] for row in store.witnesses()] == [2]


def test_what_has_no_proof_is_found_without_a_look_at_years_of_sectors(store):
    if store.kind != "sqlite":
        pytest.skip("with so few rows PostgreSQL looks at all of them, and is right")
    plans = []

    def explain(connection, cursor, statement, parameters, context, many):
        if not statement.startswith("SELECT"):
            return
        other = connection.connection.driver_connection.cursor()
        plans.append(
            [row[3] for row in other.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
        )

    with listening(store.readers, explain):
        store.unsealed()
        store.silent(2**60)
    assert len(plans) == 2
    for plan in plans:
        assert any("sectors_unproven" in step for step in plan), plan


def test_silent_gateways_open_sectors_are_found_and_closed(path, store):
    gateway = FakeGateway()
    gateway.fill(1)
    path.send(*gateway.sector_runs(0, 1))
    assert store.silent(0) == []
    (found,) = store.silent(2**60)
    assert found == (place(gateway, 1), len(gateway.sector(0, 1)), OPEN)
    heard = [{"gateway": gateway.id, "at_ms": 2**61, "payload": b"said"}]
    store.set_witnesses(b"site---2", heard)
    assert store.silent(2**60) == []  # another site has heard of it
    asyncio.run(path.intake.close_orphans([place(gateway, 1)]))
    assert store.unsealed()[0][2] == ORPHAN
    assert store.recent("events", 0, 9)[0]["name"] == "orphan"


def test_statement_of_a_day_is_never_changed(store):
    site = b"site---1"
    store.set_day(site, DAY, b"one", [{"name": "hub-east"}])
    store.set_day(site, DAY, b"two", [{"name": "hub-evil"}])
    store.set_day(site, DAY, b"one", [{"name": "hub-east"}, {"name": "hub-west"}])
    (row,) = store.days(site)
    assert bytes(row["document"]) == b"one"
    assert [signature["name"] for signature in row["signatures"]] == ["hub-east", "hub-west"]
    assert store.days(b"site---2") == []
