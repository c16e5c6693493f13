"""A store that is not what was sealed is found out, wherever it was changed."""

import json

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from tests.support.epochs import lose_slots
from tests.support.hub import SITE_ID, WritePath, converse, place
from tests.support.secure_site import make_authority, now
from vitalkeep.archive.findings import Scope
from vitalkeep.archive.manifest import FULL
from vitalkeep.archive.others import OtherStore
from vitalkeep.archive.shelf import Shelf
from vitalkeep.archive.verify import Verification
from vitalkeep.commands.verify import verify
from vitalkeep.hub.exchange import days
from vitalkeep.hub.exchange.ranges import Ranges
from vitalkeep.hub.store import Store, tables


@pytest.fixture
def database(tmp_path):
    """One engine is enough here: what is asked of the other one is in test_tiers.py."""
    return f"sqlite:///{tmp_path / 'hub.db'}"


@pytest.fixture
def bench(bench):
    bench.fill(4)
    return bench


def check(bench, other=None, **scope):
    shelf = Shelf(bench.store, bench.keys, bench.bucket)
    site = other and OtherStore(other)
    return Verification(bench.store, bench.keys, shelf, Scope(**scope), site).run()


def change(store, table, where, **values):
    with store.writing() as connection:
        done = connection.execute(sa.update(table).where(where).values(**values))
        assert done.rowcount


def sector(number):
    return sa.and_(tables.sectors.c.sector == number, tables.sectors.c.cls == 0)


def test_sound_store_is_proven_whole(bench):
    report = check(bench)
    assert report.good, report.findings
    assert report.checked == report.sectors == 7  # five of class A, an open one of B and of C
    assert report.states == {"verified": 4, "open": 3}
    assert report.observations == bench.store.count("observations")
    assert report.error_rate == 0


def test_flipped_bit_is_found(bench):
    data = bytearray(bench.gateway.sector(0, 2))
    data[700] ^= 4
    change(bench.store, tables.sectors, sector(2), data=bytes(data))
    report = check(bench)
    assert report.wrong["seal"] == 1
    assert "sector 2" in report.findings[0].where
    assert report.error_rate > 0


def test_sector_that_was_cut_is_named_and_the_others_are_looked_at(bench):
    change(bench.store, tables.sectors, sector(2), data=bench.gateway.sector(0, 2)[:3000])
    report = check(bench)
    assert report.wrong["unreadable"] == 1
    assert "sector 2" in next(f.where for f in report.findings if f.code == "unreadable")
    assert report.checked == 6


def test_sector_in_the_place_of_another_is_found(bench):
    data = bench.gateway.sector(0, 1)
    change(bench.store, tables.sectors, sector(2), data=data)
    assert check(bench).wrong["seal"] >= 1


def test_state_that_flatters_is_found(bench):
    data = bytearray(bench.gateway.sector(0, 2))
    data[-3] ^= 1
    change(bench.store, tables.sectors, sector(2), data=bytes(data))
    assert not check(bench).good


def test_changed_added_and_dropped_rows_are_found(bench):
    o = tables.observations
    where = sa.and_(o.c.sector == 1, o.c.cls == 0)
    change(bench.store, o, where, device="oximeter")
    report = check(bench)
    assert report.wrong == {"rows": 1}
    with bench.store.writing() as connection:
        connection.execute(sa.delete(o).where(where))
    report = check(bench)
    assert report.wrong == {"rows": 1}
    assert "0 rows are stored" in report.findings[0].text


@pytest.mark.parametrize("junk", [b"", b"junk", bytes(300), b"\xff" * 300])
def test_rows_that_cannot_be_read_are_named_and_the_others_are_looked_at(bench, junk):
    o = tables.observations
    change(bench.store, o, sa.and_(o.c.sector == 1, o.c.cls == 0), data=junk)
    bench.store.compress(place(bench.gateway, 2))
    change(bench.store, tables.warm, tables.warm.c.sector == 2, rows=junk)
    report = check(bench)
    assert report.wrong == {"rows": 2}
    assert report.checked == report.sectors


def test_rows_that_are_still_on_their_way_are_not_missing(bench):
    o = tables.observations
    where = sa.and_(o.c.sector == 1, o.c.cls == 0)
    change(bench.store, tables.sectors, sector(1), decoded=0)
    with bench.store.writing() as connection:
        connection.execute(sa.delete(o).where(where))
    report = check(bench)
    assert report.good, report.findings
    assert report.observations == bench.store.count("observations")


def test_number_that_is_missing_is_named_unless_a_gap_record_says_why(bench):
    where = place(bench.gateway, 2)
    with bench.store.writing() as connection:
        for table in (tables.sectors, tables.observations):
            connection.execute(sa.delete(table).where(*tables.at_place(table, where)))
    report = check(bench)
    assert report.wrong["absent"] == 1
    row = where._asdict() | {"sector": 4, "offset": 74, "idx": 0, "boot": 1, "mono_ms": 1}
    row |= {"gap_cls": 0, "first": 1, "last": 2, "stored_ms": 1}
    with bench.store.writing() as connection:
        connection.execute(sa.insert(tables.gaps), [row])
    report = check(bench)
    assert report.wrong["absent"] == 0
    assert report.gaps == 1


def test_lost_keys_are_no_damage(bench):
    lose_slots(bench.gateway.keys, 0)
    bench.gateway.boot()
    bench.fill(7)
    report = check(bench)
    assert report.good, report.findings
    assert report.states["orphan"] == 1


def test_sample_is_as_large_as_an_error_rate_asks(bench, vault, database):
    bench.fill(12)
    vault._write()
    where = ("--vault", str(vault.folder), "--database", database, "--json")
    result = CliRunner().invoke(verify, [*where, "--error-rate", "0.2", "--confidence", "0.6"])
    found = json.loads(result.stdout)
    assert result.exit_code == 0, result.output
    assert found["checked"] < found["sectors"]
    assert 0 < found["error_rate_at_most"] < 1
    result = CliRunner().invoke(verify, [*where, "--error-rate", "0.001"])
    found = json.loads(result.stdout)
    assert found["checked"] == found["sectors"]
    assert "error_rate_at_most" not in found


def test_sample_looks_at_a_part_and_proves_it(bench):
    bench.fill(12)
    report = check(bench, percent=40.0, seed=5)
    assert 0 < report.checked < report.sectors
    assert report.good, report.findings
    assert check(bench, percent=40.0, seed=5).checked == report.checked


def test_span_of_time_beds_and_classes(bench):
    bench.gateway.set_clock(1_790_000_000_000)
    bench.fill(6)
    gateway = bench.gateway.id
    assert check(bench, classes=(1, 2)).sectors == 3
    assert check(bench, gateways=frozenset([b"other---"])).sectors == 0
    assert check(bench, gateways=frozenset([gateway])).sectors == 10
    late = check(bench, classes=(0,), since_ms=1_790_000_000_000)
    assert 0 < late.sectors < 7
    assert check(bench, classes=(0,), since_ms=1_890_000_000_000).sectors == 0


def test_archive_that_has_other_bytes_is_found(bench, tmp_path):
    bench.backups.run(0, FULL)
    report = check(bench, deep=True)
    assert (report.archived, report.good) == (5, True)
    (pack,) = (tmp_path / "bucket").rglob("*.pack")
    data = bytearray(pack.read_bytes())
    data[-200] ^= 1
    pack.write_bytes(data)
    assert check(bench, deep=True).wrong == {"archive": 1}


def test_sites_that_differ_are_told_from_one_that_is_behind(bench, vault, tmp_path):
    other = Store(f"sqlite:///{tmp_path / 'other.db'}")
    other.open()
    path = WritePath(vault, other)
    bench.gateway.connect()
    converse(path, bench.gateway)
    bench.fill(6)
    report = check(bench, other)
    assert report.good
    assert report.wrong["other site lacks"] >= 1
    data = bytearray(bench.gateway.sector(0, 1))
    data[500] ^= 1
    change(other, tables.sectors, sector(1), data=bytes(data))
    report = check(bench, other)
    assert report.wrong["sites"] == 1
    assert "differs from byte 500" in next(f.text for f in report.findings if f.code == "sites")
    path.intake.close()
    other.close()


def run(*arguments):
    return CliRunner().invoke(verify, [str(argument) for argument in arguments])


def test_command_ends_with_a_code_that_scripts_can_use(bench, database, vault):
    options = ("--vault", vault.folder, "--database", database)
    vault._write()  # with the site's id of the fixture
    result = run(*options, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["checked"] == 7
    assert "All is as it should be." in run(*options, "--bed", "Bed 1").output
    data = bytearray(bench.gateway.sector(0, 2))
    data[700] ^= 4
    change(bench.store, tables.sectors, sector(2), data=bytes(data))
    result = run(*options)
    assert result.exit_code == 1
    assert "sector 2" in result.output
    result = run(*options, "--bed", "nowhere")
    assert result.exception.exit_code == 3
    assert "the vault has" in result.exception.hint.lower()
    result = run("--vault", vault.folder, "--database", "sqlite:////nowhere/hub.db")
    assert result.exception.exit_code == 3


def drop(bench, *numbers):
    with bench.store.writing() as connection:
        for number in numbers:
            where = place(bench.gateway, number)
            for table in (tables.sectors, tables.observations, tables.events):
                connection.execute(sa.delete(table).where(*tables.at_place(table, where)))


def test_log_whose_beginning_is_missing_is_found(bench):
    drop(bench, 0)
    report = check(bench)
    assert report.wrong["absent"] == 1
    assert any("sectors 0 to 0" in finding.text for finding in report.findings)


def test_end_of_a_log_that_sites_signed_is_missed(bench, tmp_path, vault, database):
    authority, signer = make_authority(tmp_path / "ca")
    bundle = authority.issue(signer, "hub", "east", now(), ())
    stream = place(bench.gateway, 0)[:3]
    sealed = [(stream, Ranges([(0, 3)]))]
    document = days.state_day(SITE_ID, "2026-11-25", sealed, bench.store.seals)
    key, certificate = bundle.key, bundle.issued.certificate
    bench.store.set_day(SITE_ID, "2026-11-25", document, [days.sign(document, key, certificate)])

    def run(**scope):
        shelf = Shelf(bench.store, bench.keys, bench.bucket)
        made = (bench.store, bench.keys, shelf, Scope(**scope), None, authority.certificate)
        return Verification(*made).run()

    report = run()
    assert (report.good, report.days) == (True, 1), report.findings
    drop(bench, 3, 4)
    assert check(bench).good, "the bytes alone do not say that there were more"
    assert run().wrong == {"day": 1}
    assert run(classes=(1,)).good
    vault._write()
    bundle.write(tmp_path / "tls")
    names = ("ca", "certificate", "key")
    lines = [f'{name} = "{tmp_path}/tls/{name}.pem"' for name in names]
    (tmp_path / "hub.toml").write_text("\n".join(["[exchange]", *lines]))
    options = ("--config", tmp_path / "hub.toml", "--vault", vault.folder, "--database", database)
    result = CliRunner().invoke(verify, [*map(str, options), "--json"])
    assert json.loads(result.stdout)["wrong"] == {"day": 1}, result.output


def test_rows_of_a_sector_that_is_not_here_are_found(bench):
    o = tables.observations
    change(bench.store, o, sa.and_(o.c.sector == 1, o.c.cls == 0), sector=77)
    report = check(bench)
    assert report.wrong["rows"] >= 2
    assert any("sector 77" in f.where and "not here" in f.text for f in report.findings)


def test_changed_added_and_dropped_alarms_and_events_are_found(bench):
    bench.gateway.alarm("rang")
    bench.fill(6)
    assert check(bench).good
    a, e = tables.alarms, tables.events
    change(bench.store, a, a.c.text == "rang", text="never rang")
    report = check(bench)
    assert report.wrong == {"rows": 1}
    assert "1 of 1 alarms" in report.findings[0].text
    with bench.store.writing() as connection:
        connection.execute(sa.delete(a))
        connection.execute(sa.delete(e).where(e.c.sector == 0, e.c.cls == 0, e.c.event != 0))
    assert check(bench).wrong == {"rows": 2}


def test_sector_that_is_not_of_the_time_is_not_missing(bench):
    """Clocks are set: a sector between two others may be of another time."""
    bench.gateway.set_clock(1_790_000_000_000)
    bench.fill(8)
    spans = {"vent": [[bench.gateway.clock.boot, -(10**12), 10 - 10**12, 0]]}
    change(bench.store, tables.sectors, sector(6), spans=json.dumps(spans))
    report = check(bench, classes=(0,), since_ms=1_790_000_000_000)
    assert report.sectors >= 3
    assert "absent" not in report.wrong
