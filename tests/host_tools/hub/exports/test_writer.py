"""Each value is in exactly one object, wherever a holder of the duty dies and whoever goes on."""

import json

import pytest
import sqlalchemy as sa

from tests.support.hub import LOG_ID, FakeGateway, WritePath, converse
from vitalkeep.archive.bucket import Bucket
from vitalkeep.archive.keys import ArchiveKeys
from vitalkeep.archive.shelf import Shelf
from vitalkeep.hub.exports.settings import CSV, FHIR
from vitalkeep.hub.exports.writer import Writer
from vitalkeep.hub.store import Store, tables
from vitalkeep.hub.store.duties import LostTermError

LONG_MS = 60_000
DAY_MS = 24 * 3600 * 1000
NOW_MS = 1_700_000_000_000


@pytest.fixture
def bucket(tmp_path):
    (tmp_path / "out").mkdir()
    return Bucket(f"file://{tmp_path}/out")


@pytest.fixture
def gateway():
    made = FakeGateway()
    made.set_clock(NOW_MS)
    return made


def take(store, name="hub-a"):
    """Return the store as a holder of the duty may write it, and the term."""
    found = store.take("exports", name, LONG_MS)
    assert found is not None
    return store.under("exports", name, found.term), found.term


def writer(store, vault, bucket, books, term, form=FHIR, now_ms=NOW_MS):
    shelf = Shelf(store, ArchiveKeys(vault.gateways()), None)
    return Writer(store, shelf, books, bucket, form, term, lambda: now_ms)


def run(made, vault):
    done = []
    while (one := made.step(vault.gateways())) is not None:
        done.append(one)
    return done


def ids(bucket):
    found = []
    for name in bucket.names():
        found += [json.loads(line)["id"] for line in bucket.get(name).decode().splitlines()]
    return found


def values(store, gateway):
    return sum(len(row["readings"]) for row in store.observations(gateway.id, count=10**6))


def test_all_that_is_stored_is_exported_once_and_what_grows_later_then(
    store, vault, path, bucket, gateway
):
    gateway.observe(p1=97)
    gateway.observe(cls=1, p1=96)
    converse(path, gateway)
    made = writer(store, vault, bucket, *take(store))
    (first,) = run(made, vault)
    assert first.lines == values(store, gateway) == len(set(ids(bucket))) > 0
    assert run(made, vault) == []
    gateway.observe(p1=95)
    gateway.fill(2)
    converse(path, gateway)
    (second,) = run(made, vault)
    assert second.number == first.number + 1
    found = ids(bucket)
    assert len(found) == len(set(found)) == values(store, gateway)
    assert run(made, vault) == []


class PowerCut(Exception):
    pass


class Switch:
    """Cuts the power at one of the steps."""

    def __init__(self, at):
        self.at, self.steps = at, 0

    def __call__(self):
        self.steps += 1
        if self.steps == self.at + 1:
            raise PowerCut


class Cut:
    """Something whose calls end in a power cut at one of them, before it is done or after."""

    def __init__(self, inner, switch):
        self._inner, self._switch = inner, switch

    def __getattr__(self, name):
        found = getattr(self._inner, name)

        def call(*arguments, **named):
            self._switch()
            result = found(*arguments, **named)
            self._switch()
            return result

        return call


def test_wherever_a_holder_dies_the_next_one_leaves_nothing_out_and_repeats_nothing(
    store, vault, path, bucket, gateway
):
    cuts = 0
    for at in range(100):
        gateway.observe(p1=90 + at % 9)
        converse(path, gateway)
        switch = Switch(at)
        books, term = take(store, f"hub-{2 * at}")
        broken = writer(store, vault, Cut(bucket, switch), Cut(books, switch), term)
        try:
            run(broken, vault)
        except PowerCut:
            cuts += 1
        store.give("exports", f"hub-{2 * at}", term)
        books, term = take(store, f"hub-{2 * at + 1}")
        run(writer(store, vault, bucket, books, term), vault)
        store.give("exports", f"hub-{2 * at + 1}", term)
        found = ids(bucket)
        assert len(found) == len(set(found)) == values(store, gateway)
        if switch.steps <= at:
            break
    assert cuts > 8


def test_a_holder_that_slept_changes_nothing_once_another_has_the_duty(
    store, vault, path, bucket, gateway
):
    gateway.observe(p1=97)
    converse(path, gateway)
    old = writer(store, vault, bucket, *take(store, "hub-a"))
    store.give("exports", "hub-a", 1)
    new = writer(store, vault, bucket, *take(store, "hub-b"))
    with pytest.raises(LostTermError):
        old.step(vault.gateways())
    assert list(bucket.names()) == []
    assert store.exports(1) == []
    assert len(run(new, vault)) == 1


def test_another_site_goes_on_where_the_first_one_ended_and_waits_for_no_sector_it_lacks(
    store, vault, path, bucket, gateway, tmp_path
):
    """The books are with a witness; the other site has a store of its own."""
    gateway.observe(p1=97)
    converse(path, gateway)
    other, witness = (Store(f"sqlite:///{tmp_path / name}") for name in ("other.db", "witness.db"))
    for one in (other, witness):
        one.open()
    there = WritePath(vault, other)
    try:
        books, term = take(witness, "one")
        (first,) = run(writer(store, vault, bucket, books, term), vault)
        gateway.observe(p1=95)
        converse(path, gateway)
        switch = Switch(10**6)
        broken = writer(store, vault, Cut(bucket, switch), books, term)
        switch.at = switch.steps  # at the first look into the bucket: planned and not written
        with pytest.raises(PowerCut):
            broken.step(vault.gateways())
        witness.give("exports", "one", term)
        books, term = take(witness, "two")
        successor = writer(other, vault, bucket, books, term)
        assert run(successor, vault) == [], "it has nothing, and the plan is struck"
        gateway.connect()
        converse(there, gateway)
        (second,) = run(successor, vault)
        assert (second.number, second.term) == (first.number + 1, term)
        found = ids(bucket)
        assert len(found) == len(set(found)) == values(other, gateway)
    finally:
        there.intake.close()
        other.close()
        witness.close()


def test_values_wait_for_their_gateways_clock_but_not_for_ever(store, vault, path, bucket):
    gateway = FakeGateway()  # it has no clock yet
    gateway.observe(p1=97)
    converse(path, gateway)
    stored_ms = next(store.decoded((gateway.id, LOG_ID, 0), Nothing())).stored_ms
    books, term = take(store)
    assert run(writer(store, vault, bucket, books, term, now_ms=stored_ms), vault) == []
    late_ms = stored_ms + DAY_MS + 1
    assert len(run(writer(store, vault, bucket, books, term, now_ms=late_ms), vault)) == 1


class Nothing:
    """A log of which nothing was exported."""

    def spans(self):
        return [(0, 2**62)]

    def end(self, _):
        return 0


def test_warm_rows_and_csv_are_exported_too(store, vault, path, bucket, gateway):
    gateway.fill(3)
    converse(path, gateway)
    wanted = values(store, gateway)
    for known in store.closed(gateway.id, 0, 0, 2**62, "hot", 10):
        store.compress(known.place)
    (done,) = run(writer(store, vault, bucket, *take(store), form=CSV), vault)
    (name,) = bucket.names()
    assert name.endswith(".csv")
    assert done.lines == wanted == len(bucket.get(name).splitlines()) - 1


def test_rows_that_are_spoilt_are_exported_from_their_sealed_bytes(
    store, vault, path, bucket, gateway
):
    gateway.fill(3)
    converse(path, gateway)
    wanted = values(store, gateway)
    o = tables.observations
    with store.writing() as connection:
        spoilt = sa.update(o).where(o.c.sector == 1).values(data=b"junk")
        assert connection.execute(spoilt).rowcount
    (done,) = run(writer(store, vault, bucket, *take(store)), vault)
    assert done.lines == wanted == len(set(ids(bucket)))
