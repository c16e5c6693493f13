"""Backups count when they were restored."""

import os
import signal

import pytest
import sqlalchemy as sa

from tests.host_tools.archive.test_bucket import S3_OPTIONS, s3_bucket
from tests.support.archive import DAY_MS, content
from vitalkeep.archive import bucket as module
from vitalkeep.archive.backup import due
from vitalkeep.archive.bucket import Bucket, BucketError
from vitalkeep.archive.findings import Scope
from vitalkeep.archive.manifest import FULL, INCREMENTAL
from vitalkeep.archive.restore import Restore
from vitalkeep.archive.settings import ArchiveSettings
from vitalkeep.archive.shelf import Shelf
from vitalkeep.archive.sources import ArchiveSource
from vitalkeep.archive.tiers import Tiers
from vitalkeep.archive.verify import Verification
from vitalkeep.hub.store import Store, tables


def test_full_backup_holds_every_sector_and_comes_back(bench, tmp_path):
    bench.fill(3)
    row = bench.backups.run(0, FULL)
    assert (row["ok"], row["why"], row["sectors"]) == (True, "", 4)
    other = Store(f"sqlite:///{tmp_path / 'other.db'}")
    other.open()
    source = ArchiveSource(bench.bucket, bench.keys)
    result = Restore(other, bench.vault.gateways(), bench.now_ms()).run(source)
    assert result.complete, result
    here = {p: found for p, found in content(bench.store, bench.gateway.id).items() if p.cls == 0}
    assert content(other, bench.gateway.id) == here
    other.close()


def test_incremental_has_what_is_new_and_no_more(bench):
    bench.fill(3)
    bench.backups.run(0, FULL)
    bench.fill(4)
    row = bench.backups.run(0, INCREMENTAL)
    assert (row["ok"], row["sectors"]) == (True, 2)
    row = bench.backups.run(0, INCREMENTAL)
    assert (row["ok"], row["sectors"]) == (True, 0)


def test_nothing_new_in_a_full_one_is_packed_twice(bench):
    bench.fill(3)
    bench.backups.run(0, FULL)
    packs = list(bench.bucket.names("backup"))
    assert bench.backups.run(0, FULL)["ok"]
    assert list(bench.bucket.names("backup")) == packs


def test_pack_that_is_gone_or_damaged_is_made_again_by_the_next_full_one(bench, tmp_path):
    bench.fill(2)
    bench.backups.run(0, FULL)
    (pack,) = (tmp_path / "bucket").rglob("*.pack")
    data = bytearray(pack.read_bytes())
    data[-100] ^= 1
    pack.write_bytes(data)
    row = bench.backups.run(0, FULL)
    assert not row["ok"]
    assert row["why"].startswith("damaged: backup/")
    assert bench.backups.run(0, FULL)["ok"]  # under another name, beside the damaged one
    assert len(list((tmp_path / "bucket").rglob("*.pack"))) == 2
    for found in (tmp_path / "bucket").rglob("*.pack"):
        found.unlink()
    assert bench.backups.run(0, FULL)["ok"]


def test_archive_that_is_away_is_not_taken_for_empty(bench, tmp_path):
    """A disk that is not mounted has no packs, and none is struck from the books for that."""
    bench.fill(2)
    bench.backups.run(0, FULL)
    (tmp_path / "bucket").rename(tmp_path / "unplugged")
    row = bench.backups.run(0, FULL)
    assert row["why"].startswith("missing: ")
    (tmp_path / "unplugged").rename(tmp_path / "bucket")
    packs = list(bench.bucket.names("backup"))
    assert bench.backups.run(0, FULL)["ok"]
    assert list(bench.bucket.names("backup")) == packs


@pytest.mark.parametrize("code", [module.FULL, module.DENIED, module.UNREACHABLE])
def test_storage_that_refuses_is_named_and_nothing_is_lost(bench, monkeypatch, code):
    bench.fill(2)
    before = content(bench.store, bench.gateway.id)

    def refuse(*_):
        raise BucketError(code, "what it said")

    monkeypatch.setattr(bench.bucket, "put", refuse)
    row = bench.backups.run(0, FULL)
    assert (row["ok"], row["why"]) == (False, f"{code}: what it said")
    assert content(bench.store, bench.gateway.id) == before
    monkeypatch.undo()
    assert bench.backups.run(0, FULL)["ok"]
    (bad, good) = reversed(bench.store.backups(0))
    assert (bad["ok"], good["ok"]) == (False, True)


@pytest.mark.s3
def test_s3_takes_backups_and_cold_sectors_and_gives_them_back(bench, s3_server, tmp_path):
    bench.fill(4)
    bench.bucket = s3_bucket(s3_server, f"ward-{tmp_path.name}", lock=True, lock_days=3)
    before = content(bench.store, bench.gateway.id)
    assert bench.backups.run(0, FULL)["ok"]
    bench.ahead_ms = 91 * DAY_MS
    site = bench.vault.site_id
    tiers = Tiers(bench.store, bench.bucket, bench.keys, site, ArchiveSettings(), bench.now_ms)
    assert tiers.run(0).cold == 3
    shelf = Shelf(bench.store, bench.keys, bench.bucket)
    assert {place: shelf.sector(place)[:2] for place in before} == before
    report = Verification(bench.store, bench.keys, shelf, Scope(deep=True)).run()
    assert report.good, report.findings
    other = Store(f"sqlite:///{tmp_path / 'other.db'}")
    other.open()
    source = ArchiveSource(bench.bucket, bench.keys)
    assert Restore(other, bench.vault.gateways(), bench.now_ms()).run(source).complete
    found = {place: data for place, data in before.items() if place.cls == 0}
    assert content(other, bench.gateway.id) == found
    other.close()


@pytest.mark.s3
def test_upload_to_s3_that_dies_leaves_a_whole_object_or_none(s3_server):
    bucket = s3_bucket(s3_server, "cut-uploads")
    data = os.urandom(4 * 1024 * 1024)
    for number in range(6):
        child = os.fork()
        if child == 0:
            # Without a handler the alarm ends the process wherever it is, as a power cut does.
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, 0.02 * 2**number)
            options = {"endpoint_url": s3_server, **S3_OPTIONS}
            Bucket("s3://cut-uploads/ward", options).put(f"object{number}", data)
            os._exit(0)
        os.waitpid(child, 0)
    for name in bucket.names():
        assert bucket.get(name) == data
    assert bucket.put("after", data)


def test_backups_go_on_after_a_clock_was_ahead(bench):
    bench.fill(2)
    bench.backups.run(0, FULL)
    bench.ahead_ms = 400 * DAY_MS
    for kind in (FULL, INCREMENTAL):
        bench.backups.run(0, kind)
    bench.ahead_ms = DAY_MS // 2
    bench.fill(4)
    rows = bench.store.backups(0)
    assert due(rows, DAY_MS // 4, DAY_MS, bench.now_ms()) == INCREMENTAL
    assert due(rows, DAY_MS // 4, DAY_MS // 3, bench.now_ms()) == FULL
    row = bench.backups.run(0, INCREMENTAL)
    assert (row["ok"], row["sectors"]) == (True, 3)


def test_spoilt_sector_is_named_and_all_others_are_backed_up(bench, monkeypatch, tmp_path):
    monkeypatch.setattr("vitalkeep.archive.backup.SECTORS_AT_ONCE", 2)
    bench.fill(5)
    where = sa.and_(tables.sectors.c.cls == 0, tables.sectors.c.sector.in_((1, 2)))
    with bench.store.writing() as connection:
        connection.execute(sa.update(tables.sectors).where(where).values(data=b"rot"))
    row = bench.backups.run(0, FULL)
    assert not row["ok"]
    assert "2 spoilt sectors" in row["why"]
    other = Store(f"sqlite:///{tmp_path / 'other.db'}")
    other.open()
    Restore(other, bench.vault.gateways(), bench.now_ms()).run(
        ArchiveSource(bench.bucket, bench.keys)
    )
    assert {place.sector for place in content(other, bench.gateway.id)} == {0, 3, 4, 5}
    other.close()


def test_archive_makes_a_spoilt_sector_whole(bench):
    bench.fill(3)
    bench.backups.run(0, FULL)
    before = content(bench.store, bench.gateway.id)
    where = sa.and_(tables.sectors.c.cls == 0, tables.sectors.c.sector == 1)
    with bench.store.writing() as connection:
        connection.execute(sa.update(tables.sectors).where(where).values(data=b"rot"))
    source = ArchiveSource(bench.bucket, bench.keys)
    assert Restore(bench.store, bench.vault.gateways(), bench.now_ms()).run(source).complete
    assert content(bench.store, bench.gateway.id) == before
    assert bench.store.spoilt(9) == []
    assert bench.backups.run(0, FULL)["ok"]
