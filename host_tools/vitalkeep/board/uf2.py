"""UF2, the form in which an RP2's image goes onto its drive: blocks of 512 bytes, each complete.

Source: the public UF2 specification (magic numbers, flags, families).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from vitalkeep.board.errors import BoardError

BLOCK = 512
FLASH_AT = 0x10000000  # of RP2 chips, in their address space

_HEAD = struct.Struct("<8I")
_MAGIC, _SECOND, _LAST = 0x0A324655, 0x9E5D5157, 0x0AB16F30
_NOT_FLASH, _HAS_FAMILY = 0x1, 0x2000
_DATA_MAX = 476
_FAMILIES = {
    0xE48BFF56: "RP2040",
    0xE48BFF57: "any RP2 (absolute)",
    0xE48BFF59: "RP2350 (Arm)",
    0xE48BFF5A: "RP2350 (RISC-V)",
}
_ABSOLUTE = 0xE48BFF57  # RP2350's workaround block; not a part of the image


@dataclass(frozen=True)
class Image:
    """What a whole UF2 puts into flash: {address: bytes}, and for which family of chips."""

    family: int
    parts: dict[int, bytes]

    @property
    def end(self) -> int:
        """Bytes from the flash's start to the image's end."""
        return max(at + len(data) for at, data in self.parts.items()) - FLASH_AT

    def contents(self) -> bytes:
        """Return the image from the flash's start on, ones where it says nothing."""
        data = bytearray(b"\xff" * self.end)
        for at, part in self.parts.items():
            data[at - FLASH_AT : at - FLASH_AT + len(part)] = part
        return bytes(data)


def family_name(family: int) -> str:
    return _FAMILIES.get(family, f"family {family:#010x}")


def parse(data: bytes) -> Image:
    """Return what a UF2 file holds; raises BoardError for one that is cut, mixed or no UF2."""
    if not data or len(data) % BLOCK:
        raise _wrong(f"{len(data)} bytes are no whole UF2 blocks")
    families: dict[int, dict[int, bytes]] = {}
    seen: dict[int, set[int]] = {}
    wanted: dict[int, int] = {}
    for at in range(0, len(data), BLOCK):
        block = data[at : at + BLOCK]
        first, second, flags, address, size, number, count, family = _HEAD.unpack_from(block)
        last = struct.unpack_from("<I", block, BLOCK - 4)[0]
        if (first, second, last) != (_MAGIC, _SECOND, _LAST):
            raise _wrong(f"no UF2 block at {at}")
        if flags & _NOT_FLASH or family == _ABSOLUTE:
            continue
        if not flags & _HAS_FAMILY or size > _DATA_MAX or address < FLASH_AT or number >= count:
            raise _wrong(f"a block at {at} that no RP2 takes")
        families.setdefault(family, {})[address] = block[32 : 32 + size]
        seen.setdefault(family, set()).add(number)
        wanted[family] = count
    if len(families) != 1:
        raise _wrong(f"blocks for {len(families)} kinds of chips, want 1")
    family, parts = next(iter(families.items()))
    missing = wanted[family] - len(seen[family])
    if missing:
        raise _wrong(f"{missing} of {wanted[family]} blocks are missing")
    return Image(family, parts)


def pack(contents: bytes, family: int, piece: int = 256) -> bytes:
    """Return a UF2 of bytes from the flash's start on."""
    count = -(-len(contents) // piece)
    blocks = bytearray()
    for number in range(count):
        part = contents[number * piece : (number + 1) * piece].ljust(piece, b"\xff")
        head = _HEAD.pack(
            _MAGIC, _SECOND, _HAS_FAMILY, FLASH_AT + number * piece, piece, number, count, family
        )
        blocks += (head + part).ljust(BLOCK - 4, b"\0") + struct.pack("<I", _LAST)
    return bytes(blocks)


def _wrong(what: str) -> BoardError:
    return BoardError("wrong-image", f"UF2: {what}", "Fetch or build the image anew.")
