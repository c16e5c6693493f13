"""A parameter's course over hours, as programs ask a running hub for it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.hub import FakeGateway
from tests.support.hub_process import HubProcess, Online
from vitalkeep.hub.trends import HOURS_MAX, POINTS_MAX, TrendError, gaps, parse

NOW_MS = 1_764_000_000_000


def ask(hub: HubProcess, **query: object) -> tuple[int, dict]:
    try:
        with urlopen(f"{hub.where['http']}/api/trend?{urlencode(query)}", timeout=10) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
def hub(tmp_path: Path, vault, gateway) -> Iterator[HubProcess]:
    vault._write()
    with HubProcess(tmp_path) as made:
        yield made


def test_a_trend_has_its_code_its_unit_its_points_and_its_gaps(hub, vault, gateway):
    gateway.site = vault.site_id
    began_ms = int(time.time() * 1000) - 3_600_000
    gateway.set_clock(began_ms)
    for second in range(60):
        gateway.clock.now_ms += 1000 if second != 30 else 1_800_000
        gateway.observe(p1=90 + second % 10, p2=60)
    online = Online(gateway, hub.broker)
    online.talk(online.settled, 30)
    asked = {"gateway": gateway.id.hex(), "device": "vent", "parameter": "SpO2", "hours": 2}

    def is_decoded():
        status, found = ask(hub, **asked)
        return status == 200 and sum(count for *_, count in found["points"]) == 60

    online.talk(is_decoded)
    online.client.close()
    status, found = ask(hub, **asked)
    assert status == 200
    assert found["code"] == {"mdc": "MDC_PULS_OXIM_SAT_O2", "number": 150456}
    assert (found["unit"], found["class"], found["bed"]) == ("%", "A", "Bed 1")
    assert found["to"] - found["from"] == 2 * 3_600_000
    assert found["bucket_ms"] == 12_000
    points = found["points"]
    assert (min(p[1] for p in points), max(p[2] for p in points)) == (90, 99)
    assert abs(points[0][0] - began_ms) < 60_000
    # Before the first, the half hour in the midst, and since the last.
    assert len(found["gaps"]) == 3
    assert 1_700_000 < found["gaps"][1][1] - found["gaps"][1][0] < 1_900_000
    for changed, status, name in (
        ({"gateway": "ff" * 8}, 404, "unknown_gateway"),
        ({"gateway": "xy"}, 400, "malformed"),
        ({"device": "none"}, 404, "unknown_device"),
        ({"parameter": "PEEP"}, 404, "unknown_parameter"),
        ({"device": ""}, 400, "incomplete"),
        ({"hours": HOURS_MAX + 1}, 400, "out_of_range"),
        ({"hours": "nan"}, 400, "out_of_range"),
        ({"points": POINTS_MAX + 1}, 400, "out_of_range"),
        ({"to": found["to"] + 10**9}, 400, "out_of_range"),
        ({"to": found["to"] - 8 * 24 * 3_600_000}, 400, "too_old"),
    ):
        code, answer = ask(hub, **(asked | changed))
        assert (code, answer["error"]) == (status, name)
        assert answer["why"]
    assert "SpO2" in ask(hub, **(asked | {"parameter": "PEEP"}))[1]["why"]


def test_what_is_left_out_of_a_question_has_a_default():
    found = parse({"gateway": "01", "device": "vent", "parameter": "HR"}, NOW_MS)
    assert (found.hours, found.points, found.to_ms) == (24, 600, NOW_MS)
    with pytest.raises(TrendError, match="hours"):
        parse({"gateway": "01", "device": "vent", "parameter": "HR", "hours": "-1"}, NOW_MS)


@given(st.sets(st.integers(0, 99)), st.integers(1, 40_000), st.sampled_from((5_000, 120_000)))
def test_gaps_are_the_buckets_without_a_value_that_are_longer_than_a_hole(full, width, hole):
    points = [(bucket * width, 1.0, 1.0, 1) for bucket in sorted(full)]
    found = gaps(points, 0, 100 * width, width, hole)
    empty = {at // width for first, last in found for at in range(first, last, width)}
    assert not empty & full
    assert all(last - first > hole for first, last in found)
    runs, at = [], 0
    for bucket in [*sorted(full), 100]:
        runs.append((at * width, bucket * width))
        at = bucket + 1
    assert found == [run for run in runs if run[1] - run[0] > hole]
