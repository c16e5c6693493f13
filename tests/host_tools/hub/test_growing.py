"""What is decoded next: every bed's newest values of class A, then the rest."""

import os

import pytest

from tests.support.hub import FakeGateway, place
from vitalkeep.hub.growing import DecodingSettings, Growing
from vitalkeep.hub.ingest import Ingest
from vitalkeep.hub.sectors import OPEN, Stored
from vitalkeep.keys.cipher import Aes256

MUCH, LITTLE = 2000, 400


@pytest.fixture(scope="module")
def filled():
    made = FakeGateway(sectors=40)
    for cls in range(3):
        made.fill(2, cls)
    return made


@pytest.fixture
def ingest(filled):
    return Ingest([filled.vault_entry()], Aes256)


@pytest.fixture
def growing(ingest):
    return Growing(ingest, lambda place: True)


def grow(growing, ingest, filled, cls, number, length, decoded=0, now_s=1.0):
    """Let a sector grow to so many bytes."""
    where = place(filled, number, cls)
    ingest.load(where, Stored(filled.sector(cls, number)[:length], OPEN, decoded))
    growing.note(where, length, now_s)
    return where


def taken(growing):
    found = [task.place for task in growing.take()]
    growing.done()
    return found


def test_class_a_goes_first_and_little_before_much(growing, ingest, filled):
    c, b, a = (grow(growing, ingest, filled, cls, 1, 4096) for cls in (2, 1, 0))
    little = grow(growing, ingest, filled, 2, 0, LITTLE)
    assert taken(growing) == [little, a, b]
    assert growing.waits
    assert taken(growing) == [c]
    assert not growing.waits


def test_what_comes_before_the_newest_sector_of_a_bed_is_left_to_the_store(
    growing, ingest, filled
):
    old = grow(growing, ingest, filled, 0, 0, 4096)
    assert old in growing
    new = grow(growing, ingest, filled, 0, 1, MUCH)
    assert old not in growing
    assert taken(growing) == [new]


def test_process_that_knows_a_sector_has_little_to_read(growing, ingest, filled):
    known = grow(growing, ingest, filled, 1, 0, MUCH)
    assert taken(growing) == [known]
    much = grow(growing, ingest, filled, 0, 0, MUCH)
    grow(growing, ingest, filled, 1, 0, MUCH + LITTLE, MUCH)
    assert taken(growing) == [known, much]
    growing.forget()
    grow(growing, ingest, filled, 1, 0, MUCH + 2 * LITTLE, MUCH + LITTLE)
    much = grow(growing, ingest, filled, 0, 1, MUCH)
    assert taken(growing) == [much, known]


def test_wait_is_that_of_whoever_waited_longest(growing, ingest, filled):
    grow(growing, ingest, filled, 0, 0, LITTLE, now_s=4.0)
    grow(growing, ingest, filled, 1, 0, MUCH, now_s=3.0)
    grow(growing, ingest, filled, 1, 0, MUCH + 1, now_s=5.0)  # its first bytes wait since 3.0
    growing.take()
    assert growing.since_s == 3.0


def test_who_speaks_while_much_is_read_waits_for_nobody(growing, ingest, filled):
    first = grow(growing, ingest, filled, 1, 0, MUCH)
    growing.take()
    second = grow(growing, ingest, filled, 0, 0, MUCH)
    grow(growing, ingest, filled, 1, 0, MUCH + LITTLE)  # the store has nothing of it yet
    growing.done()
    assert taken(growing) == [first, second]


def test_what_is_under_way_is_nobody_elses(growing, ingest, filled):
    first = grow(growing, ingest, filled, 0, 0, LITTLE)
    growing.take()
    assert not growing.waits
    assert first in growing
    growing.done()
    assert first not in growing


def test_sector_of_another_hubs_gateway_is_left_alone(ingest, filled):
    growing = Growing(ingest, lambda place: False)
    grow(growing, ingest, filled, 0, 0, LITTLE)
    assert taken(growing) == []


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="a processor is not asked here")
def test_processes_follow_the_cores_that_the_hub_may_use(monkeypatch):
    for cores, count in ((1, 1), (2, 1), (3, 1), (4, 2), (6, 3), (64, 4)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: range(cores))
        assert DecodingSettings().count() == count
    assert DecodingSettings(processes=3).count() == 3
