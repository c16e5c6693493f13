"""UF2 files: whole ones are taken, and any damage is a named refusal."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitalkeep.board import uf2
from vitalkeep.board.errors import BoardError

RP2040, RP2350 = 0xE48BFF56, 0xE48BFF59


@given(st.binary(min_size=1, max_size=3000))
def test_what_is_packed_is_parsed(contents: bytes) -> None:
    image = uf2.parse(uf2.pack(contents, RP2040))
    assert image.family == RP2040
    assert image.contents()[: len(contents)] == contents
    assert set(image.contents()[len(contents) :]) <= {0xFF}


def refused(data: bytes, text: str) -> None:
    with pytest.raises(BoardError, match=text) as caught:
        uf2.parse(data)
    assert caught.value.cause == "wrong-image"


def test_cut_mixed_and_strange_files_are_refused() -> None:
    whole = uf2.pack(bytes(2000), RP2040)
    refused(b"", "whole UF2 blocks")
    refused(whole[:-1], "whole UF2 blocks")
    refused(whole[:-512], "1 of 8 blocks are missing")
    refused(whole[512:], "1 of 8 blocks are missing")
    refused(whole + uf2.pack(bytes(300), RP2350), "2 kinds of chips")
    refused(b"\x7fELF" + whole[4:], "no UF2 block at 0")


def test_a_changed_byte_is_data_or_a_refusal() -> None:
    whole = uf2.pack(random.Random(1).randbytes(600), RP2040)
    for at in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[at] ^= 0x40
        try:
            uf2.parse(bytes(damaged))
        except BoardError:
            pass


def test_the_workaround_block_of_rp2350_is_passed_over() -> None:
    first = bytearray(uf2.pack(bytes(256), 0xE48BFF57))
    first[12:16] = (0x10FFFF00).to_bytes(4, "little")
    image = uf2.parse(bytes(first) + uf2.pack(b"image", RP2350))
    assert (image.family, image.end) == (RP2350, 256)
