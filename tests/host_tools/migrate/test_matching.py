"""Two sides held against each other: everything is in one list, and nothing in two."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from vitalkeep.migrate.matching import Matched, Point, Tolerance, match

EXACT = Tolerance(0, Fraction(0))


def points(*pairs):
    return [Point(at, Fraction(value)) for at, value in pairs]


sides = st.lists(
    st.builds(Point, st.integers(0, 60), st.integers(0, 4).map(Fraction)), max_size=25
).map(sorted)
tolerances = st.builds(
    Tolerance, st.integers(0, 6), st.integers(0, 2).map(Fraction), st.integers(0, 9)
)


@given(sides, sides, tolerances)
def test_everything_is_in_one_list(theirs, ours, tolerance):
    found = match(theirs, ours, tolerance)
    paired = found.same + len(found.different)
    assert paired + len(found.missing_here) == len(theirs)
    unpaired = len(ours) - paired
    assert len(found.missing_there) <= unpaired
    if not tolerance.every_ms:
        assert len(found.missing_there) == unpaired
    for a, b in found.different:
        assert abs(a.at_ms - b.at_ms) <= tolerance.time_ms
        assert abs(a.value - b.value) > tolerance.value or found.same  # its like was taken
    assert all(point in theirs for point in found.missing_here)


@given(sides, tolerances)
def test_a_side_is_like_itself(side, tolerance):
    found = match(side, side, tolerance)
    assert found.same == len(side)
    assert found == Matched(len(side))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=25), st.data())
def test_what_one_side_lost_is_missing_there_and_nowhere_else(values, data):
    """One value a second, clocks up to 0.4 s apart: a lost one is found among its like."""
    ours = [Point(1000 * n, Fraction(v)) for n, v in enumerate(values)]
    shifted = [Point(p.at_ms + data.draw(st.integers(0, 400)), p.value) for p in ours]
    lost = data.draw(st.integers(0, len(ours) - 1))
    tolerance = Tolerance(450, Fraction(0))
    here = match(shifted, ours[:lost] + ours[lost + 1 :], tolerance)
    there = match(shifted[:lost] + shifted[lost + 1 :], ours, tolerance)
    assert here == Matched(len(ours) - 1, [], [shifted[lost]])
    assert there == Matched(len(ours) - 1, [], [], [ours[lost]])


@given(st.lists(st.integers(0, 4), min_size=1, max_size=25), st.data())
def test_another_value_is_different_and_nothing_else(values, data):
    ours = [Point(1000 * n, Fraction(v)) for n, v in enumerate(values)]
    at = data.draw(st.integers(0, len(ours) - 1))
    theirs = list(ours)
    theirs[at] = Point(ours[at].at_ms, ours[at].value + 9)
    found = match(theirs, ours, Tolerance(400, Fraction(1)))
    assert found == Matched(len(ours) - 1, [(theirs[at], ours[at])])


def test_archive_that_keeps_a_value_a_minute_covers_the_seconds_between():
    ours = points(*((1000 * n, 97) for n in range(180)))
    theirs = points((0, 97), (60_000, 97), (120_000, 97))
    each = match(theirs, ours, Tolerance(2000, Fraction(1)))
    assert len(each.missing_there) == 177
    assert not match(theirs, ours, Tolerance(2000, Fraction(1), 60_000)).missing_there
    hole = match(theirs[:1], ours, Tolerance(2000, Fraction(1), 60_000))
    assert [p.at_ms for p in hole.missing_there][:2] == [61_000, 62_000]


def test_tolerance_ends_where_it_says():
    assert match(points((0, 97)), points((0, 98)), Tolerance(0, Fraction(1))).same == 1
    assert match(points((0, 97)), points((0, 99)), Tolerance(0, Fraction(1))).different
    assert match(points((0, 97)), points((3, 97)), Tolerance(3, Fraction(0))).same == 1
    assert match(points((0, 97)), points((4, 97)), Tolerance(3, Fraction(0))).missing_here
