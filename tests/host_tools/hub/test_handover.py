"""A duty among hubs that die, sleep and are cut off: never two holders, and one in the end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vitalkeep.hub.cut import BROKER_S, SILENT_S, SITE_S, WELL_S, Signs, Verdict
from vitalkeep.hub.handover import GIVE, KEEP, TAKE, WAIT, Standby, decide

TERM_S, BEAT_S, STEADY_S = 10.0, 2.0, 30.0


class Hub:
    """One hub: it acts while its own clock says that its term runs."""

    def __init__(self, name: str, rank: int) -> None:
        self.name, self.rank = name, rank
        self.fit, self.since_s = True, 0.0
        self.asleep_until_s = 0.0
        self.term, self.until_s = 0, -1.0
        self.seen_s = -1.0


class Book:
    """The database: one row of the duty, and its clock."""

    def __init__(self) -> None:
        self.holder, self.term, self.until_s = "", 0, -1.0

    def beat(self, hub: Hub, hubs: list[Hub], now_s: float) -> None:
        hub.seen_s = now_s + TERM_S
        if hub.until_s >= 0:
            if (self.holder, self.term) == (hub.name, hub.term) and self.until_s > now_s:
                self.until_s = hub.until_s = now_s + TERM_S
            else:
                hub.until_s = -1.0
        alive = [
            Standby(h.name, h.rank, h.fit, now_s - h.since_s) for h in hubs if h.seen_s > now_s
        ]
        holder = self.holder if self.holder and self.until_s > now_s else None
        word = decide(hub.name, alive, holder, STEADY_S)
        if word == TAKE and holder is None:
            self.holder, self.term = hub.name, self.term + 1
            self.until_s = hub.until_s = now_s + TERM_S
            hub.term = self.term
        elif word == GIVE:
            hub.until_s, self.holder = -1.0, ""


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["sleep", "cut", "well"]),
        st.floats(0.5, 40.0),
    ),
    max_size=25,
)


@given(EVENTS)
def test_never_two_at_once_and_in_the_end_the_one_that_should(events) -> None:
    hubs = [Hub("a", 0), Hub("b", 1), Hub("c", 1)]
    book, now_s, terms = Book(), 0.0, []

    def run(seconds: float) -> None:
        nonlocal now_s
        for _ in range(int(seconds / BEAT_S) + 1):
            now_s += BEAT_S
            for hub in hubs:
                if hub.asleep_until_s <= now_s:
                    book.beat(hub, hubs, now_s)
                acting = [h for h in hubs if h.until_s > now_s]
                assert len(acting) <= 1, [h.name for h in acting]
                if acting and (not terms or terms[-1] != acting[0].term):
                    assert not terms or acting[0].term > terms[-1]
                    terms.append(acting[0].term)

    for number, what, seconds in events:
        hub = hubs[number]
        if what == "sleep":
            hub.asleep_until_s = now_s + seconds
        elif hub.fit != (what == "well"):
            hub.fit, hub.since_s = what == "well", now_s
        run(seconds / 4)
    for hub in hubs:
        if not hub.fit:
            hub.fit, hub.since_s = True, now_s
    run(40 + 2 * (TERM_S + STEADY_S))
    assert book.holder == "a"
    assert hubs[0].until_s > now_s


def stand(name: str, rank: int, fit: bool = True, for_s: float = 1000.0) -> Standby:
    return Standby(name, rank, fit, for_s)


def test_it_goes_back_only_when_the_better_one_was_well_for_long() -> None:
    own = stand("b", 1)
    assert decide("b", [own, stand("a", 0, for_s=10)], "b", 60) == KEEP
    assert decide("b", [own, stand("a", 0, for_s=60)], "b", 60) == GIVE
    assert decide("b", [own, stand("a", 0, False)], "b", 60) == KEEP
    assert decide("b", [own, stand("a", 1)], "b", 60) == KEEP, "equals leave it where it is"


def test_who_is_cut_off_gives_it_up_if_anyone_is_not() -> None:
    cut, well = stand("a", 0, False), stand("b", 1)
    assert decide("a", [cut, well], "a", 60) == GIVE
    assert decide("b", [cut, well], None, 60) == TAKE
    assert decide("a", [cut, well], None, 60) == WAIT
    assert decide("a", [cut, stand("b", 1, False)], "a", 60) == KEEP, "somebody has to"
    assert decide("a", [cut, stand("b", 1, False)], None, 60) == TAKE


def test_a_blip_is_no_cut_and_a_cut_ends_only_when_all_is_well_for_a_while() -> None:
    verdict = Verdict()
    assert not verdict.look(Signs(broker=BROKER_S / 2), 0)
    assert verdict.look(Signs(broker=BROKER_S, silent=0), 1)
    assert verdict.cut
    assert verdict.evidence == ("no broker for 10 s",)
    assert not verdict.look(Signs(), 2)
    assert not verdict.look(Signs(broker=1), 2 + WELL_S - 1), "the patience begins anew"
    assert not verdict.look(Signs(), 20)
    assert verdict.look(Signs(), 20 + WELL_S)
    assert not verdict.cut


def test_a_site_alone_does_not_hold_itself_cut_off() -> None:
    verdict = Verdict()
    assert verdict.look(Signs(site=SITE_S), 1)
    assert (verdict.cut, verdict.isolated) == (False, True)
    assert verdict.look(Signs(site=SITE_S + 5, silent=SILENT_S), 2)
    assert verdict.cut
    assert len(verdict.evidence) == 2
