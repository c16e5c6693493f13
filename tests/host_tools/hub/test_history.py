"""What was attained: hours whose parts make up their span, and outages from their start."""

import asyncio
import json
from itertools import pairwise

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
from vitalkeep.hub.history import GIVEN_UP_MS, GRACE_MS, HOUR_MS, hour_of, hour_rows
from vitalkeep.hub.jobs.history import attained, hours, write_missing
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


def rows_of(*rows, gaps=(), last=None, hour=0, now=HOUR + 3 * HOUR_MS, link_up=True):
    facts = Facts(rows, gaps, OFFSETS, last or beat(), link_up)
    return hour_rows(GATEWAY, facts, HOUR + hour * HOUR_MS, now)


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


@given(_rows, st.booleans(), st.integers(0, 5000), st.integers(0, 4 * HOUR_MS))
def test_every_millisecond_is_in_exactly_one_part(found, link_up, backlog, late_ms):
    now = HOUR + HOUR_MS + late_ms
    made = [
        row(number, *spans, length=length, cls=cls, state=state, log=log)
        for number, (spans, length, cls, state, log) in enumerate(found)
    ]
    facts = Facts(made, (), OFFSETS, beat(backlog=backlog), link_up)
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
    (found,) = rows_of(row(0, steady(0, 600)), link_up=False, now=HOUR + HOUR_MS + GIVEN_UP_MS + 1)
    assert json.loads(found["causes"]) == {NEVER_CAME: 3_000_000}
    assert found["final"]


def test_final_account_and_ended_outage_never_change(store):
    made = rows_of(row(0, steady(0, 10800)))
    waiting = made[0] | {"final": False, "stored_ms": 1, "hour_ms": HOUR - HOUR_MS}
    store.put_hours([*made, waiting])
    store.put_hours([made[0] | {"stored_ms": 7}, waiting | {"stored_ms": 2}])
    kept = {found["hour_ms"]: found["stored_ms"] for found in store.hours(GATEWAY, 0)}
    assert kept == {HOUR: HOUR_MS, HOUR - HOUR_MS: 2}
    assert store.open_hours(utc_now_ms() * 2, 9) == [(GATEWAY, HOUR - HOUR_MS)]
    assert store.hours_known(GATEWAY, HOUR) == {HOUR}
    (sums,) = store.hours_by_class(0)
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
