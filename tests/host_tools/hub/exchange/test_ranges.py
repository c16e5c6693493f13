"""Sets of sector numbers, beside Python's own."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from vitalkeep.hub.exchange.ranges import Ranges

NUMBERS = st.integers(0, 60)
PAIRS = st.tuples(NUMBERS, NUMBERS)
STEPS = st.lists(st.tuples(st.booleans(), PAIRS), max_size=30)


def numbers(pair):
    return set(range(pair[0], pair[1] + 1))


def build(steps):
    """Return a Ranges and the plain set that went through the same."""
    made, plain = Ranges(), set()
    for add, pair in steps:
        if add:
            made.add(*pair)
            plain |= numbers(pair)
        else:
            made.remove(*pair)
            plain -= numbers(pair)
    return made, plain


@given(STEPS)
def test_it_holds_what_a_set_holds(steps):
    made, plain = build(steps)
    assert list(made) == sorted(plain)
    assert len(made) == len(plain)
    assert made.newest == max(plain, default=-1)
    assert all((number in made) == (number in plain) for number in range(62))


@given(STEPS)
def test_its_pairs_neither_touch_nor_overlap(steps):
    pairs = build(steps)[0].pairs()
    assert all(first <= last for first, last in pairs)
    assert all(one[1] + 1 < two[0] for one, two in pairwise(pairs))


@given(STEPS, STEPS, st.integers(0, 70))
def test_differences_and_heads_are_those_of_sets(one, two, count):
    (made, plain), (other, others) = build(one), build(two)
    assert list(made.minus(other)) == sorted(plain - others)
    assert list(made.also_in(other)) == sorted(plain & others)
    assert made.head(count) == sorted(plain)[:count]
    assert list(made) == sorted(plain)  # and neither was touched


def test_a_log_of_years_is_one_pair():
    made = Ranges()
    for number in range(1000):
        made.add(number)
    made.add(1000, 5_000_000)
    assert made.pairs() == [(0, 5_000_000)]
