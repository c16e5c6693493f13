"""Whatever links do: no flapping, and no staying on what is dead."""

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.core.route import DEAF, DOWN, LOST, Route, Turns

HOLD_MS = 30000
FORCED = ("deaf", "down")

TRIP = st.sampled_from([None, LOST, 5, 45, 55, 300])
# How long each of three links does what, in seconds
PLAN = st.lists(st.tuples(st.integers(0, 2), TRIP, st.integers(1, 50)), min_size=1, max_size=40)


def drive(route, plan, step_ms):  # type: ignore[no-untyped-def]
    """Yield (time, choice before, why, grades) of every step."""
    doing = [None, None, None]
    now_ms = 0
    for link, trip, seconds in plan:
        doing[link] = trip
        for _ in range(seconds * 1000 // step_ms):
            now_ms += step_ms
            for gauge, now in zip(route.gauges, doing, strict=True):
                gauge.set_up(now is not None, now_ms)
                if now is not None:
                    gauge.take(now, now_ms)
            before = route.current
            yield now_ms, before, route.choose(now_ms)


@settings(max_examples=150, deadline=None)
@given(PLAN, st.sampled_from([500, 1000, 5000]))
def test_no_choice_within_half_a_minute_of_a_change_that_was_not_forced(plan, step_ms) -> None:
    route = Route(3, 50, 60000, HOLD_MS)
    changed_ms = -HOLD_MS
    for now_ms, _, why in drive(route, plan, step_ms):
        if why and why not in FORCED:
            assert now_ms - changed_ms >= HOLD_MS
        if why:
            changed_ms = now_ms


@settings(max_examples=150, deadline=None)
@given(PLAN, st.sampled_from([500, 1000, 5000]))
def test_a_dead_link_is_never_kept_while_another_works(plan, step_ms) -> None:
    route = Route(3, 50, 60000, HOLD_MS)
    for _, before, why in drive(route, plan, step_ms):
        current = DOWN if route.current is None else route.gauges[route.current].grade
        if current >= DEAF:
            assert not any(gauge.works() for gauge in route.gauges)
        if current == DOWN:
            assert all(gauge.grade == DOWN for gauge in route.gauges)
        # A forced change is one away from a link that is gone.
        if why in FORCED and before is not None:
            assert route.gauges[before].grade >= DEAF


@settings(max_examples=100, deadline=None)
@given(PLAN)
def test_turns_come_no_faster_than_their_patience(plan) -> None:
    turns = Turns(3, 50, 20000, HOLD_MS, 600000)
    changed_ms = -20000
    for now_ms, _, why in drive(turns, plan, 1000):
        if why:
            assert now_ms - changed_ms >= (20000 if why in FORCED else HOLD_MS)
            changed_ms = now_ms
