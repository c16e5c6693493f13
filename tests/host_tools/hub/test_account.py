"""Every second is stored, on its way, or a gap with a name."""

import json
from itertools import pairwise

import pytest

from bridge.core.journal.layout import SECTOR_SIZE
from vitalkeep.hub import account, sectors
from vitalkeep.hub.account import COMING, GAP, STORED, Facts
from vitalkeep.hub.heartbeat import Heartbeat

LOG = b"logid--1"
NOW = 10_000_000
START = NOW - 3_600_000


def row(sector, length=SECTOR_SIZE, state=sectors.PROVEN, keyless=False, **spans):
    """Return a row of the store; spans are device=[(boot, first s, last s)]."""
    devices = {
        name: [[boot, first * 1000, last * 1000, last - first + 1] for boot, first, last in found]
        for name, found in spans.items()
    }
    return {
        "log": LOG,
        "cls": 0,
        "sector": sector,
        "length": length,
        "decoded": length,
        "state": state,
        "spans": json.dumps(devices),
        "keyless": keyless,
    }


def beat(boot=1, oldest=0, backlog=0, state="live", mono_ms=10**9):
    return Heartbeat(
        gateway=b"gateway1",
        log=LOG,
        nonce=b"n" * 8,
        boot=boot,
        mono_ms=mono_ms,
        utc_ms=0,
        clock=2,
        ask=False,
        heads={0: (oldest, 99, 10)},
        backlog={0: backlog},
        pool=(0, 0),
        counters={},
        lines=[("vent", state)],
        firmware="",
        micropython="",
        hours_left=None,
    )


def made(*rows, gaps=(), last=None, link_up=True, now=NOW):
    offsets = {1: 9_000_000, 2: 9_000_000, 3: 9_000_000}
    facts = Facts(rows, gaps, offsets, last or beat(), link_up)
    found = account.account(facts, 0, START, now)
    edges = [(s.start_ms, s.end_ms) for s in found.segments]
    assert all(a[1] == b[0] for a, b in pairwise(edges))
    return [(s.kind, s.cause, s.ms / 1000) for s in found.segments], found


def test_steady_values_are_stored_up_to_the_last_and_then_on_their_way():
    found, _ = made(row(0, vent=[(1, 0, 500)]), row(1, 80, vent=[(1, 501, 999)]))
    assert found == [(STORED, "", 999), (COMING, account.UNDERWAY, 1)]


@pytest.mark.parametrize(
    ("rows", "options", "kind", "cause"),
    [
        ([row(0, vent=[(1, 0, 100), (2, 400, 999)])], {}, GAP, account.NO_POWER),
        ([row(0, vent=[(1, 0, 100), (1, 400, 999)])], {}, GAP, account.SILENT),
        ([row(0, vent=[(1, 0, 100)]), row(3, vent=[(1, 400, 999)])], {}, COMING, account.BACKLOG),
        (
            [row(0, vent=[(1, 0, 100)]), row(3, vent=[(1, 400, 999)])],
            {"last": beat(oldest=3)},
            GAP,
            account.OVERWRITTEN,
        ),
        (
            [row(0, vent=[(1, 0, 100)]), row(2, vent=[(1, 400, 999)])],
            {"gaps": [{"log": LOG, "gap_cls": 0, "first": 1, "last": 1}]},
            GAP,
            account.OVERWRITTEN,
        ),
        (
            [row(0, 300, vent=[(1, 0, 100)]), row(1, vent=[(1, 400, 999)])],
            {},
            COMING,
            account.BACKLOG,
        ),
        (
            [row(0, 300, sectors.ORPHAN, True, vent=[(1, 0, 100)]), row(1, vent=[(2, 400, 999)])],
            {},
            GAP,
            account.KEYS_LOST,
        ),
        (
            [row(0, 300, sectors.ORPHAN, True, vent=[(1, 0, 100)]), row(1, vent=[(2, 400, 999)])],
            {"last": beat(backlog=500)},
            COMING,
            account.BACKLOG,
        ),
        (
            [row(0, 300, sectors.ORPHAN, True, vent=[(1, 0, 100)]), row(2, vent=[(2, 400, 999)])],
            {},
            COMING,
            account.BACKLOG,
        ),
        (
            [row(0, 300, sectors.ORPHAN, vent=[(1, 0, 100)]), row(1, vent=[(2, 400, 999)])],
            {},
            COMING,
            account.BACKLOG,
        ),
        (
            [row(0, 300, sectors.ORPHAN, vent=[(1, 0, 100)]), row(1, vent=[(2, 400, 999)])],
            {"last": beat(oldest=1)},
            GAP,
            account.OVERWRITTEN,
        ),
    ],
)
def test_holes_have_names(rows, options, kind, cause):
    found, _ = made(*rows, **options)
    assert found[0] == (STORED, "", 100)
    assert found[1] == (kind, cause, 300)
    assert found[2] == (STORED, "", 599)


def test_boot_between_two_values_is_a_hole_however_short():
    found, _ = made(row(0, vent=[(1, 0, 100), (2, 103, 999)]))
    assert found[1] == (GAP, account.NO_POWER, 3)
    found, _ = made(row(0, vent=[(1, 0, 100), (1, 103, 999)]))
    assert found[0] == (STORED, "", 999)


@pytest.mark.parametrize(
    ("options", "kind", "cause"),
    [
        ({"link_up": False}, COMING, account.AWAITED),
        ({"last": beat(backlog=500)}, COMING, account.BACKLOG),
        ({"last": beat(state="silent")}, GAP, account.SILENT),
        ({"last": beat(boot=2)}, GAP, account.NO_POWER),
        ({}, COMING, account.UNDERWAY),
    ],
)
def test_the_time_since_the_last_value_has_a_name(options, kind, cause):
    found, _ = made(row(0, 80, vent=[(1, 0, 900)]), **options)
    assert found[-1] == (kind, cause, 100)


@pytest.mark.parametrize("options", [{"boot": 2}, {"state": "silent"}])
def test_gap_ends_with_the_heartbeat_that_vouches_for_it(options):
    last = beat(**options, mono_ms=950_000)
    found, _ = made(row(0, 80, vent=[(1, 0, 900)]), last=last)
    assert [entry[::2] for entry in found] == [(STORED, 900), (GAP, 50), (COMING, 50)]
    found, _ = made(row(0, 80, vent=[(1, 0, 990)]), last=last)
    assert found[-1] == (COMING, account.UNDERWAY, 10)


def test_the_worst_device_of_a_class_decides():
    found, _ = made(row(0, vent=[(1, 0, 999)], pump=[(1, 0, 300), (1, 600, 999)]))
    assert [entry[:2] for entry in found] == [
        (STORED, ""),
        (GAP, account.SILENT),
        (STORED, ""),
        (COMING, account.UNDERWAY),
    ]


def test_values_without_a_clock_are_stored_and_undated():
    found, result = made(row(0, vent=[(7, 0, 99)]))
    assert found == []
    assert result.undated == 100


def test_window_cuts_both_ends():
    _, result = made(row(0, vent=[(1, 0, 999)]), now=NOW)
    assert result.as_dict()["stored_s"] == 999
    facts = Facts([row(0, vent=[(1, 0, 999)])], [], {1: 9_000_000}, beat(), True)
    short = account.account(facts, 0, NOW - 10_000, NOW)
    assert short.ms(STORED) == 9000
    assert sum(segment.ms for segment in short.segments) == 10_000


def test_device_that_was_taken_away_owes_nothing():
    found, _ = made(row(0, vent=[(1, 0, 999)], pump=[(1, 0, 300)]))
    assert found == [(STORED, "", 999), (COMING, account.UNDERWAY, 1)]
