"""Backups count when they were restored."""

from tests.support.archive import content
from vitalkeep.archive.manifest import FULL, INCREMENTAL
from vitalkeep.archive.restore import Restore
from vitalkeep.archive.sources import ArchiveSource
from vitalkeep.hub.store import Store


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
