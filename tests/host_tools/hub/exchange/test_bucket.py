"""The limit on bytes holds over any time longer than its burst."""

from hypothesis import given
from hypothesis import strategies as st

from vitalkeep.hub.exchange.bucket import Bucket

STEPS = st.lists(st.tuples(st.floats(0, 5), st.integers(0, 9000)), max_size=60)


@given(st.integers(100, 100_000), STEPS)
def test_no_more_goes_than_rate_and_burst_allow(rate, steps):
    bucket, now, sent = Bucket(rate), 0.0, 0
    for pause, asked in steps:
        now += pause
        room = bucket.room(now)
        part = min(room, asked)
        bucket.take(part, now)
        sent += part
        assert sent <= rate * (now + 2) + 1


def test_what_was_larger_than_said_is_paid_for():
    bucket = Bucket(1000)
    assert bucket.room(0.0) == 2000
    assert bucket.take(5000, 0.0) == 3.0
    assert bucket.room(2.9) == 0
    assert bucket.room(4.0) == 1000


def test_the_burst_holds_what_must_go_in_one_piece():
    assert Bucket(10, least=4096).room(0.0) == 4096


def test_without_a_limit_nothing_waits():
    bucket = Bucket(0)
    assert bucket.room(1.0) is None
    assert bucket.take(10**9, 1.0) == 0.0
