"""Data change their tier by age, and are read wherever they are."""

import io
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from tests.support.archive import DAY_MS, content
from tests.support.hub import converse, place
from vitalkeep.archive import rows
from vitalkeep.archive import tiers as module
from vitalkeep.archive.bucket import BucketError
from vitalkeep.archive.findings import Scope
from vitalkeep.archive.manifest import FULL
from vitalkeep.archive.settings import ArchiveSettings
from vitalkeep.archive.shelf import Shelf, ShelfError
from vitalkeep.archive.tiers import Tiers
from vitalkeep.archive.verify import Verification
from vitalkeep.hub import sectors
from vitalkeep.hub.store import tables


@pytest.fixture
def bench(bench):
    bench.fill(4)
    return bench


def tiers(bench, **changes):
    settings = ArchiveSettings(**changes)
    return Tiers(
        bench.store, bench.bucket, bench.keys, bench.vault.site_id, settings, bench.now_ms
    )


def cool(bench):
    bench.ahead_ms = 91 * DAY_MS
    return tiers(bench).run(0)


def whole(bench):
    """Return the observations that the store has without any archive."""
    rows = bench.store.observations(bench.gateway.id, 0, 10_000)
    return [{k: v for k, v in row.items() if k != "stored_ms"} for row in rows]


def seen(bench):
    shelf = Shelf(bench.store, bench.keys, bench.bucket)
    rows = shelf.observations(bench.gateway.id, 0, 10_000)
    return [{k: v for k, v in row.items() if k != "stored_ms"} for row in rows]


def test_what_is_young_stays_where_it_is(bench):
    before = whole(bench)
    moved = tiers(bench).run(0)
    assert (moved.warm, moved.cold) == (0, 0)
    assert whole(bench) == before


def test_rows_of_a_week_are_compressed_and_read_as_before(bench):
    before = whole(bench)
    bench.ahead_ms = 8 * DAY_MS
    moved = tiers(bench).run(0)
    # The last proven one stays: the write path asks for it when the next seal comes.
    assert (moved.warm, moved.cold) == (3, 0)
    assert len(whole(bench)) < len(before) / 2
    assert seen(bench) == before
    assert tiers(bench).run(0).warm == 0
    assert bench.store.tier_sizes()["warm_bytes"] > 0


def test_old_sectors_leave_the_database_and_are_read_as_before(bench):
    before, bytes_before = whole(bench), content(bench.store, bench.gateway.id)
    assert cool(bench).cold == 3
    assert seen(bench) == before
    shelf = Shelf(bench.store, bench.keys, bench.bucket)
    cold = 0
    for where, (data, state) in bytes_before.items():
        stored = bench.store.read_back([where])[where]
        cold += stored.cold is not None
        assert shelf.sector(where)[:2] == (data, state)
    assert cold == 3
    assert bench.store.tier_sizes()["cold_sectors"] == 3


def test_gateway_still_has_the_word_of_its_site_for_what_is_cold(bench, vault):
    """It is offered nothing again, and the digest that it is told is that of its own flash."""
    cool(bench)
    stream = place(bench.gateway, 0)[:3]
    found = bench.store.states(stream, 0, 3)
    assert [state for _, _, state in found] == [sectors.PROVEN] * 4
    bench.path.intake.ingest.forget()
    bench.gateway.connect()
    converse(bench.path, bench.gateway)
    assert bench.path.intake.ingest.counters["cold"] == 0
    # A run that comes all the same is answered with a receipt, and changes nothing.
    bench.path.intake.ingest.forget()
    runs = bench.gateway.sector_runs(0, 1)
    receipts = [bench.gateway.take(payload) for payload in bench.path.send(*runs)]
    entries = {entry[:3] for receipt in receipts for entry in receipt.entries}
    assert entries == {(0, 1, 4096)}
    assert bench.gateway.sender.mismatches == 0
    assert bench.path.intake.ingest.counters["cold"] == len(runs)


def test_log_goes_on_behind_a_cold_sector(bench):
    cool(bench)
    bench.path.intake.ingest.forget()
    bench.fill(6)
    found = bench.store.states(place(bench.gateway, 0)[:3], 0, 9)
    assert [state for _, _, state in found] == [sectors.PROVEN] * 6 + [sectors.OPEN]


@pytest.fixture
def uptime(monkeypatch):
    """Return how long the hub runs, in `s`, which the test says."""
    found = SimpleNamespace(s=0.0)
    monkeypatch.setattr(module, "elapsed_s", lambda: found.s)
    return found


def run_for(mover, uptime, hours):
    """Return how many sectors got (warm, cold) meanwhile."""
    warm = cold = 0
    for _ in range(hours):
        moved = mover.run(0)
        warm, cold = warm + moved.warm, cold + moved.cold
        uptime.s += 3600
    return warm, cold


def test_clock_that_is_far_ahead_for_a_while_makes_nothing_old(bench, uptime):
    mover = tiers(bench)
    assert run_for(mover, uptime, 1) == (0, 0)
    for _ in range(3):
        bench.ahead_ms = 400 * DAY_MS
        assert run_for(mover, uptime, 23) == (0, 0)
        bench.ahead_ms = 0
        assert run_for(mover, uptime, 1) == (0, 0)
    bench.ahead_ms = 91 * DAY_MS
    assert run_for(mover, uptime, 23) == (0, 0)
    assert run_for(mover, uptime, 1) == (3, 3)


def test_what_gets_old_after_a_clock_was_ahead_is_moved(bench, uptime):
    bench.ahead_ms = 400 * DAY_MS
    mover = tiers(bench)
    assert run_for(mover, uptime, 1) == (3, 3)
    bench.ahead_ms = 0
    assert run_for(mover, uptime, 1) == (0, 0)
    bench.fill(8)
    bench.ahead_ms = 8 * DAY_MS
    assert run_for(mover, uptime, 25) == (4, 0)


def test_nothing_leaves_when_the_storage_does_not_give_back_what_it_took(bench, monkeypatch):
    before = content(bench.store, bench.gateway.id)
    real = bench.bucket.get
    monkeypatch.setattr(bench.bucket, "get", lambda *a: real(*a)[:-1] + b"?")
    with pytest.raises(BucketError):
        cool(bench)
    assert content(bench.store, bench.gateway.id) == before


def test_nothing_that_could_be_read_is_in_the_bucket(bench):
    cool(bench)
    bench.backups.run(0, FULL)
    for name in bench.bucket.names():
        data = bench.bucket.get(name)
        for word in (b"SpO2", b"vent", b"draeger", b"Bed 1", b"PAR1", b"mmHg"):
            assert word not in data, (name, word)


def test_parquet_beside_a_cold_pack_is_its_gateways_own(bench):
    parquet = pytest.importorskip("pyarrow.parquet")
    cool(bench)
    (name,) = [name for name in bench.bucket.names("cold") if name.endswith(".rows")]
    pack = name.removesuffix(".rows") + ".pack"
    found = rows.read(pack, bench.bucket.get(name), bench.gateway.id, bench.keys)
    table = parquet.read_table(io.BytesIO(found)).to_pylist()
    wanted = sum(len(bench.store.rows_of(place(bench.gateway, n))) for n in range(3))
    assert wanted == 0  # the database has none of them any more
    assert {row["sector"] for row in table} == {0, 1, 2}
    changed = bytearray(bench.bucket.get(name))
    changed[-1] ^= 1
    with pytest.raises(rows.PackError):
        rows.read(pack, bytes(changed), bench.gateway.id, bench.keys)
    with pytest.raises(rows.PackError):
        rows.read(pack.replace(".pack", "0.pack"), bytes(changed), bench.gateway.id, bench.keys)


def test_cold_pack_that_is_gone_is_named_by_everyone_who_asks(bench, tmp_path):
    cool(bench)
    (pack,) = [name for name in bench.bucket.names("cold") if name.endswith(".pack")]
    (tmp_path / "bucket" / pack).unlink()
    shelf = Shelf(bench.store, bench.keys, bench.bucket)
    with pytest.raises(ShelfError) as raised:
        shelf.sector(place(bench.gateway, 1))
    assert raised.value.code == "missing"
    report = Verification(bench.store, bench.keys, shelf, Scope()).run()
    assert report.wrong["unreadable"] == 3
    row = bench.backups.run(0, FULL)
    assert not row["ok"]
    assert row["why"].startswith("missing: cold/")


def test_warm_and_cold_are_proven_where_they_are(bench):
    for days in (8, 91):
        bench.ahead_ms = days * DAY_MS
        tiers(bench).run(0)
        shelf = Shelf(bench.store, bench.keys, bench.bucket)
        report = Verification(bench.store, bench.keys, shelf, Scope()).run()
        assert report.good, report.findings
        assert report.states == {"verified": 4, "open": 3}


def test_sector_that_is_not_what_was_sealed_stays_with_its_rows(bench):
    before = whole(bench)
    data = bytearray(bench.gateway.sector(0, 1))
    data[700] ^= 4
    where = sa.and_(tables.sectors.c.sector == 1, tables.sectors.c.cls == 0)
    with bench.store.writing() as connection:
        connection.execute(sa.update(tables.sectors).where(where).values(data=bytes(data)))
    bench.ahead_ms = 91 * DAY_MS
    moved = tiers(bench).run(0)
    assert (moved.cold, moved.spoilt) == (2, 1)
    assert seen(bench) == before
    assert bench.store.read_back([place(bench.gateway, 1)])[place(bench.gateway, 1)].data == data
