"""What was attained: hours whose parts make up their span, and outages from their start."""

import asyncio
import json
from contextlib import nullcontext
from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.journal.layout import SECTOR_SIZE
from tests.host_tools.hub.test_account import beat
from tests.support.hub import FakeGateway, converse
from vitalkeep.hub import sectors
from vitalkeep.hub.account import COMING, GAP, NEVER_CAME, OVERWRITTEN, STORED, Facts, account
from vitalkeep.hub.address import Address
from vitalkeep.hub.config.load import Config
from vitalkeep.hub.consume import Consumer
from vitalkeep.hub.context import Context
from vitalkeep.hub.history import (
    DAY_MS,
    GIVEN_UP_MS,
    GRACE_MS,
    HOUR_MS,
    hour_of,
    hour_rows,
    waited,
)
from vitalkeep.hub.jobs import history as job
from vitalkeep.hub.jobs.history import attained, hours, look_again, write_missing
from vitalkeep.hub.outages import LATE_MS, Outages
from vitalkeep.hub.page import Feed
from vitalkeep.hub.store import utc_now_ms
from vitalkeep.hub.timeserver import TimeServer

GATEWAY = b"gateway1"
LOG = b"logid--1"
HOUR = 500_000 * HOUR_MS
_PARTS = ("stored", "coming", "gap")
OFFSETS = {1: HOUR, 2: HOUR, 3: HOUR}


def row(sector, *spans, length=SECTOR_SIZE, cls=0, log=LOG, **more):
    """Return a row of the store; spans are (device, boot, first ms, last ms) since HOUR."""
    devices = {}
    for device, boot, first, last in spans:
        devices.setdefault(device, []).append([boot, first, last, 5])
    found = {"log": log, "cls": cls, "sector": sector, "length": length, "decoded": length}
    found |= {"state": sectors.PROVEN, "spans": json.dumps(devices), "keyless": False} | more
    return found


def rows_of(*rows, gaps=(), last=None, hour=0, now=HOUR + 3 * HOUR_MS, link_up=True, waited=0):
    facts = Facts(rows, gaps, OFFSETS, last or beat(mono_ms=now - HOUR), link_up)
    return hour_rows(GATEWAY, facts, HOUR + hour * HOUR_MS, now, waited)


def steady(first_s, last_s):
    return ("vent", 1, first_s * 1000, last_s * 1000)


_spans = st.lists(
    st.tuples(
        st.sampled_from(["vent", "pump"]),
        st.sampled_from([1, 2, 3, 4]),  # boot 4 has no clock
        st.integers(-HOUR_MS, 4 * HOUR_MS),
        st.integers(0, HOUR_MS),
    ).map(lambda found: (*found[:3], found[2] + found[3])),
    max_size=4,
)
_rows = st.lists(
    st.builds(
        lambda spans, length, cls, state, log: (spans, length, cls, state, log),
        _spans,
        st.sampled_from([100, SECTOR_SIZE]),
        st.integers(0, 2),
        st.sampled_from([sectors.OPEN, sectors.PROVEN, sectors.ORPHAN]),
        st.sampled_from([LOG, b"logid--2"]),
    ),
    max_size=8,
)


@given(
    _rows, st.booleans(), st.integers(0, 5000), st.integers(0, 4 * HOUR_MS),
    st.integers(-HOUR_MS, 6 * HOUR_MS),
)  # fmt: skip
def test_every_millisecond_is_in_exactly_one_part(found, link_up, backlog, late_ms, beat_ms):
    now = HOUR + HOUR_MS + late_ms
    made = [
        row(number, *spans, length=length, cls=cls, state=state, log=log)
        | {"keyless": state == sectors.ORPHAN and bool(number % 2)}
        for number, (spans, length, cls, state, log) in enumerate(found)
    ]
    facts = Facts(made, (), OFFSETS, beat(backlog=backlog, mono_ms=beat_ms), link_up)
    for cls in range(3):
        whole = account(facts, cls, 0, now)
        assert all(a.end_ms == b.start_ms for a, b in pairwise(whole.segments))
        said = whole.as_dict()
        parts = [round(said[f"{name}_s"] * 1000) for name in ("stored", "coming", "gap")]
        assert sum(parts) == round(said["span_s"] * 1000)
        assert sum(round(s * 1000) for s in said["causes"].values()) == parts[2]
        if whole.segments:
            assert sum(parts) == whole.segments[-1].end_ms - whole.segments[0].start_ms
        # Hour by hour it is the same: nothing falls between two hours, nothing is there twice.
        totals = dict.fromkeys((STORED, COMING, GAP), 0)
        for hour in range(-2, 6):
            for one in hour_rows(GATEWAY, facts, HOUR + hour * HOUR_MS, now):
                if one["cls"] == cls:
                    assert one["span_ms"] == sum(one[f"{n}_ms"] for n in _PARTS)
                    assert 0 < one["span_ms"] <= HOUR_MS
                    assert sum(json.loads(one["causes"]).values()) == one["gap_ms"]
                    totals[STORED] += one["stored_ms"]
                    totals[COMING] += one["coming_ms"]
                    totals[GAP] += one["gap_ms"]
        assert totals == {kind: whole.ms(kind) for kind in totals}


def test_hour_waits_for_its_backlog_and_is_final_then():
    before, after = row(0, steady(0, 1200)), row(2, steady(2400, 10800))
    (found,) = rows_of(before, after)
    assert (found["coming_ms"], found["gap_ms"], found["final"]) == (1_200_000, 0, False)
    (found,) = rows_of(before, row(1, steady(1201, 2399)), after)
    assert (found["stored_ms"], found["final"]) == (HOUR_MS, True)


def test_hour_is_not_final_within_its_grace_or_while_a_time_is_unknown():
    whole = row(0, steady(0, 10800))
    assert not rows_of(whole, now=HOUR + HOUR_MS + GRACE_MS - 1)[0]["final"]
    assert rows_of(whole, now=HOUR + HOUR_MS + GRACE_MS)[0]["final"]
    assert not rows_of(whole, row(1, ("pump", 9, 0, 10)))[0]["final"]
    assert not rows_of(whole, row(1, decoded=0))[0]["final"]


def test_loss_counts_whole_in_each_hour_it_touches():
    gap = {"gap_cls": 0, "log": LOG, "first": 1, "last": 1}
    logs = row(0, steady(0, 3000)), row(2, steady(4200, 10800))
    for hour, part_ms in ((0, 600_000), (1, 600_000)):
        (found,) = rows_of(*logs, gaps=[gap], last=beat(oldest=2), hour=hour)
        assert json.loads(found["causes"]) == {OVERWRITTEN: part_ms}
        assert found["rpo_ms"] == 1_200_000


def test_silent_device_is_no_loss_of_ours():
    (found,) = rows_of(row(0, steady(0, 600), steady(1200, 10800)))
    assert found["gap_ms"] == 600_000
    assert found["rpo_ms"] == 0


def test_what_never_came_is_a_gap_in_the_end():
    (found,) = rows_of(row(0, steady(0, 600)), link_up=False, waited=GIVEN_UP_MS)
    assert json.loads(found["causes"]) == {NEVER_CAME: 3_000_000}
    assert found["final"]


def test_clock_far_ahead_gives_nothing_up():
    later = HOUR + 400 * DAY_MS
    (found,) = rows_of(row(0, steady(0, 600)), link_up=False, now=later)
    assert (found["coming_ms"], found["gap_ms"], found["final"]) == (3_000_000, 0, False)
    assert waited(5, HOUR, later) == DAY_MS + 5
    assert waited(5, later, HOUR) == 5
    assert waited(5, HOUR, HOUR + 7) == 12


@pytest.mark.parametrize("boot", [1, 2])
def test_hours_that_a_gateway_has_not_lived_through_are_no_gaps(boot):
    """Its device is off, or it was without power, and the clock of the site is far ahead."""
    said = beat(boot=boot, state="silent", mono_ms=2 * HOUR_MS)
    later = {"last": said, "now": HOUR + 10 * DAY_MS}
    (past,) = rows_of(row(0, steady(0, 600)), hour=0, **later)
    assert (past["gap_ms"], past["coming_ms"], past["final"]) == (3_000_000, 0, True)
    (future,) = rows_of(row(0, steady(0, 600)), hour=2, **later)
    assert (future["gap_ms"], future["coming_ms"], future["final"]) == (0, HOUR_MS, False)


def test_final_account_and_ended_outage_never_change(store):
    made = rows_of(row(0, steady(0, 10800)))
    waiting = made[0] | {"final": False, "stored_ms": 1, "hour_ms": HOUR - HOUR_MS}
    store.put_hours([*made, waiting])
    store.put_hours([made[0] | {"stored_ms": 7}, waiting | {"stored_ms": 2}])
    ever_ms = utc_now_ms() * 2
    kept = {found["hour_ms"]: found["stored_ms"] for found in store.hours(GATEWAY, 0, ever_ms)}
    assert kept == {HOUR: HOUR_MS, HOUR - HOUR_MS: 2}
    (hour,) = store.open_hours([GATEWAY], ever_ms, 9)
    assert hour == (GATEWAY, HOUR - HOUR_MS, waiting["looked_ms"], 0)
    assert store.hours_known(GATEWAY, HOUR) == {HOUR}
    (sums,) = store.hours_by_class(0, ever_ms)
    assert (sums["stored_ms"], sums["open"]) == (HOUR_MS + 2, 1)

    going = {"gateway": GATEWAY, "cls": 0, "start_ms": 1000, "end_ms": None, "cause": "late"}
    store.put_outages([going])
    assert len(store.open_outages()) == 1
    store.put_outages([going | {"end_ms": 5000}])
    store.put_outages([going | {"end_ms": 9000}])
    assert store.open_outages() == []
    assert store.outages(0, 9)[0]["end_ms"] == 5000
    silent = going | {"cls": 1, "end_ms": 9000, "cause": "device silent"}
    store.put_outages([silent])
    assert store.longest_outages(0) == {0: 4000}


def test_outage_lasts_from_the_last_value_to_the_next_current_one():
    outages = Outages()
    late = LATE_MS[0]
    assert outages.look(GATEWAY, 0, 1000, 1000 + late, "link down") is None
    begun = outages.look(GATEWAY, 0, 1000, 1001 + late, "link down")
    assert (begun["start_ms"], begun["end_ms"]) == (1000, None)
    again = Outages([begun])  # the hub starts anew in between
    # Backlog comes: newer than before, and still not current.
    assert again.look(GATEWAY, 0, 20_000, 60_000, "late") is None
    assert again.longest_ms(60_000) == {0: 59_000}
    assert again.look(GATEWAY, 0, 60_900, 61_000, "late")["end_ms"] == 61_000
    assert len(again) == 0


def test_device_that_is_off_is_no_outage():
    outages = Outages()
    assert outages.look(GATEWAY, 1, 0, 10**9, "") is None
    assert len(outages) == 0
    # The link was down, and when it is back the device has been off, for who knows how long.
    assert outages.look(GATEWAY, 1, 0, 10**9, "link down")
    assert outages.look(GATEWAY, 1, 0, 2 * 10**9, "")["cause"] == "device silent"
    assert len(outages) == 0


def test_hours_to_come_and_looks_to_come_are_a_clocks_that_was_ahead(store):
    made = {**rows_of(row(0, steady(0, 600)), link_up=False)[0], "waited_ms": 7}
    store.put_hours([made | {"looked_ms": HOUR + 400 * DAY_MS}])
    store.put_hours([made | {"hour_ms": HOUR + DAY_MS}])
    now_ms = HOUR + 2 * HOUR_MS
    (found,) = store.open_hours([GATEWAY], now_ms, 9)
    assert found == (GATEWAY, HOUR, HOUR + 400 * DAY_MS, 7)
    assert [found["hour_ms"] for found in store.hours(GATEWAY, 0, now_ms)] == [HOUR]
    (sums,) = store.hours_by_class(0, now_ms)
    assert (sums["span_ms"], sums["open"]) == (HOUR_MS, 1)
    store.put_hours([made | {"looked_ms": now_ms}])
    assert store.open_hours([GATEWAY], now_ms, 9) == []
    (later,) = store.open_hours([GATEWAY], HOUR + 2 * DAY_MS, 1)
    assert later.hour_ms == HOUR
    # Hours of a gateway that is no longer ours wait for ever, and keep nobody waiting.
    assert store.open_hours([b"gateway2"], HOUR + 2 * DAY_MS, 9) == []


@pytest.fixture
def hub(vault, store, path):
    consumer = Consumer([Address.parse("mqtt://127.0.0.1:1")], path.intake.handle)
    made = Context(
        vault, store, Config(), path.ward, path.intake, consumer, Feed(), TimeServer(vault)
    )
    yield made
    made.reader.shutdown()


def test_backlog_of_hours_gone_by_is_accounted_for_hour_by_hour(hub, path, vault):
    gateway = FakeGateway(site=vault.site_id)
    # It ran for some hours before this hub knew of it; class C may rest for two minutes.
    step_ms, silence_ms = 100_000, 1_200_000
    now_ms = utc_now_ms()
    hour_ms = hour_of(now_ms) - 3 * HOUR_MS
    started_ms = now_ms - 5 * HOUR_MS
    while gateway.clock.now_ms < now_ms - started_ms - step_ms:
        at_ms = started_ms + gateway.clock.now_ms
        gateway.clock.now_ms += silence_ms if hour_ms <= at_ms < hour_ms + step_ms else step_ms
        gateway.observe(cls=2)
    gateway.clock.now_ms = now_ms - started_ms
    converse(path, gateway, 500)

    async def work():
        await write_missing(hub, gateway.id, {})
        return await hours(hub, gateway.id, 1), await attained(hub, 1)

    found, sums = asyncio.run(work())
    by_hour = {one["hour_ms"]: one for one in found if one["cls"] == "C"}
    assert len(by_hour) >= 4
    for one in by_hour.values():
        assert one["span_ms"] == one["stored_ms"] + one["coming_ms"] + one["gap_ms"]
    assert by_hour[hour_ms]["span_ms"] == HOUR_MS
    assert by_hour[hour_ms]["causes"] == {"device silent": silence_ms}
    whole = by_hour[hour_ms + HOUR_MS]
    assert (whole["stored_ms"], whole["final"]) == (HOUR_MS, True)
    summed_ms = round(sums["classes"]["C"]["span_s"] * 1000)
    assert summed_ms == sum(one["span_ms"] for one in by_hour.values())
    assert sums["classes"]["C"]["rpo_s"] == 0
    assert sums["classes"]["A"]["plan"] == {"rto_s": 300, "rpo_s": 10}


@pytest.fixture
def late(hub, path, vault, monkeypatch):
    """Return the site of a gateway that owes some hours; its clock is ours."""
    gateway = FakeGateway(site=vault.site_id)
    base_ms = hour_of(utc_now_ms()) - 8 * HOUR_MS
    gateway.set_clock(base_ms)
    gateway.fill(6, 2, step_ms=60_000)

    def send(*numbers):
        runs = [run for number in numbers for run in gateway.sector_runs(2, number)]
        path.send(gateway.heartbeat(), *runs)

    send(0, 1, 5)
    found = SimpleNamespace(now_ms=base_ms + gateway.clock.now_ms)
    hub.consumer.connected = True
    monkeypatch.setattr(job, "utc_now_ms", lambda: found.now_ms)
    monkeypatch.setattr(job, "rest", nullcontext)  # nobody else is here
    asyncio.run(write_missing(hub, gateway.id, {}))

    def look(ms, count=1):
        """Look again `count` times, each so long after the one before."""
        for _ in range(count):
            found.now_ms += ms
            asyncio.run(look_again(hub))

    def middle():
        """Return the account of an hour in the midst of what has not come."""
        (row,) = hub.store.hours(gateway.id, base_ms + 2 * HOUR_MS, base_ms + 2 * HOUR_MS)
        return row

    found.look, found.middle, found.deliver = look, middle, lambda: send(2, 3, 4)
    assert (middle()["stored_ms"], middle()["coming_ms"]) == (0, HOUR_MS)
    return found


_SOON_MS = 11 * 60 * 1000


def test_clock_that_is_far_ahead_for_a_while_ends_no_waiting(late):
    late.look(400 * DAY_MS)
    late.look(_SOON_MS, 9)
    assert not late.middle()["final"]
    late.look(-400 * DAY_MS)
    late.deliver()
    late.look(_SOON_MS)
    assert (late.middle()["stored_ms"], late.middle()["final"]) == (HOUR_MS, True)


@pytest.mark.parametrize("away", ["off", "broker", "store"])
def test_hub_that_could_not_hear_waits_for_what_comes_then(hub, late, away, monkeypatch):
    with monkeypatch.context() as patched:
        if away == "broker":
            patched.setattr(hub.consumer, "connected", False)
        elif away == "store":
            patched.setattr(type(hub.intake), "receipting", False)
        late.look(40 * DAY_MS) if away == "off" else late.look(DAY_MS, 40)
    assert not late.middle()["final"]
    late.deliver()
    late.look(_SOON_MS)
    assert (late.middle()["stored_ms"], late.middle()["final"]) == (HOUR_MS, True)


def test_what_does_not_come_in_thirty_days_of_looking_never_came(late):
    late.look(DAY_MS, 29)
    assert (late.middle()["coming_ms"], late.middle()["final"]) == (HOUR_MS, False)
    late.look(DAY_MS)
    assert json.loads(late.middle()["causes"]) == {NEVER_CAME: HOUR_MS}
    assert late.middle()["final"]
    late.deliver()
    late.look(_SOON_MS)
    assert late.middle()["gap_ms"] == HOUR_MS
