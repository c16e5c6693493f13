"""Masimo lines that nobody thought of: values as sent, or none."""

from hypothesis import assume, given
from hypothesis import strategies as st

from bridge.core.protocols.masimo_set import MasimoDecoder
from tests.support.decoding import damage, decode, readings


@st.composite
def lines(draw):
    """Return (line, {label: text or None}) in the documented shape."""
    wanted = {}

    def field(key, label, digits, decimals, high, tail=""):
        number = draw(st.none() | st.integers(0, high))
        text = "-" * digits if number is None else f"{number:0{digits}d}"
        if decimals:
            text = text[:-decimals] + "." + text[-decimals:]
        zero = number == 0 and key in ("SPO2", "BPM")
        wanted[label] = None if number is None or zero else f"{number / 10**decimals:.{decimals}f}"
        return f" {key}={text}{tail}"

    line = "03/14/26 09:26:53 SN=0000123456"
    line += field("SPO2", "SpO2", 3, 0, 100, "%") + field("BPM", "PR", 3, 0, 300)
    if draw(st.booleans()):
        line += field("PI", "PI", 4, 2, 2000, draw(st.sampled_from(("", "%"))))
    if draw(st.booleans()):
        line += field("SPCO", "SpCO", 3, 1, 999, "%") + field("SPHB", "SpHb", 3, 1, 250)
    if draw(st.booleans()):
        line += field("PVI", "PVI", 3, 0, 100)
    line += " ALARM=0000 EXC=000800"
    return line.encode() + b"\r\n", wanted


def told(events):
    return [{value[0]: value[1] for value in event[3]} for event in readings(events)]


@given(st.lists(lines(), min_size=1, max_size=4), st.integers(1, 200))
def test_lines_are_read_exactly_however_they_are_cut(sent, size):
    stream = b"".join(line for line, _ in sent)
    events = decode(MasimoDecoder({}), stream, size)
    assert told(events) == [wanted for _, wanted in sent]
    assert damage(events) == {}


@given(st.binary(max_size=600), lines(), lines(), st.integers(1, 300))
def test_garbage_costs_at_most_the_first_good_line(garbage, first, second, size):
    events = decode(MasimoDecoder({}), garbage + first[0] + second[0], size)
    assert told(events)[-1] == second[1]
    assert len(told(events)) <= 2


@given(lines(), st.integers(0), st.integers(1, 20))
def test_a_stretch_that_is_lost_invents_nothing(sent, at, size):
    line, wanted = sent
    at %= len(line) - 2
    # Across an "=" the head of one field may meet the tail of another with the same shape: the
    # protocol gives nothing to see that by.
    assume(b"=" not in line[at : at + size])
    for found in told(decode(MasimoDecoder({}), line[:at] + line[at + size :] + b"\r\n")):
        assert found.items() <= wanted.items()
