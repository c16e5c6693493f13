"""What a time means is never guessed."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitalkeep.migrate.readings import TIME, TIME_NEVER, TIME_RANGE, TIME_TWICE, Refused
from vitalkeep.migrate.times import FIRST, HL7, ISO, REFUSE, SECOND, UNIX, UNIX_MS, Times

FAR_MS = 4_000_000_000_000
BERLIN = "Europe/Berlin"


def utc(*parts):
    return int(dt.datetime(*parts, tzinfo=dt.timezone.utc).timestamp() * 1000)


def parse(text, form=ISO, zone="UTC", twice=REFUSE):
    return Times(form, zone, twice, FAR_MS).parse(text)


@pytest.mark.parametrize(
    ("text", "form", "zone", "wanted"),
    [
        ("2026-02-01T10:00:00Z", ISO, BERLIN, utc(2026, 2, 1, 10)),
        ("2026-02-01 10:00:00.5", ISO, BERLIN, utc(2026, 2, 1, 9, 0, 0, 500_000)),
        ("2026-07-01T10:00:00,1234567", ISO, BERLIN, utc(2026, 7, 1, 8, 0, 0, 123_000)),
        ("2026-07-01T10:00:00.12+05:30", ISO, BERLIN, utc(2026, 7, 1, 4, 30, 0, 120_000)),
        ("1769940000.25", UNIX, BERLIN, 1_769_940_000_250),
        ("1769940000250", UNIX_MS, BERLIN, 1_769_940_000_250),
        ("01.02.2026 10:00:00", "%d.%m.%Y %H:%M:%S", BERLIN, utc(2026, 2, 1, 9)),
        ("20260201100000.5", HL7, BERLIN, utc(2026, 2, 1, 9, 0, 0, 500_000)),
        ("202602011000-0130", HL7, BERLIN, utc(2026, 2, 1, 11, 30)),
    ],
)
def test_forms(text, form, zone, wanted):
    assert parse(text, form, zone) == wanted


@pytest.mark.parametrize(
    ("text", "form"),
    [("", ISO), ("soon", ISO), ("1e3", UNIX), ("-1", UNIX_MS), ("2026", HL7),
     ("20261301000000", HL7), ("20260101000000+9999", HL7), ("31.02.2026", "%d.%m.%Y"),
     ("0001-01-01T00:00:00", "%Y"), ("2026-02-01", ISO), ("2026-02-01 ", ISO),
     ("2026-02-01T10", ISO), ("2026-02-01+01:00", ISO), ("20260201", HL7), ("2026020110", HL7),
     ("20260101000000+0199", HL7)],
)  # fmt: skip
def test_what_is_no_time_is_refused(text, form):
    with pytest.raises(Refused) as refused:
        parse(text, form, BERLIN)
    assert refused.value.reason == TIME


@pytest.mark.parametrize(
    ("text", "form"),
    [("2026-02-01T10:00", ISO), ("20260201100000", HL7), ("01.02.2026 10:00", "%d.%m.%Y %H:%M")],
)
def test_time_of_no_zone_is_refused_where_none_is_named(text, form):
    with pytest.raises(Refused, match="no offset, and no zone") as refused:
        parse(text, form, None)
    assert refused.value.reason == TIME
    assert parse(text, form, "UTC") == utc(2026, 2, 1, 10)


def test_time_that_says_its_offset_needs_no_zone():
    assert parse("2026-02-01T10:00Z", zone=None) == utc(2026, 2, 1, 10)
    assert parse("20260201100000+0200", HL7, None) == utc(2026, 2, 1, 8)
    assert parse("2026-02-01 10:00 +0200", "%Y-%m-%d %H:%M %z", None) == utc(2026, 2, 1, 8)
    assert parse("1769940000", UNIX, None) == 1_769_940_000_000


def test_hour_that_never_was_and_hour_that_was_twice():
    with pytest.raises(Refused) as refused:
        parse("2026-03-29T02:30:00", zone=BERLIN, twice=FIRST)
    assert refused.value.reason == TIME_NEVER
    with pytest.raises(Refused) as refused:
        parse("2026-10-25T02:30:00", zone=BERLIN)
    assert refused.value.reason == TIME_TWICE
    first = parse("2026-10-25T02:30:00", zone=BERLIN, twice=FIRST)
    second = parse("2026-10-25T02:30:00", zone=BERLIN, twice=SECOND)
    assert (first, second) == (utc(2026, 10, 25, 0, 30), utc(2026, 10, 25, 1, 30))


def test_before_1970_and_after_tomorrow():
    for text in ("1969-12-31T23:59:59Z", "2970-01-01T00:00:00Z"):
        with pytest.raises(Refused) as refused:
            parse(text)
        assert refused.value.reason == TIME_RANGE


@given(st.integers(0, FAR_MS))
def test_a_time_that_was_written_is_read_back(at_ms):
    local = dt.datetime.fromtimestamp(at_ms / 1000, dt.timezone.utc)
    local = local.replace(microsecond=at_ms % 1000 * 1000)
    there = local.astimezone(dt.timezone(dt.timedelta(hours=-3, minutes=-30)))
    assert parse(there.isoformat(), zone=BERLIN) == at_ms
    assert parse(str(at_ms), UNIX_MS) == at_ms
    assert parse(f"{at_ms // 1000}.{at_ms % 1000:03}", UNIX) == at_ms


@given(st.text(max_size=30), st.sampled_from([ISO, UNIX, UNIX_MS, HL7, "%d.%m.%Y %H:%M"]))
def test_nonsense_is_refused_and_nothing_else(text, form):
    try:
        assert 0 <= parse(text, form, BERLIN) <= FAR_MS
    except Refused:
        pass
