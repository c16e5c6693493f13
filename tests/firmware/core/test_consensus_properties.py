"""Whatever a minority of clocks says, the time stays within the bound that is given."""

from hypothesis import given
from hypothesis import strategies as st

from bridge.core.consensus import agree

ERRORS = st.integers(0, 5000)
ANYTHING = st.tuples(st.integers(-(10**7), 10**7), ERRORS)


@st.composite
def answers(draw):
    """Draw (true time, answers, indices of the liars) with more honest clocks than liars."""
    true_ms = draw(st.integers(-(10**6), 10**6))
    honest = []
    for error_ms in draw(st.lists(ERRORS, min_size=1, max_size=5)):
        honest.append((true_ms + draw(st.integers(-error_ms, error_ms)), error_ms))
    # Near the truth is where a lie does most.
    near = st.tuples(st.integers(true_ms - 9000, true_ms + 9000), ERRORS)
    liars = draw(st.lists(near | ANYTHING, max_size=len(honest) - 1))
    mixed = draw(st.permutations([(a, False) for a in honest] + [(a, True) for a in liars]))
    return true_ms, [a for a, _ in mixed], [i for i, (_, lies) in enumerate(mixed) if lies]


@given(answers())
def test_with_an_honest_majority_the_truth_is_within_the_bound(drawn):
    true_ms, found, liars = drawn
    offset_ms, error_ms, refused = agree(found)
    assert abs(offset_ms - true_ms) <= error_ms
    assert set(refused) <= set(liars)


@given(answers())
def test_liars_widen_the_bound_no_further_than_honest_clocks_allow(drawn):
    _, found, liars = drawn
    offset_ms, error_ms, _ = agree(found)
    honest = [answer for index, answer in enumerate(found) if index not in liars]
    assert offset_ms + error_ms <= max(offset + error for offset, error in honest) + 1
    assert offset_ms - error_ms >= min(offset - error for offset, error in honest) - 1


@given(st.lists(ANYTHING, max_size=6), st.integers(1, 4))
def test_anything_is_survived_and_never_fewer_than_asked_for_agree(found, at_least):
    result = agree(found, at_least)
    if result is not None:
        assert len(found) - len(result[2]) >= max(at_least, len(found) // 2 + 1)
