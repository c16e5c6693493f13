"""Modbus answers that nobody thought of: registers as sent, or none."""

import struct
from fractions import Fraction

from hypothesis import assume, given
from hypothesis import strategies as st

from bridge.core.checks import crc16_modbus
from bridge.core.protocols.modbus_rtu import ModbusDecoder
from tests.support.decoding import damage, decode, readings

REGISTERS = 6


def framed(body):
    return body + struct.pack("<H", crc16_modbus(body, 0, len(body)))


def asked():
    """Return a decoder that has just asked unit 17 for its six registers."""
    items = [{"offset": at, "type": "u16", "parameter": 0x8000 + at} for at in range(REGISTERS)]
    block = {"function": 4, "start": 3, "count": REGISTERS, "items": items}
    decoder = ModbusDecoder({"units": [{"address": 17, "blocks": [block]}]})
    return decoder, bytes(decoder.next_request(0))


def answer(registers):
    return framed(struct.pack(">BBB6H", 17, 4, 12, *registers))


registers = st.lists(st.integers(0, 0xFFFF), min_size=REGISTERS, max_size=REGISTERS)


@given(registers, st.binary(max_size=40), st.booleans(), st.integers(1, 60))
def test_answer_is_read_exactly_behind_junk_and_echo(sent, junk, echoed, size):
    decoder, request = asked()
    stream = junk + (request if echoed else b"") + answer(sent)
    events = decode(decoder, stream, size)
    found = readings(events)
    assert [[int(value[1]) for value in event[3]] for event in found] == [sent]
    whole = decode(asked()[0], stream)
    assert damage(whole) == damage(events)
    assert sum(damage(events).values()) == len(junk)


@given(registers, st.lists(st.tuples(st.integers(0, 16), st.integers(1, 255)), min_size=1))
def test_damaged_answer_gives_no_value(sent, changes):
    decoder, _ = asked()
    frame = bytearray(answer(sent))
    for at, change in changes[:2]:
        frame[at] ^= change
    assume(crc16_modbus(frame, 0, len(frame)) != 0)
    assert readings(decode(decoder, bytes(frame))) == []


@given(st.floats(width=32, allow_nan=False, allow_infinity=False), st.integers(0, 6))
def test_floats_are_rounded_as_fractions_are(number, decimals):
    items = [{"offset": 0, "type": "f32", "parameter": 0x8000, "decimals": decimals}]
    block = {"function": 3, "start": 0, "count": 2, "items": items}
    decoder = ModbusDecoder({"units": [{"address": 1, "blocks": [block]}]})
    decoder.next_request(0)
    decoder.rx.feed(framed(struct.pack(">BBBf", 1, 3, 4, number)))
    event = decoder.next_event()
    exact = Fraction(number) * 10**decimals
    whole = int(abs(exact) + Fraction(1, 2)) * (-1 if exact < 0 else 1)
    assert event.values[0] == max(-0x7FFFFFFF, min(0x7FFFFFFF, whole))
    assert (event.states[0] == 0) == (abs(whole) <= 0x7FFFFFFF)


@given(st.lists(st.one_of(st.binary(max_size=300), st.integers(0, 2000)), max_size=40))
def test_any_conversation_only_reads_and_never_raises(steps):
    decoder, request = asked()
    now_ms = 0
    for step in steps:
        if isinstance(step, int):
            now_ms += step
        else:
            decode(decoder, step)
        assert decoder.next_request(now_ms) in (None, request)
        assert decoder.rx.count < len(decoder.rx.data)
