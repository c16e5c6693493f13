"""Durable commits on both databases."""

import pytest
import sqlalchemy as sa

from tests.support.hub import FakeGateway, Table, place
from vitalkeep.errors import ToolError
from vitalkeep.hub import sectors
from vitalkeep.hub.store import StaleError, Store, StoreError, engines


@pytest.fixture
def gateway():
    made = FakeGateway()
    made.fill(1)
    return made


def test_committed_bytes_come_back(store, gateway):
    table = Table(gateway)
    where = place(gateway, 0)
    runs = gateway.sector_runs(0, 0, 500)
    for run in runs[:3]:
        store.commit(table.take(run))
    stored = store.load([where, place(gateway, 1)])
    assert stored[where][:2] == (gateway.sector(0, 0)[:1500], sectors.OPEN)
    assert stored[place(gateway, 1)] is None
    store.commit(table.take(*runs[3:]))
    day = stored[where].day
    whole = sectors.Stored(gateway.sector(0, 0), sectors.PROVEN, 4096, day)
    assert store.load([where])[where] == whole
    assert store.count("pieces") == 0
    assert store.states(where[:3], 0, 9) == [(0, 4096, sectors.PROVEN)]
    rows = store.observations(gateway.id)
    assert [row["mono_ms"] for row in rows] == [r["mono_ms"] for r in table.rows["observations"]]


def test_same_batch_twice_is_refused_as_stale(store, gateway):
    """After an answer that got lost on the way from the database, the hub must look again."""
    batch = Table(gateway).take(*gateway.sector_runs(0, 0))
    store.commit(batch)
    rows = store.count("observations")
    with pytest.raises(StaleError):
        store.commit(batch)
    assert store.count("observations") == rows


def test_growth_from_another_length_is_refused_whole(store, gateway):
    runs = gateway.sector_runs(0, 0, 500)
    ours, theirs = Table(gateway), Table(gateway)
    store.commit(ours.take(runs[0]))
    theirs.take(runs[0])
    theirs_next = theirs.take(runs[1], runs[2])
    store.commit(ours.take(runs[1]))
    count = store.count("observations")
    with pytest.raises(StaleError):
        store.commit(theirs_next)
    assert store.count("observations") == count
    assert len(store.load([place(gateway, 0)])[place(gateway, 0)].data) == 1000


def test_rows_are_idempotent_by_position(store, gateway):
    batch = Table(gateway).take(*gateway.sector_runs(0, 0))
    store.commit(batch)
    count = store.count("observations")
    batch.changes = []
    store.commit(batch)
    assert store.count("observations") == count


def test_epoch_is_the_databases_own(database, tmp_path):
    first = Store(database)
    first.open()
    again = Store(database)
    again.open()
    other = Store(f"sqlite:///{tmp_path / 'other.db'}")
    other.open()
    assert len(first.epoch) == 8
    assert first.epoch == again.epoch
    assert first.epoch != other.epoch
    for store in (first, again, other):
        store.close()


def test_sqlite_is_durable_at_every_commit(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'hub.db'}")
    store.open()
    with store.writer.connect() as connection:
        mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
        synchronous = connection.exec_driver_sql("PRAGMA synchronous").scalar()
    assert (mode, synchronous) == ("wal", 2)
    store.checkpoint()
    store.close()


def test_who_reads_makes_no_file_in_the_place_of_one_that_was_moved(tmp_path, gateway):
    table = Table(gateway)
    runs = gateway.sector_runs(0, 0, 500)
    file, away = tmp_path / "a %?#b.db", tmp_path / "away.db"
    store = Store("sqlite:///" + str(file).replace("%", "%25").replace("?", "%3F"))
    store.open()
    store.commit(table.take(runs[0]))
    file.rename(away)
    with pytest.raises(StoreError, match="unable to open"):
        store.count("pieces")
    assert not file.exists()
    away.rename(file)
    store.commit(table.take(runs[1]))
    assert store.count("pieces") == 2
    store.close()


def test_what_is_in_a_log_without_a_name_is_in_the_file_once_that_is_noticed(tmp_path, gateway):
    table = Table(gateway)
    runs = gateway.sector_runs(0, 0, 500)
    store = Store(f"sqlite:///{tmp_path / 'hub.db'}")
    store.open()
    store.commit(table.take(*runs[:3]))
    (tmp_path / "hub.db-wal").unlink()
    batch = table.take(runs[3])
    for _ in range(2):
        with pytest.raises(StoreError, match="-wal was moved, removed or replaced"):
            store.commit(batch)
    crashed = tmp_path / "crashed.db"
    crashed.write_bytes((tmp_path / "hub.db").read_bytes())
    store.close()
    for path in (crashed, tmp_path / "hub.db"):
        store = Store(f"sqlite:///{path}")
        store.open()
        where = place(gateway, 0)
        assert store.load([where])[where].data == gateway.sector(0, 0)[:1500]
        store.commit(batch)
        store.close()


def test_database_that_is_gone_is_an_error_with_a_reason(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'no' / 'folder' / 'hub.db'}")
    with pytest.raises(StoreError, match="unable to open"):
        store.open()


@pytest.mark.parametrize("url", ["", "mysql://x/y", "sqlite://", "not a url"])
def test_wrong_urls_are_refused(url):
    with pytest.raises(ToolError):
        Store(url)


def test_password_is_not_shown():
    store = Store("postgresql://user:secret@127.0.0.1:1/db")
    assert "secret" not in store.address
    assert "secret" not in repr(store.writer)


@pytest.mark.postgres
def test_hub_that_stands_still_in_a_commit_lets_go_of_its_rows(postgres, monkeypatch):
    monkeypatch.setattr(engines, "IDLE_MS", 300)
    still, other = Store(postgres), Store(postgres)
    still.open()
    other.open()
    lock = sa.text("UPDATE meta SET value = value WHERE name = 'epoch'")

    def stand_still():
        with still.writing() as connection:
            connection.execute(lock)
            with other.writing() as waiting:
                waiting.execute(lock)
            connection.execute(lock)

    with pytest.raises(StoreError, match="idle-in-transaction"):
        stand_still()
    with still.writing() as connection:
        connection.execute(lock)
    still.close()
    other.close()
