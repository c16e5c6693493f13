"""PostgreSQL's days of observations: made ahead, and gone when little is left of them."""

import asyncio
import threading
from collections import Counter
from functools import partial
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from tests.support.hub import GATEWAY_ID, FakeGateway, Table
from vitalkeep.hub.jobs import days
from vitalkeep.hub.meters import Meters
from vitalkeep.hub.store import Store, StoreError, tables

_REST = "observations_rest"


def _ask(url, *statements):
    """Run statements and return what the last one finds."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        for statement in statements:
            found = connection.execute(sa.text(statement))
        rows = found.scalars().all() if found.returns_rows else []
    engine.dispose()
    return rows


class Site:
    """A store of which the database's clock can be turned, and blocks for it."""

    def __init__(self, url):
        self.url = url
        name = sa.engine.make_url(url).database
        _ask(
            url,
            "CREATE TABLE ahead AS SELECT 0 AS days",
            "CREATE FUNCTION public.now() RETURNS timestamptz LANGUAGE sql AS "
            "'SELECT pg_catalog.now() + days * interval ''1 day'' FROM public.ahead'",
            f"ALTER DATABASE {name} SET search_path = public, pg_catalog",
            # Who waits too long is an error here, and no test that hangs.
            f"ALTER DATABASE {name} SET lock_timeout = '20s'",
        )
        self.store = Store(url)
        self.store.open()
        self.today = _ask(url, "SELECT extract(epoch FROM now())::bigint / 86400")[0]
        gateway = FakeGateway()
        gateway.fill(1)
        self.blocks = Table(gateway).take(*gateway.sector_runs(0, 0)).blocks

    def pass_days(self, days):
        _ask(self.url, f"UPDATE ahead SET days = {days}")

    def put(self, day, sectors=1):
        rows = [b | {"day": day, "sector": n} for b in self.blocks for n in range(sectors)]
        with self.store.writing() as connection:
            self.store.replace(connection, tables.observations, (*tables.POSITION, "day"), rows)
        return len(rows)

    def blocks_in(self):
        """Return {partition: its blocks} of those that have any."""
        return Counter(_ask(self.url, "SELECT tableoid::regclass::text FROM observations"))

    def days(self):
        parts = _ask(self.url, "SELECT inhrelid::regclass::text FROM pg_inherits "
                     "WHERE inhparent = 'observations'::regclass")  # fmt: skip
        return {int(name.removeprefix("observations_day_")) for name in parts if name != _REST}


@pytest.fixture
def site(postgres):
    made = Site(postgres)
    yield made
    made.store.close()


def test_a_week_is_made_ahead_and_each_day_once(site):
    assert site.days() == set(range(site.today - 1, site.today + 8))
    assert site.store.make_days() == []
    site.pass_days(2)
    assert site.store.make_days() == [f"observations_day_{site.today + n}" for n in (8, 9)]


def test_a_day_leaves_room_for_blocks_to_grow_and_has_both_indexes(site):
    name = f"observations_day_{site.today}"
    of = f"WHERE oid = '{name}'::regclass"
    options = _ask(site.url, f"SELECT unnest(reloptions) FROM pg_class {of}")
    assert set(options) == {"fillfactor=50", "toast_tuple_target=8160"}
    where = f"WHERE attrelid = '{name}'::regclass AND attname = 'data'"
    assert _ask(site.url, f"SELECT attstorage::text FROM pg_attribute {where}") == ["e"]
    indexes = _ask(site.url, f"SELECT indexdef FROM pg_indexes WHERE tablename = '{name}'")
    assert sorted(text.partition(" USING ")[2] for text in indexes) == [
        "btree (gateway, boot, first_ms)",
        'btree (gateway, log, cls, sector, "offset", idx, day)',
    ]


def test_rows_that_came_before_their_day_was_made_move_into_it(site):
    count = site.put(site.today + 9)  # by a hub whose clock is ahead
    assert site.blocks_in() == {_REST: count}
    rows = site.store.observations(GATEWAY_ID)
    site.pass_days(2)
    site.store.make_days()
    assert site.blocks_in() == {f"observations_day_{site.today + 9}": count}
    assert site.store.observations(GATEWAY_ID) == rows
    site.put(site.today + 9)
    assert site.blocks_in().total() == count


def test_making_days_waits_for_no_commit_and_no_commit_for_it(site):
    site.pass_days(1)
    with site.store.writing() as connection:
        rows = [block | {"day": site.today} for block in site.blocks]
        key = (*tables.POSITION, "day")
        site.store.replace(connection, tables.observations, key, rows)
        assert len(site.store.make_days()) == 1
    assert site.blocks_in().total() == len(rows)


def test_days_that_may_still_get_rows_stay(site):
    assert site.store.drop_days() == []
    site.pass_days(1)
    assert site.store.drop_days() == [f"observations_day_{site.today - 1}"]


def test_what_little_a_day_has_left_goes_to_the_rest(site):
    count = site.put(site.today)
    rows = site.store.observations(GATEWAY_ID)
    site.pass_days(2)
    gone = {f"observations_day_{site.today - 1}", f"observations_day_{site.today}"}
    assert set(site.store.drop_days()) == gone
    assert site.days() == set(range(site.today + 1, site.today + 8))
    assert site.blocks_in() == {_REST: count}
    assert site.store.observations(GATEWAY_ID) == rows
    site.put(site.today)  # a block that grew, decoded late
    assert site.blocks_in() == {_REST: count}


def test_a_day_with_more_stays_until_its_sectors_are_compressed(site):
    name = f"observations_day_{site.today}"
    sectors = 1001 // len(site.blocks) + 1
    count = site.put(site.today, sectors)
    site.pass_days(9)
    assert name not in site.store.drop_days()
    assert site.blocks_in() == {name: count}
    _ask(site.url, "DELETE FROM observations WHERE sector > 0")
    assert site.store.drop_days() == [name]
    assert site.blocks_in() == {_REST: len(site.blocks)}


def test_a_long_reader_is_not_waited_for(site):
    count = site.put(site.today)
    site.pass_days(2)
    with site.store.reading() as connection:
        connection.execute(sa.select(sa.func.count()).select_from(tables.observations))
        with pytest.raises(StoreError, match="lock timeout"):
            site.store.drop_days()
    assert site.blocks_in() == {f"observations_day_{site.today}": count}
    assert len(site.store.drop_days()) == 2


def test_days_are_made_behind_no_long_reader_and_a_hub_starts_without_them(site):
    site.pass_days(2)
    with site.store.reading() as connection:
        connection.execute(sa.select(sa.func.count()).select_from(tables.observations))
        with pytest.raises(StoreError, match="lock timeout"):
            site.store.make_days()
        other = Store(site.url)
        other.open()
        other.close()
        assert max(site.days()) == site.today + 7
    assert len(site.store.make_days()) == 2


def test_hubs_that_do_it_together_do_it_once(site):
    count = site.put(site.today)
    site.pass_days(3)
    stores = [Store(site.url) for _ in range(3)]
    done = []

    def work(store):
        done.extend(store.make_days() + store.drop_days())

    threads = [threading.Thread(target=work, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores:
        store.close()
    assert site.days() == set(range(site.today + 2, site.today + 11))
    assert site.blocks_in() == {_REST: count}
    dropped = [
        name for name in done if int(name.removeprefix("observations_day_")) < site.today + 2
    ]
    assert len(dropped) == len(set(dropped)) == 3


@pytest.fixture
def job(site, monkeypatch):
    """Return a function that runs the job, without its pauses, until a condition holds."""
    for name in ("_EVERY_S", "_RETRY_S"):
        monkeypatch.setattr(days, name, 0.01)

    async def read(work):
        return await asyncio.to_thread(work)

    hub = SimpleNamespace(store=site.store, read=read, meters=Meters())

    async def run_until(condition):
        job = asyncio.create_task(days.run(hub))
        async with asyncio.timeout(30):
            while not await asyncio.to_thread(condition, hub):
                await asyncio.sleep(0.01)
        job.cancel()
        await asyncio.wait([job])
        assert job.cancelled()

    return lambda condition: asyncio.run(run_until(condition))


def test_the_job_does_both_as_days_pass(site, job):
    for passed in (1, 3):
        site.pass_days(passed)
        wanted = set(range(site.today + passed - 1, site.today + passed + 8))
        job(lambda _, wanted=wanted: site.days() == wanted)


def test_the_job_counts_what_a_long_reader_kept_it_from_and_does_it_later(site, job, caplog):
    def failed(hub):
        count = partial(
            hub.meters.registry.get_sample_value, "vitalkeep_hub_partitions_failed_total"
        )
        return all(count({"work": work}) for work in ("make", "drop"))

    site.pass_days(3)
    with site.store.reading() as connection:
        connection.execute(sa.select(sa.func.count()).select_from(tables.observations))
        job(failed)
    assert "days: make: canceling statement due to lock timeout" in caplog.text
    job(lambda _: site.days() == set(range(site.today + 2, site.today + 11)))


def test_sqlite_has_no_days(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'hub.db'}")
    store.open()
    assert store.make_days() == store.drop_days() == []
    store.close()
