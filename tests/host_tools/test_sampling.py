"""What a sample says of the whole holds."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitalkeep.sampling import at_most, sample_size


@pytest.mark.parametrize(
    ("error_rate", "confidence", "size"),
    [(0.01, 0.95, 299), (0.001, 0.95, 2995), (0.1, 0.99, 44), (0.5, 0.5, 1)],
)
def test_size_that_shows_an_error_rate(error_rate, confidence, size):
    assert sample_size(error_rate, confidence) == size
    assert at_most(0, size, confidence) <= error_rate < at_most(0, size - 1 or 0, confidence)


@pytest.mark.parametrize(
    ("wrong", "checked", "bound"),
    [(0, 10, 0.2589), (1, 10, 0.3942), (5, 100, 0.1023), (10, 10, 1.0), (0, 0, 1.0)],
)
def test_bounds_are_those_of_the_tables(wrong, checked, bound):
    """Clopper and Pearson's one-sided upper limits at 95 %."""
    assert at_most(wrong, checked, 0.95) == pytest.approx(bound, abs=5e-4)


@given(st.integers(1, 3000), st.data(), st.floats(0.5, 0.999))
def test_more_wrong_or_more_certain_is_a_higher_bound(checked, data, confidence):
    wrong = data.draw(st.integers(0, min(checked - 1, 50)))
    bound = at_most(wrong, checked, confidence)
    assert wrong / checked < bound <= 1
    assert at_most(wrong + 1, checked, confidence) >= bound
    assert at_most(wrong, checked, (1 + confidence) / 2) >= bound


def test_bound_holds_as_often_as_it_says():
    dice = random.Random(7)
    truth, checked = 0.03, 200
    held = 0
    for _ in range(400):
        wrong = sum(dice.random() < truth for _ in range(checked))
        held += at_most(wrong, checked, 0.9) >= truth
    assert held >= 0.87 * 400
