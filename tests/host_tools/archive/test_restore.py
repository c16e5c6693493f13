"""A hub from nothing but the vault and one source; what cannot be had has a name."""

import json

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from tests.support.archive import DAY_MS, content
from tests.support.hub import FakeGateway, WritePath, converse
from vitalkeep.archive import pack
from vitalkeep.archive.bucket import Bucket
from vitalkeep.archive.manifest import FULL, INCREMENTAL
from vitalkeep.archive.restore import Restore
from vitalkeep.archive.settings import ArchiveSettings
from vitalkeep.archive.sources import ArchiveSource, FlashSource, StoreSource
from vitalkeep.archive.tiers import Tiers
from vitalkeep.commands.restore import restore
from vitalkeep.errors import ToolError
from vitalkeep.hub.store import Store, StoreError


@pytest.fixture
def bench(bench):
    bench.fill(3)
    return bench


@pytest.fixture
def database(tmp_path):
    """One engine is enough here: test_backup.py restores from and into both."""
    return f"sqlite:///{tmp_path / 'hub.db'}"


@pytest.fixture
def fresh(tmp_path):
    made = Store(f"sqlite:///{tmp_path / 'fresh.db'}")
    made.open()
    yield made
    made.close()


def all_backups(bench, kind=FULL):
    return [bench.backups.run(cls, kind) for cls in range(3)]


def bring(bench, fresh, source=None):
    source = source or ArchiveSource(bench.bucket, bench.keys)
    return Restore(fresh, bench.vault.gateways(), bench.now_ms()).run(source)


def rows(store, gateway):
    found = store.observations(gateway, 0, 10_000)
    return [{k: v for k, v in row.items() if k != "stored_ms"} for row in found]


def packs(tmp_path):
    return sorted((tmp_path / "bucket").rglob("*.pack"))


def test_archive_alone_brings_back_all(bench, fresh):
    assert all(row["ok"] for row in all_backups(bench))
    bench.fill(5)
    assert all(row["ok"] for row in all_backups(bench, INCREMENTAL))
    result = bring(bench, fresh)
    assert result.complete, result
    assert content(fresh, bench.gateway.id) == content(bench.store, bench.gateway.id)
    assert rows(fresh, bench.gateway.id) == rows(bench.store, bench.gateway.id)
    assert fresh.epoch != bench.store.epoch  # what the old store said is void
    again = bring(bench, fresh)
    assert again.complete
    assert sum(again.taken.values()) == 0


def test_cold_sectors_come_back_from_the_archive(bench, fresh):
    before = content(bench.store, bench.gateway.id), rows(bench.store, bench.gateway.id)
    bench.ahead_ms = 91 * DAY_MS
    settings = ArchiveSettings()
    site = bench.vault.site_id
    Tiers(bench.store, bench.bucket, bench.keys, site, settings, bench.now_ms).run(0)
    assert all(row["ok"] for row in all_backups(bench))
    result = bring(bench, fresh)
    assert result.complete, result
    assert (content(fresh, bench.gateway.id), rows(fresh, bench.gateway.id)) == before


def test_gateways_own_flash_brings_back_all(bench, fresh, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    # As a clip on the chip reads it: keys and log, one after the other.
    flash = bytes(bench.gateway.keys.data) + bytes(bench.gateway.flash.data)
    (folder / "bed1.bin").write_bytes(flash)
    (folder / "notes.bin").write_bytes(bytes(8192))
    source = FlashSource(folder, bench.vault)
    result = bring(bench, fresh, source)
    assert result.complete, result
    assert content(fresh, bench.gateway.id) == content(bench.store, bench.gateway.id)


def test_damaged_flash_gives_what_is_sound_and_names_the_rest(bench, fresh, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    flash = bytearray(bench.gateway.flash.data)
    at = bench.gateway.journal.pool.find(0, 1) * 4096
    flash[at + 700] ^= 4
    (folder / "bed1.bin").write_bytes(bytes(flash))
    result = bring(bench, fresh, FlashSource(folder, bench.vault))
    assert [problem.code for problem in result.problems] == ["broken"]
    assert "sector 1" in result.problems[0].text
    found = content(fresh, bench.gateway.id)
    assert {p.sector for p in found if p.cls == 0} == {0, 2, 3}
    # Another source has what this one lacked.
    all_backups(bench)
    assert bring(bench, fresh).complete
    assert content(fresh, bench.gateway.id) == content(bench.store, bench.gateway.id)


def test_other_hubs_database_brings_back_all(bench, fresh, database):
    source = StoreSource(database)
    result = bring(bench, fresh, source)
    source.close()
    assert result.complete
    assert content(fresh, bench.gateway.id) == content(bench.store, bench.gateway.id)


def test_gateways_give_an_empty_store_what_they_still_hold(bench, fresh, vault):
    """Nobody restores anything: the new epoch voids the old receipts, and the log comes again."""
    path = WritePath(vault, fresh)
    bench.gateway.connect()
    converse(path, bench.gateway)
    assert content(fresh, bench.gateway.id) == content(bench.store, bench.gateway.id)
    path.intake.close()


def test_flipped_bit_costs_one_sector_and_is_named(bench, fresh, tmp_path):
    all_backups(bench)
    path = max(packs(tmp_path), key=lambda path: path.stat().st_size)
    data = bytearray(path.read_bytes())
    entry = pack.read_index(bytes(data)).entries[1]
    data[entry.start + 500] ^= 1
    path.write_bytes(data)
    result = bring(bench, fresh)
    assert not result.complete
    assert "damaged" in {problem.code for problem in result.problems}
    assert len(result.missing) == 1
    here, there = content(bench.store, bench.gateway.id), content(fresh, bench.gateway.id)
    lost = set(here) - set(there)
    assert lost == {entry.place}


def test_what_somebody_put_into_the_bucket_stops_nothing(bench, fresh, tmp_path):
    all_backups(bench)
    (tmp_path / "bucket" / "stray.pack").write_bytes(b"no pack at all" * 9)
    path = max(packs(tmp_path), key=lambda path: path.stat().st_size)
    path.write_bytes(path.read_bytes() + bytes(1000))
    result = bring(bench, fresh)
    assert [problem.code for problem in result.problems] == ["foreign"]
    assert not result.missing
    assert content(fresh, bench.gateway.id) == content(bench.store, bench.gateway.id)


def test_missing_pack_is_noticed_by_what_was_promised(bench, fresh, tmp_path):
    all_backups(bench)
    path = max(packs(tmp_path), key=lambda path: path.stat().st_size)
    path.unlink()
    result = bring(bench, fresh)
    assert result.problems == []
    (text,) = result.missing
    assert "class A: 0 sectors with 0 bytes, promised were 4" in text
    # The next full backup makes up for it.
    assert bench.backups.run(0, FULL)["ok"]
    assert bring(bench, fresh).complete


def test_index_that_lies_is_not_believed(bench, fresh, tmp_path):
    """Whoever holds the bucket says that sector 1 is sector 9, with all digests right."""
    import hashlib

    all_backups(bench)
    path = max(packs(tmp_path), key=lambda path: path.stat().st_size)
    data = bytearray(path.read_bytes())
    at = pack.HEADER_SIZE + pack.ENTRY_SIZE + 20
    data[at] = 9
    data[-32:] = hashlib.sha256(data[:-32]).digest()
    path.write_bytes(data)
    result = bring(bench, fresh)
    assert {problem.code for problem in result.problems} == {"forged"}
    assert 9 not in {place.sector for place in content(fresh, bench.gateway.id)}


def test_promises_of_nobody_are_not_believed(bench, fresh, tmp_path):
    all_backups(bench)
    path = next((tmp_path / "bucket" / "manifest").rglob("*-full-*.json"))
    content = json.loads(path.read_text())
    content["heads"][0][2] -= 1
    path.write_text(json.dumps(content))
    result = bring(bench, fresh)
    assert [problem.code for problem in result.problems] == ["forged"]


def test_another_vault_opens_nothing(bench, fresh, tmp_path):
    from vitalkeep.archive.keys import ArchiveKeys

    all_backups(bench)
    source = ArchiveSource(bench.bucket, ArchiveKeys([]))
    result = Restore(fresh, [], 1000).run(source)
    assert {problem.code for problem in result.problems} == {"stranger", "forged"}
    assert content(fresh, bench.gateway.id) == {}


def test_full_disk_stops_it_and_the_same_command_goes_on(bench, fresh):
    all_backups(bench)
    with fresh.reading() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()

    def limit(connection, _record):
        connection.execute(f"PRAGMA max_page_count={pages + 4}")

    fresh.writer.dispose()
    sa.event.listen(fresh.writer, "connect", limit)
    with pytest.raises(StoreError, match="full"):
        bring(bench, fresh)
    sa.event.remove(fresh.writer, "connect", limit)
    fresh.writer.dispose()
    assert bring(bench, fresh).complete
    assert content(fresh, bench.gateway.id) == content(bench.store, bench.gateway.id)


def test_archive_that_cannot_be_listed_is_a_tool_error(bench, fresh, tmp_path):
    with pytest.raises(ToolError, match="no packs"):
        bring(bench, fresh)
    with pytest.raises(ToolError):
        bring(bench, fresh, ArchiveSource(Bucket("s3://x", {"endpoint_url": "bad"}), bench.keys))


def test_live_hub_and_restore_write_the_same_store(bench, fresh, vault):
    """Its gateway is heard while the archive comes back; both are right."""
    all_backups(bench)
    path = WritePath(vault, fresh)
    bench.gateway.connect()
    path.send(*bench.gateway.sector_runs(0, 1)[:3])
    assert bring(bench, fresh).complete
    converse(path, bench.gateway)
    assert content(fresh, bench.gateway.id) == content(bench.store, bench.gateway.id)
    path.intake.close()


def run(*arguments):
    return CliRunner().invoke(restore, [str(argument) for argument in arguments])


def test_command_restores_proves_and_ends_with_a_code(bench, vault, tmp_path):
    all_backups(bench)
    vault._write()
    options = ("--vault", vault.folder, "--data", tmp_path / "new")
    result = run("--from", f"file://{tmp_path}/bucket", *options)
    assert result.exit_code == 0, result.output
    assert "All that the source has is here, and proven." in result.output
    result = run("--from", f"file://{tmp_path}/bucket", *options, "--json")
    found = json.loads(result.stdout)
    assert found["good"]
    assert found["restored"]["skipped"] == found["proof"]["checked"]
    path = max(packs(tmp_path), key=lambda path: path.stat().st_size)
    path.unlink()
    options = ("--vault", vault.folder, "--data", tmp_path / "newer")
    result = run("--from", f"file://{tmp_path}/bucket", *options)
    assert result.exit_code == 1
    assert "missing" in result.output


def test_gateway_of_another_ward_is_left_alone(bench, fresh, tmp_path):
    """An archive serves many wards: what the vault does not know is named, not taken."""
    folder = tmp_path / "images"
    folder.mkdir()
    other = FakeGateway(b"\x09gateway")
    other.fill(1)
    (folder / "bed9.bin").write_bytes(bytes(other.flash.data))
    result = bring(bench, fresh, FlashSource(folder, bench.vault))
    assert {problem.code for problem in result.problems} == {"stranger"}
    assert content(fresh, other.id) == {}


def test_what_another_pack_has_is_no_problem(bench, fresh, tmp_path):
    """A spoilt pack stays where nobody may delete; the next full backup made it good."""
    all_backups(bench)
    path = max(packs(tmp_path), key=lambda path: path.stat().st_size)
    data = bytearray(path.read_bytes())
    data[-500] ^= 1
    path.write_bytes(data)
    assert not bench.backups.run(0, FULL)["ok"]
    assert bench.backups.run(0, FULL)["ok"]
    assert bring(bench, fresh).complete
    assert content(fresh, bench.gateway.id) == content(bench.store, bench.gateway.id)


def test_database_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(ToolError, match="no such database"):
        StoreSource(f"sqlite:///{tmp_path / 'absent.db'}")
    assert not (tmp_path / "absent.db").exists()
