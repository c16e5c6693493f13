"""The flash map of a board: partitions.csv, and the table that an ESP32's bootloader reads.

The table is at 0x8000: entries of 32 bytes, then one with the MD5 of those before it, then ones
(ESP-IDF Programming Guide, "Partition Tables", and esp_flash_partitions.h).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vitalkeep.board.errors import BoardError

TABLE_AT = 0x8000
TABLE_SIZE = 0x1000  # one erase block, of which the bootloader reads 0xC00 bytes
SECTOR = 4096

_APP_ALIGNMENT = 0x10000
_ENTRIES_MAX = 95
_ENTRY = struct.Struct("<2sBBII16sI")
_MAGIC, _MD5_MAGIC = b"\xaa\x50", b"\xeb\xeb"
_TYPES = {"app": 0, "data": 1}
_SUBTYPES = {
    0: {"factory": 0x00, "test": 0x20, **{f"ota_{n}": 0x10 + n for n in range(16)}},
    1: {"ota": 0, "phy": 1, "nvs": 2, "coredump": 3, "nvs_keys": 4, "fat": 0x81, "littlefs": 0x83},
}


@dataclass(frozen=True)
class Partition:
    """One part of a flash chip; offset and size in bytes."""

    label: str
    type: int
    subtype: int
    offset: int
    size: int

    @property
    def end(self) -> int:
        return self.offset + self.size


def parse_csv(text: str, where: str) -> list[Partition]:
    """Return the partitions of a partitions.csv; raises ValueError with the line's number."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.partition("#")[0].strip()
        if not line:
            continue
        fields = [part.strip() for part in line.split(",")]
        try:
            label, kind, subkind, offset, size = fields[:5]
            type = _TYPES[kind] if kind in _TYPES else int(kind, 0)
            subtypes = _SUBTYPES.get(type, {})
            subtype = subtypes[subkind] if subkind in subtypes else int(subkind, 0)
            found.append(Partition(label, type, subtype, _bytes(offset), _bytes(size)))
        except (ValueError, KeyError):
            raise ValueError(
                f"{where}:{number}: want label, type, subtype, offset and size, as in "
                "`journal, data, 0x41, 0x2C0000, 0x13C000`"
            ) from None
    return found


def _bytes(text: str) -> int:
    units = {"K": 1024, "M": 1024 * 1024}
    unit = units.get(text[-1:].upper(), 1)
    return int(text[:-1] if unit > 1 else text, 0) * unit


def read_csv(path: Path) -> list[Partition]:
    """Return the partitions of a file; raises ValueError."""
    return parse_csv(path.read_text(), str(path))


def problems(partitions: Sequence[Partition], flash_size: int, first: int = 0) -> list[str]:
    """Return what is wrong with a map: each sentence names the partition.

    first  offset below which nothing may lie
    """
    found = []
    end, before = first, "what comes first"
    labels: set[str] = set()
    for part in sorted(partitions, key=lambda part: part.offset):
        if not 0 < len(part.label.encode()) <= 16 or part.label in labels:
            found.append(f"{part.label!r}: want a label of its own, 1 to 16 bytes")
        labels.add(part.label)
        alignment = _APP_ALIGNMENT if part.type == _TYPES["app"] else SECTOR
        if part.offset % alignment or part.size % SECTOR or part.size <= 0:
            found.append(f"{part.label}: want an offset of {alignment:#x} and whole sectors")
        if part.offset < end:
            found.append(f"{part.label}: begins at {part.offset:#x}, within {before}")
        if part.end > flash_size:
            found.append(f"{part.label}: ends at {part.end:#x}, the flash at {flash_size:#x}")
        end, before = part.end, part.label
    if len(partitions) > _ENTRIES_MAX:
        found.append(f"{len(partitions)} partitions, want at most {_ENTRIES_MAX}")
    return found


def pack_table(partitions: Sequence[Partition]) -> bytes:
    """Return the table for an ESP32, TABLE_SIZE bytes."""
    entries = b"".join(
        _ENTRY.pack(
            _MAGIC, part.type, part.subtype, part.offset, part.size, part.label.encode(), 0
        )
        for part in partitions
    )
    check = _MD5_MAGIC + b"\xff" * 14 + hashlib.md5(entries, usedforsecurity=False).digest()
    return (entries + check).ljust(TABLE_SIZE, b"\xff")


def parse_table(data: bytes) -> list[Partition]:
    """Return the partitions of a table as found on a board, [] of blank flash.

    Raises ValueError when it is neither.
    """
    if data == b"\xff" * len(data):
        return []
    found: list[Partition] = []
    for at in range(0, len(data) - _ENTRY.size + 1, _ENTRY.size):
        entry = data[at : at + _ENTRY.size]
        if entry[:2] == _MD5_MAGIC:
            if hashlib.md5(data[:at], usedforsecurity=False).digest() != entry[16:]:
                raise ValueError("its check does not fit")
            return found
        if entry == b"\xff" * _ENTRY.size:
            return found  # tables without a check are allowed
        magic, type, subtype, offset, size, label, _ = _ENTRY.unpack(entry)
        if magic != _MAGIC:
            raise ValueError(f"no entry at {at:#x}")
        text = label.rstrip(b"\0").decode("ascii", "replace")
        found.append(Partition(text, type, subtype, offset, size))
    return found


def by_label(partitions: Sequence[Partition], label: str) -> Partition | None:
    """Return the partition of that label, None when there is none."""
    return next((part for part in partitions if part.label == label), None)


def need(partitions: Sequence[Partition], label: str) -> Partition:
    """Return the partition of that label; raises BoardError."""
    part = by_label(partitions, label)
    if part is None:
        raise BoardError(
            "wrong-image",
            f"no partition {label!r} in this board's table",
            "See its partitions.csv.",
        )
    return part
