"""Nothing is receipted before the commit returned; everything is, once it did."""

import asyncio
from datetime import datetime, timezone

import pytest

from bridge.core.journal import layout
from tests.support.hub import FakeGateway, WritePath, converse
from vitalkeep.hub import sectors
from vitalkeep.hub.clocks import best_offsets
from vitalkeep.hub.consume import Message
from vitalkeep.hub.sectors import Place
from vitalkeep.hub.store import Store
from vitalkeep.keys.vault import Vault


@pytest.fixture
def gateway():
    return FakeGateway()


def test_gateway_and_site_agree_on_everything(path, store, gateway):
    gateway.fill(4)
    converse(path, gateway)
    assert gateway.sender.mismatches == 0
    assert gateway.sender.in_flight == 0
    for cls in range(3):
        newest, end = gateway.journal.newest(cls)
        stream = (gateway.id, gateway.log_id, cls)
        assert store.states(stream, 0, 99) == [
            *((number, 4096, sectors.PROVEN) for number in range(newest)),
            (newest, end, sectors.OPEN),
        ]
    assert gateway.whole == [(0, number) for number in range(4)]


def test_heads_are_stored_again_after_a_clock_that_was_far_ahead(
    path, store, gateway, monkeypatch
):
    stored = []
    for at_ms in (1_000_000, 9_000_000_000, 1_020_000, 1_025_000):
        monkeypatch.setattr("vitalkeep.hub.intake.utc_now_ms", lambda at_ms=at_ms: at_ms)
        path.send(gateway.heartbeat())
        stored.append(store.heads()[0]["at_ms"])
    assert stored == [1_000_000, 9_000_000_000, 1_020_000, 1_020_000]


def test_live_comes_first_and_backlog_proves_it_later(path, store, gateway):
    gateway.fill(2)
    converse(path, gateway)
    gateway.fill(6)
    gateway.connect()
    converse(path, gateway)
    states = store.states((gateway.id, gateway.log_id, 0), 0, 99)
    assert [state for _, _, state in states] == [sectors.PROVEN] * 6 + [sectors.OPEN]


def test_everything_is_receipted_first_and_decoded_then(path, store, gateway):
    gateway.fill(2)
    path.send(gateway.heartbeat())
    runs = [run for number in range(3) for run in gateway.sector_runs(0, number)]
    messages = [Message(*run) for run in runs]
    receipts = [gateway.take(answer) for _, answer in asyncio.run(path.intake.handle(messages))]
    assert {entry[1] for receipt in receipts for entry in receipt.entries} == {0, 1, 2}
    assert store.count("observations") == 0
    asyncio.run(path.decoding.catch_up())
    assert {row["sector"] for row in store.observations(gateway.id)} == {0, 1, 2}


def test_power_cut_goes_on_in_the_same_sector(path, store, gateway):
    gateway.observe()
    converse(path, gateway)
    for _ in range(3):
        gateway.boot()
        gateway.clock.now_ms = 5000
        gateway.observe(p1=91)
        converse(path, gateway)
    boots = {row["boot"] for row in store.observations(gateway.id)}
    assert len(boots) == 4
    assert gateway.sender.mismatches == 0


def test_no_nonce_no_receipt(path, gateway):
    gateway.observe()
    assert path.send(*gateway.sector_runs(0, 0)) == []
    receipt = gateway.take(path.send(gateway.heartbeat(ask=True))[0])
    assert [found[:3] for found in receipt.entries if found[0] == 0] == [
        (0, 0, gateway.journal.newest(0)[1])
    ]


def test_session_with_a_hub_that_is_gone_is_told_what_is_here_unasked(path, gateway):
    gateway.observe()
    path.send(*gateway.sector_runs(0, 0))
    gateway.clock.now_ms = 4321
    receipt = gateway.take(path.send(gateway.heartbeat())[0])
    assert receipt.have
    assert receipt.echo_ms == 0
    assert [found[:3] for found in receipt.entries if found[0] == 0] == [
        (0, 0, gateway.journal.newest(0)[1])
    ]
    assert not gateway.take(path.send(gateway.heartbeat())[0]).have


def test_every_heartbeat_is_answered_with_the_time(path, gateway):
    path.send(gateway.heartbeat(ask=True))
    gateway.clock.now_ms = 4321
    receipt = gateway.take(path.send(gateway.heartbeat())[0])
    assert receipt.echo_ms == 4321
    assert receipt.utc_ms > 1_700_000_000_000
    assert not receipt.have
    assert receipt.epoch == path.intake.answers.epoch


def test_older_heartbeat_is_not_believed(path, gateway):
    gateway.clock.now_ms = 1000
    old = gateway.heartbeat()
    gateway.connect()
    gateway.clock.now_ms = 2000
    path.send(gateway.heartbeat())
    assert path.send(old) == []
    before = gateway.heartbeat()
    gateway.boot()
    path.send(gateway.heartbeat())
    assert path.send(before) == []
    assert path.intake.ingest.counters["heartbeat_late"] == 2


def test_have_names_partly_stored_sectors_newest_first(path, gateway):
    gateway.fill(5)
    path.send(gateway.heartbeat())
    for number in (0, 1, 3):
        path.send(*gateway.sector_runs(0, number)[: 2 if number == 1 else 99])
    receipt = gateway.take(path.send(gateway.heartbeat(ask=True))[0])
    (cls, first, count, bits), *_ = receipt.maps
    assert (cls, first, count, bits[0]) == (0, 1, 5, 0)
    assert gateway.sender.has(0, 0)
    # Sector 3 is whole; it is not proven, so its digest speaks for it.
    assert [found[:3] for found in receipt.entries] == [(0, 3, 4096), (0, 1, 1024)]
    assert gateway.sender.has(0, 3)


def test_many_sectors_take_several_receipts(path, gateway):
    gateway.fill(14)
    path.send(gateway.heartbeat())
    runs = [run for number in range(14) for run in gateway.sector_runs(0, number)]
    receipts = [gateway.take(payload) for payload in path.send(*runs)]
    assert [len(receipt.entries) for receipt in receipts] == [12, 2]


def test_hub_restart_loses_nothing(path, store, vault, gateway):

    gateway.fill(1)
    converse(path, gateway)
    other = WritePath(vault, store)
    gateway.fill(2)
    gateway.connect()
    converse(other, gateway)
    assert gateway.sender.mismatches == 0
    states = store.states((gateway.id, gateway.log_id, 0), 0, 99)
    assert [state for _, _, state in states] == [sectors.PROVEN, sectors.PROVEN, sectors.OPEN]
    other.intake.close()


def test_two_hubs_on_one_gateway_agree(path, store, vault, gateway):
    """The length is compared in the commit: whoever is behind loads again and applies again."""

    other = WritePath(vault, store)
    gateway.fill(1)
    for hub in (path, other):
        hub.send(gateway.heartbeat())
    for index, run in enumerate(gateway.sector_runs(0, 0, 300)):
        hubs = (path, other) if index % 2 else (other, path)
        for hub in hubs:
            for payload in hub.send(run):
                gateway.take(payload)
    assert gateway.sender.mismatches == 0
    where = Place(gateway.id, gateway.log_id, 0, 0)
    assert store.load([where])[where].data == gateway.sector(0, 0)
    assert path.intake.ingest.counters["stale"] + other.intake.ingest.counters["stale"] > 0
    other.intake.close()


def test_clock_that_comes_later_dates_what_was_before(path, store, gateway):
    gateway.clock.now_ms = 10_000
    gateway.observe()
    gateway.clock.now_ms = 60_000
    gateway.set_clock(1_800_000_000_000)
    path.send(gateway.heartbeat(), *gateway.sector_runs(0, 0))
    offsets = best_offsets(store.clocks(gateway.id))
    row = store.observations(gateway.id)[0]
    utc_ms = row["mono_ms"] + offsets[row["boot"]][0]
    assert utc_ms == 1_800_000_000_000 - 50_000


def test_full_disk_stops_receipts_says_why_and_resumes(tmp_path, vault, gateway):

    store = Store(f"sqlite:///{tmp_path / 'full.db'}")
    store.open()
    path = WritePath(vault, store)
    gateway.fill(20 // 4)
    path.send(gateway.heartbeat())

    def limit(pages):
        with store.writer.connect() as connection:
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    with store.writer.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
    limit(pages)
    runs = [run for number in range(5) for run in gateway.sector_runs(0, number)]

    async def story():
        sending = asyncio.create_task(path.send_async(*runs))
        while path.intake.receipting:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)
        assert not sending.done()
        assert "full" in path.intake.reason
        assert store.count("observations") == 0
        limit(1_000_000)
        return await asyncio.wait_for(sending, 10)

    receipts = [gateway.take(payload) for _, payload in asyncio.run(story())]
    assert path.intake.receipting
    assert path.intake.reason == ""
    assert sum(len(receipt.entries) for receipt in receipts) == 5
    states = store.states((gateway.id, gateway.log_id, 0), 0, 99)
    assert states == [(number, layout.SECTOR_SIZE, sectors.PROVEN) for number in range(5)]
    texts = [line["text"] for line in path.ward.story]
    assert any("full" in text for text in texts)
    assert "Receipting again" in texts
    path.intake.close()
    store.close()


def test_forged_messages_leave_the_store_empty(path, store, gateway):
    gateway.observe()
    topic, payload = gateway.sector_runs(0, 0)[0]
    other = FakeGateway(b"stranger")
    messages = [(topic, payload[:-1] + b"\x00"), other.heartbeat(), (topic, b"")]
    assert asyncio.run(path.intake.handle([Message(*m) for m in messages])) == []
    assert store.count("sectors") == 0
    assert path.intake.ingest.counters["unknown_gateway"] == 1


def test_revoked_gateway_is_refused_and_what_it_sealed_before_is_not(path, vault, store, gateway):
    gateway.fill(2)
    converse(path, gateway)
    before = store.count("observations")
    vault.revoke(gateway.id, datetime(2026, 3, 14, tzinfo=timezone.utc))
    path.intake.set_vault(Vault.open(vault.folder))
    gateway.fill(3)
    assert path.send(gateway.heartbeat(ask=True), *gateway.sector_runs(0, 2)) == []
    assert store.count("observations") == before
    assert path.intake.ingest.counters["revoked_gateway"] >= 2
    assert "Revoked" in path.ward.story[-1]["text"]
    # Its keys are there, or nobody could read its past.
    place = Place(gateway.id, gateway.log_id, 0, 1)
    assert store.load([place])[place].state == sectors.PROVEN
    assert Vault.open(vault.folder).gateways()[0].root == vault.gateways()[0].root


@pytest.mark.postgres
def test_cut_database_connection_is_made_again(postgres, vault, gateway):
    store, killer = Store(postgres), Store(postgres)
    store.open()
    path = WritePath(vault, store)
    path.send(gateway.heartbeat())
    gateway.observe()
    with killer.readers.begin() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
    (receipt,) = [gateway.take(p) for p in path.send(*gateway.sector_runs(0, 0))]
    assert receipt.entries[0][2] == gateway.journal.newest(0)[1]
    assert path.intake.ingest.counters["store_refusals"] >= 1
    assert path.intake.receipting
    path.intake.close()
    for made in (store, killer):
        made.close()
