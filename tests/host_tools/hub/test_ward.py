"""What the page shows: newest value wins, a backlog is not news, silence is noticed."""

import pytest

from tests.support.hub import FakeGateway, Table
from vitalkeep.hub.cards import card
from vitalkeep.hub.heartbeat import Heartbeat, parse_heartbeat
from vitalkeep.hub.values import decimal
from vitalkeep.hub.ward import LINK_DOWN_MS, Ward

NOW = 1_800_000_000_000


@pytest.fixture
def gateway():
    return FakeGateway()


@pytest.fixture
def ward(gateway):
    return Ward([gateway.vault_entry()])


def hear(ward, gateway, now_ms, **changes):
    beat = Table(gateway).ingest.payloads.parse(*gateway.heartbeat(**changes))
    assert isinstance(beat, Heartbeat)
    ward.hear(beat, now_ms)


def shown(ward, gateway):
    return card(ward.bed(gateway.id))


def values(ward, gateway, device="vent"):
    found = next(entry for entry in shown(ward, gateway)["devices"] if entry["name"] == device)
    return found, {value[0]: value[1] for value in found["values"]}


def test_decimals_are_exact():
    assert decimal(72, 1) == "7.2"
    assert decimal(-5, 2) == "-0.05"
    assert decimal(0, 1) == "0.0"
    assert decimal(98, 0) == "98"
    assert decimal(None, 1) is None


def test_backlog_does_not_replace_a_live_value(ward, gateway):
    table = Table(gateway)
    gateway.fill(2)
    hear(ward, gateway, NOW)
    for number in (2, 0, 1):
        ward.stored(table.take(*gateway.sector_runs(0, number)).rows, NOW)
    newest = max(table.rows["observations"], key=lambda row: row["mono_ms"])
    device, shown = values(ward, gateway)
    assert shown["PR"] == newest["readings"]["PR"][0]
    assert device["at"] == NOW  # heard at the very moment of the last observation


def test_age_needs_no_clock_at_the_gateway(ward, gateway):
    gateway.clock.now_ms = 10_000
    gateway.observe()
    gateway.clock.now_ms = 70_000
    hear(ward, gateway, NOW)
    ward.stored(Table(gateway).take(*gateway.sector_runs(0, 0)).rows, NOW)
    assert values(ward, gateway)[0]["at"] == NOW - 60_000


def test_age_of_an_earlier_boot_comes_from_its_clock_record(ward, gateway):
    gateway.clock.now_ms = 50_000
    gateway.set_clock(NOW)
    gateway.observe()
    gateway.boot()
    hear(ward, gateway, NOW + 900_000)
    rows = Table(gateway).take(*gateway.sector_runs(0, 0)).rows
    ward.stored({"observations": rows["observations"]}, NOW)
    assert values(ward, gateway)[0]["at"] is None
    ward.stored({"clocks": rows["clocks"]}, NOW)
    assert values(ward, gateway)[0]["at"] == NOW


def test_each_value_of_a_device_has_its_own_age(ward, gateway):
    gateway.clock.now_ms = 1000
    gateway.observe(p1=97)
    hear(ward, gateway, NOW)
    table = Table(gateway)
    ward.stored(table.take(*gateway.sector_runs(0, 0)).rows, NOW)
    row = dict(table.rows["observations"][0])
    row |= {"offset": 999, "mono_ms": 9000, "readings": {"HR": ["70", 0, "/min"]}}
    ward.stored({"observations": [row]}, NOW)
    ages = {value[0]: value[4] for value in values(ward, gateway)[0]["values"]}
    assert ages == {"SpO2": NOW, "HR": NOW + 8000}


def test_link_goes_down_and_comes_back_with_a_reason(ward, gateway):
    hear(ward, gateway, NOW)
    ward.tick(NOW + LINK_DOWN_MS, True)
    assert shown(ward, gateway)["link"] == "up"
    ward.tick(NOW + LINK_DOWN_MS + 1, True)
    assert shown(ward, gateway)["link"] == "down"
    hear(ward, gateway, NOW + 47_000)
    assert "47 s: the network was cut" in ward.story[-1]["text"]
    ward.tick(NOW + 60_000, True)
    gateway.boot()
    hear(ward, gateway, NOW + 70_000)
    assert "without power" in ward.story[-1]["text"]


def test_deaf_hub_blames_nobody(ward, gateway):
    hear(ward, gateway, NOW)
    ward.tick(NOW + 60_000, False)
    assert shown(ward, gateway)["link"] == "unknown"
    ward.tick(NOW + 61_000, True)
    assert shown(ward, gateway)["link"] == "up"
    ward.tick(NOW + 68_000, True)
    assert shown(ward, gateway)["link"] == "down"


def test_alarms_come_and_go(ward, gateway):
    gateway.observe()
    gateway.alarm("SpO2 LOW")
    table = Table(gateway)
    ward.stored(table.take(*gateway.sector_runs(0, 0)).rows, NOW)
    assert values(ward, gateway)[0]["alarms"] == [["high", "SpO2 LOW"]]
    gateway.alarm("SpO2 LOW", active=False)
    ward.stored(table.take(*gateway.sector_runs(0, 0)).rows, NOW)
    assert values(ward, gateway)[0]["alarms"] == []


def test_backlog_that_shrinks_has_an_end(ward, gateway):
    for second in range(10):
        backlog = {"A": 100_000 - 5000 * second, "B": 0, "C": 0}
        hear(ward, gateway, NOW + 1000 * second, backlog=backlog)
    found = shown(ward, gateway)["classes"]
    assert found["A"]["backlog"] == 55_000
    assert 9 < found["A"]["eta_s"] < 14
    assert found["B"] == {"backlog": 0, "eta_s": None}


def test_configured_device_that_was_never_heard_is_shown(ward, gateway):
    hear(ward, gateway, NOW)
    bed = shown(ward, gateway)
    assert [device["name"] for device in bed["devices"]] == ["vent", "oximeter"]
    assert bed["hours_left"] == 26.5


@pytest.mark.parametrize(
    "change",
    [
        {"heads": []},
        {"heads": {"A": [0, 1]}},
        {"nonce": "xyz"},
        {"log": 5},
        {"boot": -1},
        {"mono": True},
        {"lines": {}},
        {"lines": [1]},
        {"hours_left": float("nan")},
        {"backlog": {"A": "much"}},
        {"clock": 3},
    ],
)
def test_malformed_heartbeats_are_counted(gateway, change):
    table = Table(gateway)
    assert table.ingest.payloads.parse(*gateway.heartbeat(**change)) is None
    assert table.ingest.counters["malformed"] == 1


def test_missing_fields_that_may_be_missing():
    fields = {"v": 1, "log": "00" * 8, "nonce": "11" * 8, "boot": 1, "mono": 2, "heads": {}}
    beat = parse_heartbeat(b"gateway1", fields)
    assert beat.hours_left is None
    assert not beat.ask


def test_certificate_that_is_about_to_end_is_said_weeks_ahead_once_a_day(ward, gateway):
    for days in (None, 300, 29, 28, 28, 27, -1):
        hear(ward, gateway, NOW, certificate_days=days)
    texts = [line["text"] for line in ward.story if "certificate" in line["text"]]
    assert texts == [
        "The gateway's certificate ends in 28 days: renew it",
        "The gateway's certificate ends in 27 days: renew it",
        "The gateway's certificate has ended: renew it",
    ]
    assert shown(ward, gateway)["certificate_days"] == -1


def test_a_gateway_s_clock_is_shown_with_its_source_and_its_error(ward, gateway):
    for changes, words in (
        ({}, "unknown"),
        ({"clock": 1, "clock_error": 40}, "from SNTP, which nobody authenticates, to 40 ms"),
        ({"clock": 2, "clock_error": 3}, "from a site, to 3 ms"),
        ({"clock": 2}, "from a site"),  # a firmware that does not say
    ):
        gateway.clock.now_ms += 1000
        hear(ward, gateway, NOW, **changes)
        assert shown(ward, gateway)["clock"] == words
