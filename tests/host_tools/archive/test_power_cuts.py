"""The hub's machine dies in the midst of a backup, of a move between tiers, of a restore.

Each action is run once to count its operations, then again and again with the power cut at one of
them. After each cut nothing is missing, and the action, run again, ends as if nothing had been.
VITALKEEP_CUTS=all cuts at every one of them.
"""

import os
import shutil

import pytest

from tests.support.archive import DAY_MS, content
from tests.support.kill import run_cut
from vitalkeep.archive.backup import Backups
from vitalkeep.archive.bucket import Bucket
from vitalkeep.archive.findings import Scope
from vitalkeep.archive.manifest import FULL
from vitalkeep.archive.restore import Restore
from vitalkeep.archive.settings import ArchiveSettings
from vitalkeep.archive.shelf import Shelf
from vitalkeep.archive.sources import ArchiveSource
from vitalkeep.archive.tiers import Tiers
from vitalkeep.archive.verify import Verification
from vitalkeep.hub.store import Store

_CUTS = 7  # of an action, spread over it


def moments(total):
    """Return at which operations to cut."""
    if os.environ.get("VITALKEEP_CUTS") == "all" or total <= _CUTS:
        return range(total)
    return sorted({round(n * (total - 1) / (_CUTS - 1)) for n in range(_CUTS)})


class Site:
    """Copies of one site that may be spoilt: database and bucket, for SQLite."""

    def __init__(self, bench, folder):
        self.bench = bench
        self.folder = folder
        self._path = bench.store.address.removeprefix("sqlite:///")
        bench.path.intake.close()
        bench.store.close()  # its log is in the database then

    def copy(self, name):
        """Return (URL, bucket folder) of a fresh copy."""
        folder = self.folder / name
        shutil.copytree(self.folder / "bucket", folder / "bucket")
        for file in self.folder.glob("hub.db*"):
            shutil.copy(file, folder / file.name)
        return f"sqlite:///{folder / 'hub.db'}", folder / "bucket"


@pytest.fixture
def database(tmp_path):
    return f"sqlite:///{tmp_path / 'hub.db'}"


@pytest.fixture
def site(bench, tmp_path):
    bench.fill(3)
    bench.ahead_ms = 91 * DAY_MS
    return Site(bench, tmp_path)


def sound(bench, url, bucket):
    """Return all that a site has, wherever it is, and see it proven."""
    store = Store(url)
    store.open()
    shelf = Shelf(store, bench.keys, bucket)
    report = Verification(store, bench.keys, shelf, Scope(deep=True)).run()
    assert report.good, report.findings
    known = [entry.place for entry in store.sectors_of(bench.gateway.id, None, 1000)]
    data = {place: shelf.sector(place)[:2] for place in known}
    rows = shelf.observations(bench.gateway.id, 0, 10_000)
    rows = [{k: v for k, v in row.items() if k != "stored_ms"} for row in rows]
    sizes = store.tier_sizes()
    store.close()
    return data, rows, sizes["cold_sectors"]


def back_up(bench, bucket):
    def action(store):
        made = Backups(store, bucket, bench.keys, bench.vault.site_id, bench.now_ms)
        assert made.run(0, FULL)["ok"]

    return action


def move(bench, bucket):
    def action(store):
        site = bench.vault.site_id
        Tiers(store, bucket, bench.keys, site, ArchiveSettings(), bench.now_ms).run(0)

    return action


@pytest.mark.parametrize(("make", "cold"), [(back_up, 0), (move, 2)])
def test_power_cut_at_any_moment_loses_nothing(site, make, cold):
    bench = site.bench
    url, folder = site.copy("whole")
    before = sound(bench, url, Bucket(f"file://{folder}"))
    total = run_cut(url, make(bench, Bucket(f"file://{folder}")), -1)
    assert total > 10
    for at in moments(total):
        url, folder = site.copy(f"cut{at}")
        bucket = Bucket(f"file://{folder}")
        action = make(bench, bucket)
        assert run_cut(url, action, at) == -1
        assert sound(bench, url, bucket)[:2] == before[:2], at
        assert run_cut(url, action, -1) > 0
        data, rows, moved = sound(bench, url, bucket)
        assert (data, rows) == before[:2], at
        assert moved == cold
        names = [name for name in bucket.names() if name.endswith(".pack")]
        assert all(name == _right_name(bucket, name) for name in names)


def _right_name(bucket, name):
    """Return the name that a pack's content has: what is there is whole."""
    from vitalkeep.archive import pack

    return pack.name(name.split("/")[0], bucket.get(name))


def test_restore_that_was_killed_goes_on(site, tmp_path):
    bench = site.bench
    bucket = Bucket(f"file://{tmp_path}/bucket")
    gateways = bench.vault.gateways()
    for cls in range(3):
        Backups(bench.store, bucket, bench.keys, bench.vault.site_id, bench.now_ms).run(cls, FULL)
    before = content(bench.store, bench.gateway.id)

    def action(store):
        source = ArchiveSource(bucket, bench.keys)
        assert Restore(store, gateways, bench.now_ms()).run(source).complete

    total = run_cut(f"sqlite:///{tmp_path / 'whole.db'}", action, -1)
    for at in moments(total):
        url = f"sqlite:///{tmp_path / f'restored{at}.db'}"
        assert run_cut(url, action, at) == -1
        run_cut(url, action, -1)
        store = Store(url)
        store.open()
        assert content(store, bench.gateway.id) == before
        store.close()
    # What was committed before the cut is not fetched twice.
    url = f"sqlite:///{tmp_path / 'late.db'}"
    assert run_cut(url, action, total - 1) == -1
    store = Store(url)
    store.open()
    result = Restore(store, gateways, bench.now_ms()).run(ArchiveSource(bucket, bench.keys))
    assert result.complete
    assert result.skipped > 0
    store.close()


@pytest.mark.postgres
def test_power_cut_on_postgresql_loses_nothing(vault, tmp_path, postgres):
    """The server rolls back what the hub had not committed; the moves go on from there."""
    from tests.support.archive import Bench
    from tests.support.hub import WritePath

    store = Store(postgres)
    store.open()
    path = WritePath(vault, store)
    (tmp_path / "bucket").mkdir()
    bench = Bench(path, store, vault, f"file://{tmp_path}/bucket")
    bench.fill(3)
    bench.ahead_ms = 91 * DAY_MS
    path.intake.close()
    store.close()
    before = sound(bench, postgres, bench.bucket)[:2]
    for at in (4, 9, 15):
        for make in (back_up, move):
            run_cut(postgres, make(bench, bench.bucket), at)
            assert sound(bench, postgres, bench.bucket)[:2] == before
    for make in (back_up, move):
        run_cut(postgres, make(bench, bench.bucket), -1)
    assert sound(bench, postgres, bench.bucket) == (*before, 2)
