"""Double running: an archive beside what our gateways sealed of the same bed at the same time."""

import json

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from tests.support.archives import WIDE, take
from tests.support.hub import FakeGateway, converse
from tests.support.secure_site import make_authority, now
from vitalkeep.archive.keys import ArchiveKeys
from vitalkeep.archive.shelf import Shelf
from vitalkeep.commands.migrate import migrate
from vitalkeep.errors import ToolError
from vitalkeep.hub.store import tables
from vitalkeep.migrate.comparing import DIFFERENT, MISSING_HERE, MISSING_THERE, Comparing
from vitalkeep.migrate.mapping import parse
from vitalkeep.migrate.ours import Ours
from vitalkeep.migrate.verdict import of_comparison

START_MS = 1_790_000_000_000
SECONDS = 1500  # three windows, of which the outer ones are parts
MAPPING = WIDE + "\n[compare]\ntime_s = 0.4\n"


def spo2(second):
    return 90 + second * 7 % 9


def recording(drop=(), change=(), ahead_ms=0, fever="98.6"):
    """Return the archive of the same bed: Fahrenheit where we have Celsius."""
    lines = ["time,SpO2,Temp,note\n"]
    for second in range(SECONDS):
        if second not in drop:
            value = spo2(second) + 5 * (second in change)
            lines.append(f"{START_MS + 1000 * second + 150 + ahead_ms},{value},{fever},x\n")
    return "".join(lines)


@pytest.fixture
def ward(store, path, vault, tmp_path):
    """A store with what a gateway sealed at Bed 1, one row a second."""
    gateway = FakeGateway(sectors=60)
    gateway.clock.now_ms = 5000
    gateway.set_clock(START_MS)
    for second in range(SECONDS):
        gateway.clock.now_ms = 5000 + 1000 * second
        gateway.observe(0, p1=spo2(second), p6=37)
        gateway.journal.idle()
    converse(path, gateway)
    vault._write()
    return gateway


def compare(store, vault, tmp_path, text, mapping=MAPPING, sample=None, **span):
    file = tmp_path / "bed1.csv"
    file.write_text(text)
    take(store, mapping, file)
    return compared(store, vault, mapping, sample, **span)


def compared(store, vault, mapping=MAPPING, sample=None, since=START_MS, until=None):
    shelf = Shelf(store, ArchiveKeys(vault.gateways()), None)
    ours = Ours(store, shelf, vault.gateways())
    until = START_MS + 1000 * SECONDS if until is None else until
    job = Comparing(store, ours, parse(mapping), since, until)
    job.choose(sample, 0.95, 3)
    return job.run()


def total(found, code):
    return sum(one.counts[code] for one in found.series)


def test_both_have_the_same(store, vault, ward, tmp_path):
    found = compare(store, vault, tmp_path, recording())
    assert total(found, "same") == 2 * SECONDS
    assert (found.wrong, found.findings, found.unreadable) == (0, [], [])
    assert found.windows == found.all_windows
    assert all(c.holds for c in of_comparison(found, 0, [], 0.001))
    assert {one.ours for one in found.series} == {SECONDS}


def test_what_each_side_lacks_is_found_and_shown(store, vault, ward, tmp_path):
    found = compare(store, vault, tmp_path, recording(drop={100, 101}, change={700}))
    (oxygen, fever) = found.series
    assert (oxygen.counts[DIFFERENT], oxygen.counts[MISSING_THERE]) == (1, 2)
    assert fever.counts[MISSING_THERE] == 2
    assert (found.wrong, oxygen.wrong, fever.wrong) == (1, 1, 0)
    (different,) = [one for one in found.findings if one.code == DIFFERENT]
    assert different.theirs == str(spo2(700) + 5)
    assert different.ours == str(spo2(700))
    holds = {c.name: c.holds for c in of_comparison(found, 0, [], 0.001)}
    assert [name for name, yes in holds.items() if not yes] == [
        "the other system's values are here"
    ]


def test_what_we_lost_is_missing_here(store, vault, ward, tmp_path):
    s = tables.sectors
    with store.writing() as connection:
        number = connection.execute(
            sa.select(sa.func.max(s.c.sector)).where(s.c.cls == 0)
        ).scalar()
        where = sa.and_(s.c.cls == 0, s.c.sector == number // 2)
        connection.execute(sa.delete(s).where(where))
    found = compare(store, vault, tmp_path, recording())
    assert total(found, MISSING_HERE) > 50
    assert total(found, "same") + total(found, MISSING_HERE) == 2 * SECONDS
    assert found.wrong > 0


def test_broken_seal_is_no_witness(store, vault, ward, tmp_path):
    from vitalkeep.hub.sectors import BROKEN

    s = tables.sectors
    with store.writing() as connection:
        where = sa.and_(s.c.cls == 0, s.c.sector == 0)
        connection.execute(sa.update(s).where(where).values(state=BROKEN))
    found = compare(store, vault, tmp_path, recording())
    assert found.unreadable
    assert "its seal is broken" in found.unreadable[0]
    assert total(found, MISSING_HERE) > 0


def test_rows_that_are_not_decoded_yet_are_read_from_their_bytes(
    store,
    vault,
    ward,
    tmp_path,
):
    with store.writing() as connection:
        connection.execute(sa.update(tables.sectors).values(decoded=0, spans="{}"))
        connection.execute(sa.delete(tables.observations))
    assert compare(store, vault, tmp_path, recording()).wrong == 0


def test_clock_that_is_ahead_is_told_or_set_right(store, vault, ward, tmp_path):
    text = recording(ahead_ms=94_000)
    found = compare(store, vault, tmp_path, text)
    oxygen = found.series[0]
    assert oxygen.wrong == oxygen.windows
    shifted = MAPPING + "shift_s = 94\n"
    found = compare(store, vault, tmp_path, text, shifted)
    assert found.wrong == 0
    assert total(found, "same") == 2 * SECONDS


def test_sample_is_the_same_for_the_same_seed_and_says_what_it_shows(
    store,
    vault,
    ward,
    tmp_path,
):
    found = compare(store, vault, tmp_path, recording(change={700}), sample=0.5)
    assert found.sample
    assert found.windows == 5 < found.all_windows
    assert found.error_rate_at_most >= found.error_rate
    assert compared(store, vault, sample=0.5).findings == found.findings
    # A sample of all there is, is no sample.
    assert compared(store, vault, sample=0.001).windows == found.all_windows


def test_bed_and_unit_that_nothing_here_has_are_named(store, vault, ward, tmp_path):
    mapping = MAPPING.replace('"Bed 1"', '"Bed 9"')
    found = compare(store, vault, tmp_path, recording(), mapping)
    assert {one.why for one in found.series} == {"no gateway of the vault is at this bed"}
    assert found.windows == 0
    failed = [c.name for c in of_comparison(found, 3, ["a.csv"], 0.001) if not c.holds]
    assert failed == [
        "values were compared", "the other system's values are here", "every series was compared",
        "nothing was refused", "its files are read to their ends",
    ]  # fmt: skip


def run(*arguments):
    return CliRunner().invoke(migrate, [str(argument) for argument in arguments])


def test_command_reports_signs_and_ends_with_a_code(
    store,
    database,
    vault,
    ward,
    tmp_path,
):
    authority, signer = make_authority(tmp_path / "ca")
    tls = tmp_path / "tls"
    authority.issue(signer, "hub", "east", now(), ("127.0.0.1",)).write(tls)
    config = tmp_path / "hub.toml"
    config.write_text(
        f'[exchange]\nca = "{tls}/ca.pem"\ncertificate = "{tls}/certificate.pem"\n'
        f'key = "{tls}/key.pem"\n'
    )
    mapping = tmp_path / "old.toml"
    mapping.write_text(MAPPING)
    file = tmp_path / "bed1.csv"
    where = ("--config", config, "--vault", vault.folder, "--database", database)
    with_mapping = ("--mapping", mapping, *where)
    result = run("compare", *with_mapping)
    assert "nothing of it is here" in result.exception.message

    file.write_text(recording(change={700}))
    assert run("files", file, *with_mapping).exit_code == 0
    result = run("compare", *with_mapping, "--report", tmp_path / "report")
    assert result.exit_code == 1
    assert "The switch cannot be made yet." in result.output
    assert "different Bed 1 SpO2" in result.output
    page = (tmp_path / "report" / "report.html").read_text()
    assert "The switch cannot be made yet." in page
    assert "signed by hub-east" in page
    assert "<script" not in page

    allowed = ("--error-rate", 0.2, "--report", tmp_path / "report", "--json")
    result = run("compare", *with_mapping, *allowed)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["switch"]
    assert report["sha256"] in (tmp_path / "report" / "report.html").read_text()
    checked = run("check", tmp_path / "report", "--ca", tls / "ca.pem")
    assert (checked.exit_code, "Signed by hub-east" in checked.output) == (0, True)

    for name, was, told, said in (
        ("report.json", b'"wrong": 1', b'"wrong": 0', "report.json: not as hub-east signed it"),
        ("report.html", b"can be made", b"is done", "report.html: not as hub-east signed it"),
        ("report.sha256", b"a", b"b", "a signature that does not fit"),
    ):
        changed = tmp_path / "report" / name
        signed = changed.read_bytes()
        assert was in signed
        changed.write_bytes(signed.replace(was, told, 1))
        checked = run("check", tmp_path / "report", "--ca", tls / "ca.pem")
        assert isinstance(checked.exception, ToolError)
        assert said in checked.exception.message
        changed.write_bytes(signed)
    (tmp_path / "report" / "signature.json").rename(tmp_path / "signature.json")
    checked = run("check", tmp_path / "report", "--ca", tls / "ca.pem")
    assert "nobody signed it" in checked.exception.message
    (tmp_path / "signature.json").rename(tmp_path / "report" / "signature.json")
    (tmp_path / "report" / "report.html").rename(tmp_path / "elsewhere.html")
    checked = run("check", tmp_path / "report", "--ca", tls / "ca.pem")
    assert "report.html: No such file" in checked.exception.message

    file.write_text(recording(change={700}) + "1,x,98,x\n")
    assert run("files", file, *with_mapping).exit_code == 1
    result = run("compare", *with_mapping, "--error-rate", 0.2, "--since", "2026-09-21T14:13Z")
    assert result.exit_code == 1
    assert "DOES NOT HOLD: nothing was refused: 1 values" in result.output
    since = ("--since", "2026-09-21T14:13Z", "--despite-rejects")
    assert run("compare", *with_mapping, "--error-rate", 0.2, *since).exit_code == 0
