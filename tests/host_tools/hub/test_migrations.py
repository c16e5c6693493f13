"""A database of any release becomes one of this release, with all that it holds."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from tests.support.hub import GATEWAY_ID, LOG_ID
from vitalkeep.errors import ToolError
from vitalkeep.hub import migrations, sectors
from vitalkeep.hub.sectors import Place, Stored
from vitalkeep.hub.store import Store, tables, utc_now_ms

_DAY = 3
_DAY_MS = _DAY * 24 * 3600 * 1000 + 5_000
_PLACE = {"gateway": GATEWAY_ID, "log": LOG_ID, "cls": 0, "sector": 7}
_POSITION = _PLACE | {"offset": 64, "idx": 0, "boot": 100, "mono_ms": 1000}


def _observation(sector, offset, text):
    values = {"SpO2": [text, 0 if text else 1, "%"], "PR": [None, 1, "1/min"]}
    return _POSITION | {
        "sector": sector,
        "offset": offset,
        "mono_ms": 1000 * offset,
        "device": "vent",
        "protocol": "draeger_medibus",
        "unit": 0,
        "grp": 1,
        "values": json.dumps(values),
        "stored_ms": 1_000 * sector + offset,
    }


# What release 0.1 had in a database with one sector that is whole and one that grows.
_ROWS = {
    "sectors": [
        _PLACE
        | {"length": 4096, "state": 2, "data": bytes(4096), "spans": "{}", "stored_ms": _DAY_MS},
        _PLACE
        | {
            "sector": 8,
            "length": 6,
            "state": 0,
            "data": None,
            "spans": "{}",
            "stored_ms": _DAY_MS,
        },
    ],
    "pieces": [
        _PLACE | {"sector": 8, "offset": 0, "data": b"abc"},
        _PLACE | {"sector": 8, "offset": 3, "data": b"def"},
    ],
    "observations": [
        *(_observation(7, 64 + 3 * n, ("97", "7.25", "-0.5")[n % 3]) for n in range(200)),
        _observation(8, 3, None),
    ],
    "alarms": [
        _POSITION
        | {"device": "vent", "page": 1, "code": 2, "priority": 3, "active": True, "text": "low"}
    ],
    "events": [
        _POSITION | {"event": 1, "name": "boot", "text": "power-on", "stored_ms": 1_000},
    ],
    "gaps": [_POSITION | {"gap_cls": 2, "first": 1, "last": 4, "stored_ms": 1_000}],
    "clocks": [
        {
            "gateway": GATEWAY_ID,
            "boot": 100,
            "mono_ms": 0,
            "utc_ms": 5_000,
            "error_ms": 5,
            "quality": 2,
        }
    ],
    "quarantine": [
        _PLACE
        | {"offset": 0, "digest": bytes(8), "reason": "conflict", "data": b"x", "at_ms": 1_000}
    ],
    "heads": [
        {
            "gateway": GATEWAY_ID,
            "log": LOG_ID,
            "boot": 100,
            "mono_ms": 0,
            "fields": "{}",
            "at_ms": 1_000,
        }
    ],
    "radio": [
        {
            "gateway": GATEWAY_ID,
            "log": LOG_ID,
            "sector": 7,
            "offset": 0,
            "counter": 1,
            "at_ms": 1_000,
            "rssi": -70,
            "content": "{}",
        }
    ],
    "story": [{"id": 1, "at_ms": 1_000, "gateway": None, "tone": "info", "text": "Hub started"}],
}


@pytest.fixture
def first_release(database):
    """Return the URL and the epoch of a database as release 0.1 left it."""
    store = Store(database)
    with store.writing() as connection:
        migrations.upgrade(connection, "0001")
        connection.execute(sa.text("DROP TABLE alembic_version"))
        known = sa.MetaData()
        known.reflect(connection)
        assert set(known.tables) == {*_ROWS, "meta"}
        for name, rows in _ROWS.items():
            connection.execute(sa.insert(known.tables[name]), rows)
        found = sa.select(known.tables["meta"].c.value).where(sa.text("name = 'epoch'"))
        epoch = bytes(connection.execute(found).scalar_one())
    store.close()
    return database, epoch


def test_first_releases_database_is_taken_over_with_all_it_holds(first_release):
    url, epoch = first_release
    store = Store(url)
    store.open()
    assert store.epoch == epoch
    whole, grown = Place(*_PLACE.values()), Place(GATEWAY_ID, LOG_ID, 0, 8)
    assert store.load([whole, grown]) == {
        whole: Stored(bytes(4096), sectors.PROVEN, 4096, _DAY),
        grown: Stored(b"abcdef", sectors.OPEN, 4, _DAY),
    }
    assert list(store.undecoded(2**60, 9)) == [grown]
    expected = []
    for row in _ROWS["observations"]:
        values = json.loads(row["values"])
        expected.append({n: v for n, v in row.items() if n != "values"} | {"readings": values})
    assert store.observations(GATEWAY_ID) == expected
    assert store.latest() == [expected[-1]]
    (alarm,) = store.newest("alarms", GATEWAY_ID, 9)
    assert alarm == _ROWS["alarms"][0]
    assert store.clocks(GATEWAY_ID) == _ROWS["clocks"]
    assert [row["cls"] for row in store.spans(GATEWAY_ID, 0)] == [0, 0]
    for name in ("events", "gaps", "story"):
        (row,) = store.recent(name, 0, 9)
        assert row == _ROWS[name][0]
    assert store.count("quarantine") == store.count("radio") == 1
    assert store.heads()[0]["fields"] == {}
    store.close()
    again = Store(url)
    again.open()
    assert again.epoch == epoch
    again.close()


def test_first_releases_rows_of_today_are_taken_over(first_release):
    """They are there before their day's partition is."""
    store = Store(first_release[0])
    now_ms = utc_now_ms()
    with store.writing() as connection:
        connection.execute(sa.text(f"UPDATE sectors SET stored_ms = {now_ms}"))
    store.open()
    assert len(store.observations(GATEWAY_ID)) == len(_ROWS["observations"])
    assert store.count("observations") == len(_ROWS["observations"])
    store.close()


def _is_day(difference):
    """A partition is no table of its own."""
    kind, what = difference[0], difference[1]
    table = what.table if kind.endswith("_index") else what
    return kind.startswith("remove_") and table.name.startswith("observations_")


def _shape(connection):
    """Return what alembic's comparison leaves out: keys, and columns' nullability."""
    inspector = sa.inspect(connection)
    return {
        name: (
            inspector.get_pk_constraint(name)["constrained_columns"],
            {column["name"]: column["nullable"] for column in inspector.get_columns(name)},
        )
        for name in tables.metadata.tables
    }


def test_steps_lead_to_the_tables_that_the_store_declares(first_release, tmp_path):
    store = Store(first_release[0])
    store.open()
    with store.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert [d for d in compare_metadata(context, tables.metadata) if not _is_day(d)] == []
        found = _shape(connection)
    store.close()
    declared = sa.create_engine(f"sqlite:///{tmp_path / 'declared.db'}")
    with declared.begin() as connection:
        tables.metadata.create_all(connection)
        assert found == _shape(connection)
    declared.dispose()


def test_steps_are_one_line():
    steps = ScriptDirectory(str(migrations.FOLDER))
    assert len(steps.get_heads()) == 1
    assert steps.get_bases() == ["0001"]
    for step in steps.walk_revisions():
        assert step.path.rpartition("/")[2].startswith(f"{step.revision}_")


def test_hubs_that_start_together_make_one_database(database):
    stores = [Store(database) for _ in range(8)]
    with ThreadPoolExecutor(len(stores)) as pool:
        list(pool.map(Store.open, stores))
    assert len(stores[0].epoch) == 8
    assert len({store.epoch for store in stores}) == 1
    for store in stores:
        store.close()


def test_database_of_a_newer_release_is_refused_and_left_alone(database):
    store = Store(database)
    store.open()
    with store.writing() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ToolError, match="schema 9999 is newer"):
        store.open()
    with store.reading() as connection:
        found = connection.execute(sa.text("SELECT version_num FROM alembic_version"))
        assert found.scalars().all() == ["9999"]
    store.close()


def test_tables_of_nobody_we_know_are_refused(database):
    store = Store(database)
    with store.writing() as connection:
        connection.execute(sa.text("CREATE TABLE meta (name text, value text)"))
    with pytest.raises(ToolError, match="of no release that we know"):
        store.open()
    with store.reading() as connection:
        assert sa.inspect(connection).get_table_names() == ["meta"]
    store.close()


def test_step_that_fails_leaves_what_was(database, monkeypatch):
    store = Store(database)
    monkeypatch.setattr(migrations.command, "upgrade", _half_way)
    with pytest.raises(RuntimeError):
        store.open()
    with store.reading() as connection:
        assert sa.inspect(connection).get_table_names() == []
    store.close()


def _half_way(config, _target):
    connection = config.attributes["connection"]
    tables.metadata.create_all(connection)
    raise RuntimeError
