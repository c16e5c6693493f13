"""A gateway that boots with no clock still gets true times later."""

import pytest

from bridge.core.journal import layout
from tests.support.hub import FakeGateway, converse
from vitalkeep.hub.clocks import best_offsets

_BOOTED_AT = 1_790_000_000_000


@pytest.fixture
def gateway():
    return FakeGateway()


def _times(store, gateway):
    """Return [(UTC ms, quality)] of every observation, None while nothing is known."""
    offsets = best_offsets(store.clocks(gateway.id))
    found = []
    for row in store.observations(gateway.id):
        best = offsets.get(row["boot"])
        found.append((row["mono_ms"] + best[0], best[1]) if best else None)
    return found


def _watch(gateway, minutes):
    """Record one observation a minute; return when each truly was, in steps of 10 ms."""
    truly = []
    for _ in range(minutes):
        gateway.clock.now_ms += 60_000
        gateway.observe(p1=90 + len(truly) % 8)
        truly.append(_BOOTED_AT + gateway.clock.now_ms)
    return truly


def test_time_that_comes_two_hours_late_and_then_steps_is_true_for_all(path, store, gateway):
    truly = _watch(gateway, 120)
    converse(path, gateway)
    assert _times(store, gateway) == [None] * 120
    # The first answer is wrong by seven minutes; the site then corrects its own clock.
    gateway.set_clock(_BOOTED_AT + gateway.clock.now_ms - 420_000)
    truly += _watch(gateway, 60)
    converse(path, gateway)
    assert _times(store, gateway) == [(at - 420_000, layout.CLOCK_SITE) for at in truly]
    gateway.set_clock(_BOOTED_AT + gateway.clock.now_ms)
    truly += _watch(gateway, 60)
    converse(path, gateway)
    assert _times(store, gateway) == [(at, layout.CLOCK_SITE) for at in truly]


def test_boot_without_any_answer_keeps_its_own_count(path, store, gateway):
    gateway.set_clock(_BOOTED_AT + gateway.clock.now_ms)
    known = _watch(gateway, 3)
    gateway.boot()
    _watch(gateway, 3)
    converse(path, gateway)
    assert sorted(filter(None, _times(store, gateway))) == [
        (at, layout.CLOCK_SITE) for at in known
    ]
    assert _times(store, gateway).count(None) == 3


def test_time_goes_on_past_the_wrap_of_a_board_s_counter(path, store, gateway):
    gateway.clock.now_ms = 2**30 - 90_000
    truly = _watch(gateway, 3)
    gateway.clock.now_ms = 2**32 - 90_000
    truly += _watch(gateway, 3)
    gateway.set_clock(_BOOTED_AT + gateway.clock.now_ms)
    converse(path, gateway)
    expected = [at // 10 * 10 for at in truly]
    assert [at // 10 * 10 for at, _ in _times(store, gateway)] == expected
