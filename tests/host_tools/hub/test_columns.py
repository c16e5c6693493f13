"""Blocks of columns give back what was put in, and trends are what the values say."""

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.core.errors import FormatError
from bridge.core.events import NO_VALUE, QUESTIONABLE, VALID
from vitalkeep.hub import columns
from vitalkeep.hub.columns import BLOCK_MAX, BLOCK_MS_MAX, Blocks, Buckets
from vitalkeep.hub.values import readings

_DEVICES = [SimpleNamespace(name=name, protocol="p", unit=0) for name in ("vent", "pump")]
_CHANNELS = [(0x9000 + n, f"p{n}", "u", n % 3) for n in range(5)]

values = st.one_of(
    st.integers(-100, 300), st.integers(-(2**40), 2**40), st.sampled_from([2**63 - 1, -(2**63)])
)


@st.composite
def seen(draw):
    """Observations in the order of a log: devices take turns, parameters come and go."""
    found = []
    mono_ms = offset = 0
    for _ in range(draw(st.integers(1, 3 * BLOCK_MAX))):
        mono_ms += draw(st.sampled_from((0, 10, 1000, BLOCK_MS_MAX, 2**33)))
        offset += draw(st.integers(0, 12))
        chosen = draw(st.lists(st.sampled_from(_CHANNELS), unique=True))
        said = []
        for parameter, label, unit, decimals in chosen:
            state = draw(st.sampled_from((VALID, VALID, NO_VALUE, QUESTIONABLE)))
            value = None if state == NO_VALUE else draw(values)
            said.append(SimpleNamespace(parameter=parameter, label=label, unit=unit,
                                        value=value, decimals=decimals, state=state))  # fmt: skip
        record = SimpleNamespace(device=draw(st.sampled_from(_DEVICES)), group=1, values=said)
        record.boot, record.mono_ms = draw(st.integers(1, 2)), mono_ms
        record.offset, record.index = offset, len(found)
        found.append(record)
    return found


@settings(max_examples=30, deadline=None)
@given(seen())
def test_blocks_give_back_every_observation(records):
    blocks = Blocks()
    made = {}
    for number, record in enumerate(records):
        blocks.add(record, 5_000 + number)
        for block in blocks.take_changed():
            made[(block.offset, block.index)] = block
    found = []
    for block in made.values():
        assert len(block) <= BLOCK_MAX
        assert block.last_ms - block.first_ms <= BLOCK_MS_MAX
        for row in columns.observations(block.first_ms, block.stored_ms, block.pack()):
            found.append((row, block.device.name, block.boot))
    found.sort(key=lambda entry: entry[0].idx)
    assert len(found) == len(records)
    for number, ((row, device, boot), record) in enumerate(zip(found, records, strict=True)):
        assert (row.offset, row.mono_ms) == (record.offset, record.mono_ms)
        assert row.stored_ms == 5_000 + number
        assert (device, boot) == (record.device.name, record.boot)
        assert row.readings == readings(record.values)


@settings(max_examples=30, deadline=None)
@given(seen(), st.integers(1, 2**20), st.integers(1, 50))
def test_trend_is_what_the_values_say(records, width_ms, count):
    for record in records:
        record.boot, record.device = 1, _DEVICES[0]
        record.mono_ms %= 2**24
    records.sort(key=lambda record: record.mono_ms)
    blocks = Blocks()
    for record in records:
        blocks.add(record, 0)
    start_ms, offset_ms = 10**12, 10**12 - 2_000
    trend = Buckets("p1", start_ms, width_ms, count)
    for block in blocks.take_changed():
        trend.add(block.first_ms + offset_ms, block.pack())
    expected = {}
    for record in records:
        bucket = (record.mono_ms + offset_ms - start_ms) // width_ms
        value = next((v for v in record.values if v.label == "p1"), None)
        if value is not None and value.value is not None and 0 <= bucket < count:
            number = value.value / 10**value.decimals
            low, high, n = expected.get(bucket, (number, number, 0))
            expected[bucket] = (min(low, number), max(high, number), n + 1)
    assert trend.points() == [
        (start_ms + bucket * width_ms, *found) for bucket, found in sorted(expected.items())
    ]


def test_numbers_beyond_all_sense_are_refused():
    record = SimpleNamespace(device=_DEVICES[0], group=1, boot=1, mono_ms=0, offset=0, index=0)
    record.values = [SimpleNamespace(parameter=1, label="x", unit="", value=2**63, decimals=0,
                                     state=VALID)]  # fmt: skip
    with pytest.raises(FormatError):
        Blocks().add(record, 0)
    record.values[0].value, record.values[0].decimals = 1, 256
    with pytest.raises(FormatError):
        Blocks().add(record, 0)
    with pytest.raises(FormatError, match="version"):
        list(columns.observations(0, 0, b"\x09" + bytes(8)))
