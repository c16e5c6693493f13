"""MEDIBUS frames that nobody thought of: values as sent, or none."""

from hypothesis import given
from hypothesis import strategies as st

from bridge.core.checks import sum8
from bridge.core.protocols.draeger_medibus import MedibusDecoder
from tests.support.decoding import damage, decode, readings

LABELS = {"7D": "PIP", "78": "PEEP", "D6": "RR", "F0": "FiO2", "B9": "MV", "74": "Pplat"}
REALTIME = st.binary(max_size=3).map(lambda data: bytes(byte | 0x80 for byte in data))


def framed(start, body):
    data = bytes((start,)) + body
    return data + b"%02X\r" % sum8(data, 0, len(data))


@st.composite
def responses(draw):
    """Return (response to 24H, its values) with each value where the device may put it."""
    body = b"$"
    values = []
    for code in draw(st.lists(st.sampled_from(sorted(LABELS)), unique=True)):
        decimals = draw(st.integers(0, 2))
        number = draw(st.integers(-9, 99 if decimals else 999))
        text = f"{number / 10**decimals:.{decimals}f}"[:4]
        if text.endswith("."):
            text = text[:-1]
        body += code.encode() + draw(st.sampled_from((text.rjust(4), text.ljust(4)))).encode()
        values.append([LABELS[code], text, "valid"])
    return framed(0x01, body), values


def same(text):
    """Return a number's text as the decoder writes it: "-0" has no sign."""
    return text if float(text) else text.replace("-", "")


@given(st.lists(responses(), min_size=1, max_size=3), st.data())
def test_responses_are_read_exactly_amid_realtime_bytes_and_commands(sent, data):
    stream = b""
    for frame, _ in sent:
        at = data.draw(st.integers(1, len(frame)))
        command = data.draw(st.sampled_from((b"", framed(0x1B, b"0"), framed(0x1B, b"T0002"))))
        for byte in frame[:at] + command + frame[at:]:
            stream += bytes((byte,)) + data.draw(REALTIME)
    events = decode(MedibusDecoder({}), stream, data.draw(st.integers(1, 100)))
    wanted = [[[label, same(text), state] for label, text, state in values] for _, values in sent]
    assert [event[3] for event in events] == wanted


@given(st.binary(max_size=600), responses(), responses(), st.integers(1, 300))
def test_garbage_costs_at_most_the_first_good_frame(garbage, first, second, size):
    events = decode(MedibusDecoder({}), garbage + first[0] + second[0], size)
    found = [event[3] for event in readings(events) if event[0] == "observation"]
    assert [label for label, _, _ in found[-1]] == [label for label, _, _ in second[1]]


@given(st.binary(max_size=2000), st.integers(1, 300))
def test_totals_do_not_depend_on_the_cuts(stream, size):
    whole = decode(MedibusDecoder({}), stream)
    cut = decode(MedibusDecoder({}), stream, size)
    assert readings(cut) == readings(whole)
    assert damage(cut) == damage(whole)


@given(st.lists(st.one_of(st.binary(max_size=40), st.integers(0, 5000)), max_size=60))
def test_any_conversation_keeps_one_command_open_and_never_raises(steps):
    decoder = MedibusDecoder({})
    now_ms = 0
    for step in steps:
        if isinstance(step, int):
            now_ms += step
        else:
            decode(decoder, step)
        decoder.next_request(now_ms)
        assert decoder.rx.count < len(decoder.rx.data)
