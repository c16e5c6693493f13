"""A dump of a flash chip or of one partition, and where in it a log may stand."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bridge.core.journal.layout import SECTOR_SIZE
from vitalkeep.errors import ToolError

# The partition table of ESP32 boards (ESP-IDF, "Partition Tables"): entries of 32 bytes
_TABLE_AT = 0x8000
_TABLE_SIZE = 0xC00
_ENTRY = "<2sBBII16sI"
_ENTRY_MAGIC = b"\xaa\x50"
_SUM_MAGIC = b"\xeb\xeb"
_LOG, _KEYS = "journal", "keys"


@dataclass(frozen=True)
class Region:
    """A stretch of the dump; `size` reaches behind the file's end when the dump was cut short."""

    name: str
    offset: int
    size: int


class Dump:
    """A file that is read block by block.

    path    of the file
    offset  where the log begins, 0 when `size` is all that is known
    size    of the log in bytes; without both they are looked for
    Raises  ToolError when the file cannot be read or holds not one whole sector there

    regions  where logs and key regions are looked for: those that a partition table names, else
             the whole file
    """

    def __init__(self, path: Path, offset: int | None = None, size: int | None = None) -> None:
        try:
            self._file: BinaryIO = path.open("rb")
            self.size = path.stat().st_size
        except OSError as error:
            raise ToolError(f"{path}: {error.strerror}", "Name the file of a dump.") from None
        self.path = path
        self.regions = self._find(offset, size)
        if not any(self.blocks(region) for region in self.regions):
            raise ToolError(
                f"{path}: not one sector of {SECTOR_SIZE} bytes to read",
                "Check the size of the dump, --offset and --size.",
            )

    def close(self) -> None:
        self._file.close()

    def _find(self, offset: int | None, size: int | None) -> list[Region]:
        if offset is not None or size is not None:
            start = offset or 0
            return [Region(_LOG, start, self.size - start if size is None else size)]
        named = [entry for entry in self._table() if entry.name in (_LOG, _KEYS)]
        return named or [Region("file", 0, self.size)]

    def _table(self) -> list[Region]:
        table = self.read(_TABLE_AT, _TABLE_SIZE)
        found: list[Region] = []
        for at in range(0, len(table) - 31, 32):
            magic, _, _, offset, size, label, _ = struct.unpack_from(_ENTRY, table, at)
            if magic == _SUM_MAGIC:
                # The table's own checksum; without a good one nothing in it is believed.
                good = hashlib.md5(table[:at], usedforsecurity=False).digest()
                return found if good == table[at + 16 : at + 32] else []
            if magic != _ENTRY_MAGIC:
                break
            name = label.rstrip(b"\0").decode("ascii", "replace")
            found.append(Region(name, offset, size))
        return []

    def blocks(self, region: Region) -> int:
        """Return how many whole sectors of a region are in the file."""
        return max(0, min(region.size, self.size - region.offset)) // SECTOR_SIZE

    def missing(self, region: Region) -> int:
        """Return how many bytes of a region the file does not have, or has but not as a sector."""
        return region.size - self.blocks(region) * SECTOR_SIZE

    def read(self, offset: int, size: int) -> bytes:
        """Return the bytes at an offset, fewer at the file's end."""
        self._file.seek(offset)
        return self._file.read(size)

    def sector(self, offset: int) -> bytes:
        return self.read(offset, SECTOR_SIZE)
