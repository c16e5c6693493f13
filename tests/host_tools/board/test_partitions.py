"""The flash map: what a CSV says, what the bootloader reads, and what is refused."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.images import STOCK_TABLE
from vitalkeep.board.kinds import all_kinds
from vitalkeep.board.partitions import (
    TABLE_SIZE,
    Partition,
    pack_table,
    parse_csv,
    parse_table,
    problems,
)

# The first entry of MicroPython's own table, byte by byte as ESP-IDF's documentation has it
NVS = bytes.fromhex("aa500102 00900000 00600000 6e767300 00000000 00000000 00000000 00000000")


def test_table_is_what_the_bootloader_reads() -> None:
    table = pack_table(parse_csv(STOCK_TABLE, "stock"))
    assert len(table) == TABLE_SIZE
    assert table[:32] == NVS
    assert table[64:72] == bytes.fromhex("aa500000 00000100")  # app, factory, at 0x10000
    assert table[96:112] == b"\xeb\xeb" + b"\xff" * 14
    assert table[112:128] == hashlib.md5(table[:96]).digest()
    assert set(table[128:]) == {0xFF}


@pytest.mark.parametrize("kind", all_kinds(), ids=lambda kind: kind.name)
def test_what_is_packed_is_parsed(kind: object) -> None:
    partitions = kind.partitions  # type: ignore[attr-defined]
    assert parse_table(pack_table(partitions)) == partitions


def test_blank_flash_has_no_partitions_and_damage_is_not_a_table() -> None:
    assert parse_table(b"\xff" * TABLE_SIZE) == []
    table = bytearray(pack_table(parse_csv(STOCK_TABLE, "stock")))
    table[40] ^= 1
    with pytest.raises(ValueError, match="check"):
        parse_table(bytes(table))
    with pytest.raises(ValueError, match="no entry at 0x0"):
        parse_table(b"no table".ljust(TABLE_SIZE, b"\0"))


@given(st.binary(min_size=0, max_size=200))
def test_anything_is_parsed_or_refused(data: bytes) -> None:
    try:
        parse_table(data)
    except ValueError:
        pass


_SECTORS = st.integers(min_value=0, max_value=40)


@given(st.lists(st.tuples(_SECTORS, _SECTORS), max_size=6))
def test_a_map_without_problems_has_no_sector_twice_and_ends_in_the_flash(
    places: list[tuple[int, int]],
) -> None:
    parts = [
        Partition(f"p{number}", 1, 0x40, offset * 4096, size * 4096)
        for number, (offset, size) in enumerate(places)
    ]
    used = [sector for part in parts for sector in range(part.offset, part.end, 4096)]
    fits = len(used) == len(set(used)) and all(sector < 32 * 4096 for sector in used)
    # An empty partition is a problem of its own.
    assert (problems(parts, 32 * 4096) == []) == (fits and all(size for _, size in places))


def test_csv_says_the_line_that_is_wrong() -> None:
    with pytest.raises(ValueError, match=r"map\.csv:3: want label"):
        parse_csv("# a map\nnvs, data, nvs, 0x9000, 24K\nodd, data, what, 0, 0\n", "map.csv")
    assert parse_csv("a, data, fat, 1M, 64K,", "x") == [Partition("a", 1, 0x81, 1 << 20, 65536)]
