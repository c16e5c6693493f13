"""Each virtual board's wiring leads to a log and keys, on the real driver and a chip in a file."""

import asyncio
import os
from pathlib import Path
from textwrap import dedent

import pytest

from bridge.core.journal.layout import SECTOR_SIZE, parse_header
from hil.board import BOARDS, FIRMWARE, VirtualBoard, read_partitions
from tests.support.site_client import GATEWAY, LOG_ID, ROOT, SITE
from vitalkeep.keys.provision import key_region

NAMES = sorted(path.name for path in BOARDS.glob("VIRTUAL_*"))
MAIN = f"""
    import sys
    import time

    sys.path.append({str(FIRMWARE)!r})
    import wiring
    from bridge.storage.medium import open_medium

    log = open_medium(wiring.JOURNAL)
    keys = open_medium(wiring.KEYS)
    print("log", log.ioctl(4, 0), "keys", keys.ioctl(4, 0))
    found = bytearray(20)
    log.readblocks(1, found, 250)
    print("log found", bytes(found))
    keys.readblocks(0, found, 0)
    print("keys found", bytes(found[:4]))
    try:
        log.writeblocks(1, b"across two pages", 250)
        keys.writeblocks(0, b"KEYS", 0)
        started = time.ticks_ms()
        log.ioctl(6, 0)
        print("erased", 45 <= time.ticks_diff(time.ticks_ms(), started))
        position = 0
        while True:
            log.writeblocks(2 + position // 4096, b"\\x12" * 24, position % 4096)
            position += 24
            print("wrote", position)
            time.sleep_ms(5)
    except Exception as error:
        print("survived", error)
"""


@pytest.mark.parametrize("name", NAMES)
def test_a_board_reaches_its_log_and_keys_and_may_lose_its_power(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / "main.py").write_text(dedent(MAIN))

    async def run() -> None:
        board = VirtualBoard(tmp_path / "board", board=name, uarts=(), firmware=tmp_path)
        try:
            sizes = {label: size // 4096 for label, (_, size) in board.partitions.items()}
            await board.start()
            await board.wait_for(f"log {sizes['journal']} keys {sizes['keys']}")
            await board.wait_for("log found " + repr(b"\xff" * 20))
            await board.wait_for("erased True")
            await board.wait_for("wrote")
            await board.cut_in_mid_write(3, seed=1)
            await board.start()
            await board.wait_for("log found " + repr(b"across two pages\xff\xff\xff\xff"))
            await board.wait_for("keys found b'KEYS'")
            await board.wait_for("wrote")
            assert not [line for line in board.output if "survived" in line]
        finally:
            await board.close()

    asyncio.run(run())
    image = (tmp_path / "board" / "flash.bin").read_bytes()
    places = read_partitions(name)
    start = places["keys"][0]
    assert image[start : start + 5] == b"KEYS\xff"
    start = places["journal"][0]
    assert image[start + 4346 : start + 4362] == b"across two pages"


@pytest.mark.parametrize("name", NAMES)
def test_the_firmware_keeps_its_log_on_each_board_through_a_cut(name: str, tmp_path: Path) -> None:
    device = {"name": "oximeter", "class": "A", "unit": 0}
    line = {"uart": 1, "protocol": "masimo_set", "baud": 9600, "devices": [device]}
    site = {"name": "primary", "id": SITE.hex(), "host": "127.0.0.1", "port": 9, "tls": False}

    async def run() -> None:
        board = VirtualBoard(tmp_path, board=name, uarts=(1,))
        board.write_partition("keys", key_region(ROOT, GATEWAY, LOG_ID, [SITE], 4))
        board.write_config({"bed": "bed-1", "sites": [site], "lines": [line]})
        try:
            await board.start()
            await board.wait_for("listening")
            await board.power_off()
            await board.start()
            await board.cut_in_mid_write(2, seed=3)  # in the midst of its recovery
            await board.start()
            await board.wait_for("listening")
        finally:
            await board.close()

    asyncio.run(run())
    start, size = read_partitions(name)["journal"]
    log = (tmp_path / "flash.bin").read_bytes()[start : start + size]
    sectors = [log[at : at + SECTOR_SIZE] for at in range(0, size, SECTOR_SIZE)]
    headers = [parse_header(sector) for sector in sectors if sector != b"\xff" * SECTOR_SIZE]
    # Each boot went on in the sectors that it found.
    assert [(header.cls, header.number) for header in headers] == [(0, 0), (1, 0), (2, 0)]


MASKED = """
    import time
    import vboard
    import rp2
    from machine import UART

    uart = UART(1, baudrate=9600, rxbuf=1024, timeout=0, timeout_char=0)
    flash = rp2.Flash(start=0, len=4096)
    print("before", uart.any())

    def until_told(duration_ms):
        print("stands still")
        while vboard.read_switch("link-lan") != "down":
            pass

    while uart.any() < 100:
        pass
    time.sleep_ms = until_told
    flash.ioctl(6, 0)
    print("kept", uart.any(), "dropped", uart._dropped)
"""


def test_an_rp2_that_writes_to_its_flash_keeps_no_more_than_a_fifo(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(dedent(MASKED))

    async def run() -> None:
        board = VirtualBoard(
            tmp_path / "board", board="VIRTUAL_RP2040", uarts=(1,), firmware=tmp_path
        )
        try:
            await board.start()
            await board.wait_for("before 0")
            os.write(board.lines[1].master, b"a" * 100)
            await board.wait_for("stands still")
            os.write(board.lines[1].master, b"b" * 200)
            await asyncio.sleep(0.2)  # the kernel's way from one end to the other
            board.plug_cable(False)
            await board.wait_for("kept 132 dropped 168")
        finally:
            await board.close()

    asyncio.run(run())
