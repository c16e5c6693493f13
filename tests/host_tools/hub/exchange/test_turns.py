"""Whose turn it is: classes, places that were asked for in vain, what waits, what is a copy."""

from vitalkeep.hub.exchange.copies import Copies
from vitalkeep.hub.exchange.schedule import Schedule
from vitalkeep.hub.exchange.vain import Vain
from vitalkeep.hub.exchange.waiting import Waiting
from vitalkeep.hub.sectors import Place

STREAM = (b"gateway1", b"logid---", 0)
OTHER = (b"gateway1", b"logid---", 2)
WEST, NORTH = b"west----", b"north---"


def test_lower_classes_go_when_idle_and_within_the_hour_in_any_case():
    schedule = Schedule(3600)
    assert schedule.classes(0, idle=True, waiting=True) == (0, 1, 2)
    assert schedule.classes(10, idle=False, waiting=True) == (0,)
    assert schedule.classes(3599, idle=False, waiting=True) == (0,)
    # However much there is of class A, every second turn is theirs until nothing waits.
    assert schedule.classes(3600, idle=False, waiting=True) == (1, 2, 0)
    assert schedule.classes(3601, idle=False, waiting=True) == (0, 1, 2)
    assert schedule.classes(3602, idle=False, waiting=True) == (1, 2, 0)
    assert schedule.classes(3603, idle=False, waiting=False) == (0,)
    assert schedule.classes(7200, idle=False, waiting=True) == (0,)
    assert schedule.classes(7203, idle=False, waiting=True) == (0, 1, 2)


def test_what_was_asked_for_in_vain_waits_longer_each_time():
    vain, place = Vain(), Place(*STREAM, 1)
    assert not vain.holds(place, 0)
    vain.note(place, 0)
    assert vain.holds(place, 4.9)
    assert not vain.holds(place, 5)
    vain.note(place, 5)
    assert vain.holds(place, 14.9)
    for _ in range(20):
        vain.note(place, 100)
    assert vain.holds(place, 3699)
    assert not vain.holds(place, 3700)
    vain.forget(place)
    assert not vain.holds(place, 100)


def test_waiting_is_since_the_oldest_that_still_waits():
    waiting = Waiting()
    waiting.set(STREAM, "a", 3, 10.0)
    waiting.set(OTHER, "c", 1, 12.0)
    waiting.set(STREAM, "b", 2, 15.0)
    assert waiting.by_class(20.0) == {"A": (2, 10.0), "B": (0, 0.0), "C": (1, 8.0)}
    assert dict(waiting.items(11.0)) == {STREAM: "b"}
    assert waiting.any_of((1, 2))
    waiting.set(OTHER, "c", 0, 21.0)
    assert not waiting.any_of((1, 2))


def test_copies_count_sites_and_not_proofs():
    copies, place = Copies(), Place(*STREAM, 3)
    assert copies.count(place) == 1
    assert copies.add(WEST, [place, place._replace(sector=4)]) == {STREAM: [(3, 4)]}
    copies.add(WEST, [place])
    assert copies.count(place) == 2
    copies.add(NORTH, [place])
    assert copies.count(place) == 3
    assert copies.copied(STREAM, 0, 9) == [3, 4]
    assert copies.copied(STREAM, 4, 4) == [4]
    assert copies.by_class(WEST) == {"A": 2, "B": 0, "C": 0}
    assert copies.withdraw(WEST, [place]) == {STREAM: [(4, 4)]}
    assert copies.count(place) == 2
    copies.forget(NORTH)
    assert copies.count(place) == 1
    again = Copies()
    again.load([(WEST, STREAM, 4, 4)])
    assert again.copied(STREAM, 0, 9) == [4]
