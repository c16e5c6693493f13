"""Bytes of any kind where a name server's answer should be."""

from hypothesis import given
from hypothesis import strategies as st

from bridge.core import dns
from bridge.core.address import is_address
from bridge.core.errors import FormatError
from tests.firmware.core.test_dns import ADDRESS, QUESTION, message

LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)


def parse(answer: bytes) -> None:
    """Parse, and take nothing but an address, no address, or a refusal."""
    try:
        address, ttl_s = dns.parse_answer(answer, QUESTION)
    except FormatError:
        return
    assert address is None or is_address(address)
    assert 0 <= ttl_s < 1 << 32


@given(st.binary(max_size=600))
def test_garbage_is_refused(garbage: bytes) -> None:
    parse(garbage)


@given(st.lists(st.binary(max_size=80), max_size=6), st.integers(0, 0xFFFF))
def test_garbage_behind_a_good_head_is_refused_in_time(parts: list[bytes], count: int) -> None:
    parse(message(*parts, count=count))


@given(st.data())
def test_an_answer_with_a_changed_byte_never_raises_anything_else(data: st.DataObject) -> None:
    answer = bytearray(message(ADDRESS, ADDRESS))
    answer[data.draw(st.integers(0, len(answer) - 1))] = data.draw(st.integers(0, 255))
    parse(bytes(answer))


@given(
    st.lists(LABEL, min_size=1, max_size=6),
    st.integers(0, 0xFFFF),
    st.binary(min_size=4, max_size=4),
)
def test_every_name_can_be_asked_for_and_answered(
    labels: list[str], id: int, address: bytes
) -> None:
    question = dns.query(id, ".".join(labels))
    record = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x01\x2c\x00\x04" + address
    answer = message(record, question=question)
    assert dns.parse_answer(answer, question) == (".".join(map(str, address)), 300)
