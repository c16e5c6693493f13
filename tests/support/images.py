"""Images as MicroPython's builds are in all that tools look at, with nothing in them to run."""

import hashlib
import random
import struct

from vitalkeep.board import uf2
from vitalkeep.board.partitions import TABLE_AT, pack_table, parse_csv

STOCK_TABLE = """
nvs,      data, nvs,     0x9000,  0x6000
phy_init, data, phy,     0xf000,  0x1000
factory,  app,  factory, 0x10000, 0x1F0000
"""
FROZEN = b"_boot.py\0asyncio/__init__.py\0bridge/app.py\0wiring.py\0\0"
STOCK = b"_boot.py\0asyncio/__init__.py\0\0"


def filling(size: int, seed: int) -> bytes:
    """Return bytes that compress about as well as code does."""
    draw = random.Random(seed)
    words = [draw.randbytes(12) for _ in range(200)]
    return b"".join(draw.choice(words) for _ in range(size // 12 + 1))[:size]


def esp_image(chip_id: int, contents: bytes) -> bytes:
    """Return one image of an ESP32: header, one segment, its check, SHA-256."""
    contents = contents.ljust(-(-len(contents) // 4) * 4, b"\0")
    head = struct.pack("<BBBBI", 0xE9, 1, 2, 0x20, 0x40080000)  # DIO, 4 MB, 40 MHz
    head += struct.pack("<B3xHBHH4xB", 0xEE, chip_id, 0, 0, 399, 1)
    data = head + struct.pack("<II", 0x3F400020, len(contents)) + contents
    data = data.ljust(-(-(len(data) + 1) // 16) * 16 - 1, b"\0")
    check = 0xEF
    for byte in contents:
        check ^= byte
    data += bytes((check,))
    return data + hashlib.sha256(data).digest()


def esp32_firmware(chip_id: int = 0, *, frozen: bool, size: int = 150000, seed: int = 1) -> bytes:
    """Return a firmware.bin, which begins at 0x1000 (ESP32) or 0 (ESP32-S3)."""
    start = 0x1000 if chip_id == 0 else 0
    data = bytearray(b"\xff" * (0x10000 - start))
    boot = esp_image(chip_id, filling(16000, seed))
    data[: len(boot)] = boot
    table = pack_table(parse_csv(STOCK_TABLE, "stock"))
    data[TABLE_AT - start : TABLE_AT - start + len(table)] = table
    names = FROZEN if frozen else STOCK
    return bytes(data) + esp_image(chip_id, names + filling(size, seed + 1))


def rp2_firmware(family: int, *, frozen: bool, size: int = 100000, seed: int = 1) -> bytes:
    """Return a firmware.uf2."""
    names = FROZEN if frozen else STOCK
    return uf2.pack(filling(4096, seed) + names + filling(size, seed + 1), family)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
