"""From another hub of ours while it goes on: each run takes what is new, and says what is left."""

import json

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from tests.support.sites import HOST, Ward, recorded, stored
from vitalkeep.commands.migrate import migrate
from vitalkeep.hub.store import tables


@pytest.fixture
def gateway():
    return recorded()


@pytest.fixture
def ward(tmp_path, gateway):
    made = Ward(tmp_path, [gateway], "east west")
    made.record("east", gateway, sectors=3)
    return made


def run(ward, *more):
    folder = ward.root / "west"
    options = ("--config", folder / "hub.toml", "--vault", folder / "vault", "--data", folder)
    result = CliRunner().invoke(migrate, [str(part) for part in ("hub", *options, *more)])
    return result.exit_code, result


def content(ward, name):
    store = ward.store(name)
    found = stored(store)
    store.close()
    return found


def test_runs_again_and_again_until_the_switch_can_be_made(ward, gateway):
    source = ("--from", f"sqlite:///{ward.root / 'east' / 'hub.db'}")
    code, result = run(ward, *source, "--json")
    report = json.loads(result.stdout)
    assert (code, report["switch"]) == (0, True), result.output
    assert report["restored"]["taken"] == {"A": 3, "B": 2, "C": 1}
    assert content(ward, "west") == content(ward, "east")

    ward.record("east", gateway)  # it goes on
    code, result = run(ward, *source, "--json", "--report", ward.root / "report")
    report = json.loads(result.stdout)
    assert (code, report["restored"]["taken"]) == (0, {"A": 2})
    assert report["restored"]["skipped"] == 6
    assert report["signed"]
    assert "The switch can be made." in (ward.root / "report" / "report.html").read_text()

    store = ward.store("west")
    s = tables.sectors
    where = sa.and_(s.c.cls == 0, s.c.sector == 2)
    with store.writing() as connection:
        data = bytearray(connection.execute(sa.select(s.c.data).where(where)).scalar_one())
        data[700] ^= 4
        connection.execute(sa.update(s).where(where).values(data=bytes(data)))
    store.close()
    code, result = run(ward, *source)
    assert code == 1
    assert "DOES NOT HOLD: the other hub has nothing else: 1 sectors" in result.output
    assert "DOES NOT HOLD: what is here is what was sealed" in result.output


def test_live_hub_is_compared_by_a_sample(ward):
    with ward.hub("east"):
        source = ("--from", f"https://hub-east@{HOST}:{ward.ports['east']}")
        code, result = run(ward, *source, "--sample", "--error-rate", 0.5, "--json")
    report = json.loads(result.stdout)
    assert (code, report["sample"]) == (0, True), result.output
    assert 0 < report["proof"]["compared"] == report["proof"]["checked"] <= 6
    assert content(ward, "west") == content(ward, "east")


def test_what_is_no_hub_is_named(ward):
    _, result = run(ward, "--from", "s3://bucket")
    assert "that is no hub" in result.exception.message
