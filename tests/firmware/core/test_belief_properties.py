"""In any order of answers: the bound holds, and nobody without a key moves a site's clock."""

from hypothesis import given
from hypothesis import strategies as st

from bridge.core.belief import SNTP, Belief
from bridge.core.journal.layout import CLOCK_SITE

NOW = 1_790_000_000_000
STEPS = st.tuples(
    st.integers(1, 10**8),  # ms since the answer before
    st.sampled_from((0, 1, SNTP)),
    st.integers(0, 3000),  # error
    st.floats(-1, 1),  # how much of it
    st.integers(-(10**7), 10**7) | st.just(0),  # a lie
)


def play(steps, drift_ppm, lies):
    """Yield (belief, true offset, source, offset before, error before, at) after each answer."""
    belief = Belief(0, 1 << 60)
    at_ms = 0
    for gap_ms, source, error_ms, part, lie_ms in steps:
        at_ms += gap_ms
        true_ms = NOW + at_ms * drift_ppm // 1_000_000
        said_ms = true_ms + round(error_ms * part) + (lie_ms if source in lies else 0)
        before = (belief.state(), belief.offset_ms, belief.error_ms(at_ms))
        belief.take(said_ms, error_ms, source, at_ms)
        yield belief, true_ms, source, before, at_ms


@given(st.lists(STEPS, min_size=1, max_size=30), st.integers(-90, 90))
def test_with_honest_answers_the_error_is_within_the_bound(steps, drift_ppm):
    for belief, true_ms, _, _, at_ms in play(steps, drift_ppm, lies=()):
        assert abs(belief.offset_ms - true_ms) <= belief.error_ms(at_ms) + 1


@given(st.lists(STEPS, min_size=1, max_size=30))
def test_what_sntp_says_never_moves_a_clock_that_a_site_has_set(steps):
    for belief, _, source, before, _ in play(steps, 0, lies=(SNTP,)):
        state, offset_ms, _ = before
        if source == SNTP and state == CLOCK_SITE:
            assert (belief.state(), belief.offset_ms) == (state, offset_ms)


@given(st.lists(STEPS, min_size=1, max_size=30))
def test_the_clock_is_right_once_an_honest_site_spoke_whatever_sntp_says(steps):
    for belief, true_ms, _, _, at_ms in play(steps, 0, lies=(SNTP,)):
        if belief.state() == CLOCK_SITE:
            assert abs(belief.offset_ms - true_ms) <= belief.error_ms(at_ms) + 1
