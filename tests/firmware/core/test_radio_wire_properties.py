"""Whatever is put in comes out, and whatever comes in is a Content or a refusal."""

from hypothesis import given
from hypothesis import strategies as st

from bridge.core import radio_wire as wire
from bridge.core.errors import FormatError, TagError
from bridge.core.events import NO_VALUE
from tests.support.gateway import GATEWAY, LOG_ID, UPLINK_KEY, cipher

KEY = wire.radio_key(UPLINK_KEY, LOG_ID)
DEVICE = st.integers(0, wire.DEVICES_MAX - 1)
AGE = st.integers(0, 0x7FFFFFF)
VALUES = st.tuples(
    DEVICE, AGE, st.integers(0, 0xFFFF), st.integers(-(2**31), 2**31 - 1), st.integers(0, 6),
    st.integers(0, 4),
)  # fmt: skip
ALARMS = st.tuples(
    DEVICE, AGE, st.integers(0, 255), st.integers(0, 65535), st.integers(0, 3), st.booleans(),
    st.text(max_size=8),
)  # fmt: skip


@given(st.lists(ALARMS, max_size=6), st.lists(VALUES, max_size=40), st.integers(10, 229))
def test_round_trip(alarms, values, room) -> None:
    body = wire.Body(7, room)
    kept_alarms = [alarm for alarm in alarms if body.add_alarm(*alarm)]
    kept_values = [value for value in values if body.add_value(*value)]
    plain = body.finish(len(alarms) - len(kept_alarms), len(values) - len(kept_values))
    assert len(plain) <= room
    data = wire.seal_frame(cipher, KEY, GATEWAY, (2**32 - 1, 4095), 65535, 65535, plain)
    assert len(data) <= 252
    content = wire.open_frame(cipher, KEY, GATEWAY, wire.parse_frame(data))
    found = [tuple(vars(alarm).values()) for alarm in content.alarms]
    assert found == kept_alarms
    for value, kept in zip(content.values, kept_values, strict=True):
        device, age_s, parameter, number, decimals, state = kept
        assert (value.device, value.age_s, value.parameter) == (device, age_s, parameter)
        assert value.value == (None if state == NO_VALUE else number)
        assert (value.decimals, value.state) == (decimals, state)


@given(st.binary(max_size=260))
def test_garbage_is_refused_and_never_raises_anything_else(data) -> None:
    for parse in (wire.parse_body, wire.parse_frame, wire.parse_heard):
        try:
            parse(data)
        except FormatError:
            pass
    wire.is_answer(data, GATEWAY)


@given(st.binary(min_size=12, max_size=229), st.data())
def test_authentic_nonsense_and_forgeries_are_refused(body, draw) -> None:
    data = wire.seal_frame(cipher, KEY, GATEWAY, (1, 64), 0, 0, body)
    try:
        wire.open_frame(cipher, KEY, GATEWAY, wire.parse_frame(data))
    except FormatError:
        pass
    place = draw.draw(st.integers(1, len(data) - 1))
    data[place] ^= draw.draw(st.integers(1, 255))
    try:
        wire.open_frame(cipher, KEY, GATEWAY, wire.parse_frame(data))
    except TagError:
        return
    raise AssertionError("a forged frame was opened")
