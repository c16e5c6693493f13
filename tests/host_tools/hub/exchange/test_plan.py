"""Any number of sites, any interleaving, any cuts: all end with the union, and none goes back.

A sector is a count of bytes here, sealed at FULL. What a site hands out is a prefix or a seal.
"""

from hypothesis import given, settings
from hypothesis import strategies as st

from vitalkeep.hub.exchange.plan import Holding, lack, unproved, wants
from vitalkeep.hub.exchange.ranges import Ranges
from vitalkeep.hub.sectors import BROKEN, OPEN, ORPHAN, PROVEN, WHOLE, Place

FULL = 4096
STREAMS = [(b"gateway%d" % g, b"logid---", cls) for g in range(2) for cls in range(3)]
SECTORS = 6


class Site:
    """What one site has, and whether it ever had more."""

    def __init__(self):
        self.held = {stream: Holding() for stream in STREAMS}

    def level(self, stream, number):
        holding = self.held[stream]
        if number in holding.sealed:
            return FULL
        return holding.parts.get(number, (0, 0))[0]

    def grow(self, stream, number, length):
        """As ingest does: a prefix only ever grows, and a seal is the end."""
        if length > self.level(stream, number):
            state = PROVEN if length == FULL else OPEN
            self.held[stream].set(number, length, state)

    def levels(self):
        return {(s, n): self.level(s, n) for s in STREAMS for n in range(SECTORS)}

    def pull(self, other, seen, budget, count, cut, classes=(0, 1, 2)):
        """Ask `other` by what was `seen` of it; the connection breaks behind `cut` sectors."""
        lacks = {stream: lack(self.held[stream], theirs) for stream, theirs in seen.items()}
        asked = wants(lacks, classes, budget, count)
        for want in asked[:cut]:
            *stream, number = want.place
            stream = tuple(stream)
            if want.sealed:
                assert number in other.held[stream].sealed  # nobody ever forgets
                self.grow(stream, number, FULL)
            else:
                # A prefix that was sealed meanwhile goes as far as runs can go.
                self.grow(stream, number, min(other.level(stream, number), FULL - 20))
        return asked

    def seen(self):
        return {stream: holding.copy() for stream, holding in self.held.items()}


@st.composite
def stories(draw):
    sites = draw(st.integers(2, 4))
    site = st.integers(0, sites - 1)
    writes = st.tuples(
        st.just("write"),
        st.sampled_from(STREAMS),
        st.integers(0, SECTORS - 1),
        st.sampled_from([74, 600, 3000, FULL]),
        st.sets(site),
    )
    looks = st.tuples(st.just("look"), site, site)
    pulls = st.tuples(
        st.just("pull"), site, site, st.integers(0, 9000), st.integers(1, 9), st.integers(0, 9)
    )
    return sites, draw(st.lists(st.one_of(writes, looks, pulls), max_size=40))


@settings(max_examples=150, deadline=None)
@given(stories())
def test_every_story_ends_with_the_union_at_every_site(story):
    count, steps = story
    sites = [Site() for _ in range(count)]
    views = {}
    for step in steps:
        before = [site.levels() for site in sites]
        if step[0] == "write":
            _, stream, number, length, at = step
            for index in at:
                sites[index].grow(stream, number, length)
        elif step[0] == "look":
            views[step[1:]] = sites[step[2]].seen()
        else:
            _, one, two, budget, most, cut = step
            if (one, two) in views and one != two:
                sites[one].pull(sites[two], views[one, two], budget, most, cut)
        for site, levels in zip(sites, before, strict=True):
            assert all(site.levels()[key] >= level for key, level in levels.items())
    union = {key: max(site.levels()[key] for site in sites) for key in sites[0].levels()}
    # Each may speak with its neighbour alone, as long as all are connected.
    for _ in range(4 * len(union) * count):
        busy = False
        for index, site in enumerate(sites):
            other = sites[(index + 1) % count]
            busy = bool(site.pull(other, other.seen(), 5000, 3, 3)) or busy
        if not busy:
            break
    assert all(site.levels() == union for site in sites)


def holding(sealed=(), **parts):
    made = Holding(Ranges(sealed))
    for name, part in parts.items():
        made.parts[int(name[1:])] = part
    return made


STREAM = STREAMS[0]
OTHER = STREAMS[3]


def test_a_sealed_copy_takes_the_place_of_all_that_is_none():
    theirs = holding([(0, 5)])
    mine = holding([(0, 0)], s1=(600, OPEN), s2=(FULL, BROKEN), s3=(600, ORPHAN), s4=(FULL, WHOLE))
    found = lack(mine, theirs)
    assert list(found.sealed) == [1, 2, 3, 5]  # the whole one only lacks the sector before it
    assert not found.parts


def test_nothing_is_asked_for_that_is_sealed_here():
    mine = holding([(0, 3)])
    assert not lack(mine, holding([(0, 2)], s3=(FULL, BROKEN)))
    assert lack(None, holding([(0, 2)])).sectors == 3


def test_what_is_live_goes_first_and_then_the_oldest_of_each_log_in_turn():
    theirs = {
        STREAM: lack(None, holding([(0, 99)], s100=(600, OPEN))),
        OTHER: lack(None, holding([(7, 9)], s3=(80, ORPHAN), s10=(600, OPEN))),
    }
    asked = [(want.place[:3], want.place.sector) for want in wants(theirs, (0,), None, 18)]
    assert asked[:2] == [(STREAM, 100), (OTHER, 10)]
    assert asked[2:10] == [(STREAM, number) for number in range(8)]
    assert asked[10:14] == [(OTHER, number) for number in (3, 7, 8, 9)]
    assert asked[14:] == [(STREAM, number) for number in (8, 9, 10, 11)]


def test_a_higher_class_leaves_the_others_what_is_left_of_the_budget():
    theirs = {stream: lack(None, holding([(0, 3)])) for stream in STREAMS}
    asked = wants(theirs, (0, 1, 2), 9 * FULL, 100)
    assert [want.place.cls for want in asked] == [0] * 8 + [1]
    assert [want.place.cls for want in wants(theirs, (2,), FULL, 100)] == [2]


def test_the_first_fits_any_budget_but_none():
    theirs = {STREAM: lack(None, holding([(0, 3)]))}
    assert len(wants(theirs, (0,), 1, 100)) == 1
    assert wants(theirs, (0,), 0, 100) == []


def test_what_was_asked_for_in_vain_holds_nothing_up():
    theirs = {STREAM: lack(None, holding([(0, 3)], s4=(90, OPEN)))}
    vain = {Place(*STREAM, 0), Place(*STREAM, 4)}
    asked = wants(theirs, (0,), None, 100, vain.__contains__)
    assert [want.place.sector for want in asked] == [1, 2, 3]


def test_what_both_have_and_nobody_proved_is_to_be_proved():
    found = unproved(holding([(0, 9)]), holding([(5, 20)]), Ranges([(6, 7)]))
    assert list(found) == [5, 8, 9]
