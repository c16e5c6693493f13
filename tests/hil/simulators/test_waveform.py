"""The wire of a serial line: what one UART sends, and what another makes of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.simulators.waveform import inverted, joined, receive, transmit
from vitalkeep.doctor.setting import Setting

SETTINGS = [Setting.parse(text) for text in ("9600 8N1", "19200 8E1", "1200 7O2", "115200 8N2")]


@given(data=st.binary(min_size=1, max_size=60), at=st.integers(0, 3), turned=st.booleans())
def test_the_same_setting_gives_the_same_bytes(data: bytes, at: int, turned: bool) -> None:
    known = SETTINGS[at]
    setting = Setting(known.baud, known.bits, known.parity, known.stop, turned)
    found = receive(transmit([(1.0, data)], setting), setting)
    mask = (1 << setting.bits) - 1
    assert bytes(one.byte for one in found) == bytes(byte & mask for byte in data)
    assert not any(one.framing_error or one.parity_error for one in found)


@given(data=st.binary(min_size=1, max_size=60), off=st.sampled_from((-0.03, 0.03)))
def test_three_percent_of_speed_do_no_harm(data: bytes, off: float) -> None:
    sent = transmit([(1.0, data)], Setting(9600))
    found = receive(sent, Setting(round(9600 * (1 + off))))
    assert bytes(one.byte for one in found) == data


def test_times_are_those_of_the_last_bits() -> None:
    found = receive(transmit([(1.0, b"ab"), (2.0, b"c")], Setting(1000)), Setting(1000))
    assert [round(one.at_s, 2) for one in found] == [0.99, 1.0, 2.0]


def test_a_wrong_parity_is_told_and_a_missing_stop_too() -> None:
    sent = transmit([(1.0, b"\x01\x03")], Setting(9600, 8, "O"))
    assert all(one.parity_error for one in receive(sent, Setting(9600, 8, "E")))
    # Without a parity bit in mind its place is the stop's: low for odd parity of 1.
    errors = [one.framing_error for one in receive(sent, Setting(9600))]
    assert errors == [True, False]


@pytest.mark.parametrize("baud", [2400, 4800, 19200, 38400])
def test_another_speed_gives_other_bytes(baud: int) -> None:
    found = receive(transmit([(1.0, b"SPO2=097%" * 5)], Setting(9600)), Setting(baud))
    assert b"SPO2" not in bytes(one.byte for one in found)


def test_swapped_wires_give_other_bytes() -> None:
    found = receive(inverted(transmit([(1.0, b"SPO2=097%" * 5)], Setting(9600))), Setting(9600))
    assert b"SPO2" not in bytes(one.byte for one in found)


def test_of_two_talkers_the_low_level_wins() -> None:
    one = transmit([(1.0, b"\x0f" * 10)], Setting(9600))
    other = transmit([(1.0, b"\x33" * 10)], Setting(9600))
    found = receive(joined(one, other), Setting(9600))
    assert bytes(one.byte for one in found) == b"\x03" * 10
    apart = transmit([(3.0, b"\x55")], Setting(9600))
    found = receive(joined(one, apart), Setting(9600))
    assert bytes(one.byte for one in found) == b"\x0f" * 10 + b"\x55"
