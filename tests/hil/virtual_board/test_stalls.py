"""A stream at 115200 bit/s through every stall that a board knows: no byte is missed.

The stream is pseudo-random, so that a lost, doubled or changed byte shows; the firmware's own
line reads it, while a task does to the board what flash, TLS and the collector do.
"""

import asyncio
import random
from pathlib import Path
from textwrap import dedent

import pytest

from hil.board import FIRMWARE, VirtualBoard
from hil.simulators.line import SerialLine

BAUD = 115200
SIZE = 60000
MAIN = f"""
    import sys

    sys.path.append({str(FIRMWARE)!r})
    import asyncio
    import gc
    import time

    import uart as port
    import wiring
    from bridge.core.rxbuf import RxBuffer
    from bridge.links.uart import UartLine, open_uart
    from bridge.storage.medium import open_medium

    LINE = {{"uart": 1, "baud": {BAUD}, "bits": 8, "parity": "N", "stop": 1}}


    class Sum:
        def __init__(self):
            self.rx = RxBuffer(1024)
            self.count = self.sum = 0

        def next_request(self, now_ms):
            pass

        def next_event(self):
            data = self.rx.data
            for index in range(self.rx.count):
                self.sum = (self.sum * 31 + data[index]) & 0xFFFFFF
            self.count += self.rx.count
            self.rx.drop(self.rx.count)


    class Clock:
        def mono_ms(self):
            return time.ticks_ms()


    async def stalls(log):
        sector = 0
        while True:
            log.ioctl(6, sector)
            sector = (sector + 1) % 8
            await asyncio.sleep_ms(30)
            port.stand_still_ms(400)
            await asyncio.sleep_ms(60)
            gc.collect()
            if sector == 4:
                port.stand_still_ms(1100)
            await asyncio.sleep_ms(150)


    async def main():
        decoder = Sum()
        device = open_uart(LINE, wiring.UARTS[1])
        line = UartLine(1, device, decoder, None, Clock())
        asyncio.create_task(line.run(lambda: None))
        asyncio.create_task(stalls(open_medium(wiring.JOURNAL)))
        print("listening")
        while decoder.count < {SIZE}:
            await asyncio.sleep_ms(100)
        print("heard", decoder.count, decoder.sum, line.errors())

    asyncio.run(main())
"""


@pytest.mark.parametrize("name", ["VIRTUAL_ESP32S3", "VIRTUAL_RP2040"])
def test_no_byte_is_lost_in_any_stall(name: str, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(dedent(MAIN))
    data = random.Random(115200).randbytes(SIZE)
    total = 0
    for byte in data:
        total = (total * 31 + byte) & 0xFFFFFF

    async def run() -> list[str]:
        board = VirtualBoard(tmp_path / "board", board=name, uarts=(1,), firmware=tmp_path)
        try:
            await board.start()
            await board.wait_for("listening")
            line = SerialLine(board.lines[1].master, BAUD)
            await line.send(data)
            assert line.unheard == 0
            await board.wait_for(f"heard {SIZE} {total}")
            assert board.overruns == 0
            return [text for text in board.output if "heard" in text]
        finally:
            await board.close()

    said = asyncio.run(run())
    if name == "VIRTUAL_RP2040":
        assert "('overruns', 0)" in said[0]


ERRORS = f"""
    import sys

    sys.path.append({str(FIRMWARE)!r})
    import rp2
    from bridge.links.dma_uart import DmaUart
    from machine import UART

    line = DmaUart("rp2040", 1, UART(1, rxbuf=32), 300)
    ring = rp2.DMA.channels[0]
    found = bytearray(40)
    print("nothing", line.readinto(found))
    ring.take(b"good")
    ring.take(b"F", 1)
    ring.take(b"P", 2)
    ring.take(b"\\0", 5)
    ring.take(b"O", 8)
    count = line.readinto(found)
    print("found", bytes(found[:count]))
    print("errors", line.framing, line.parity, line.breaks, line.overruns)
    # Far more than a ring, in the pieces of a reader that keeps up: over its end, in order.
    total = 0
    for turn in range(400):
        ring.take(bytes((turn & 255,)) * 30)
        count = line.readinto(found)
        assert count == 30 and bytes(found[:30]) == bytes((turn & 255,)) * 30
    # One channel ends, the other goes on: no character is lost between them.
    ring._left = 10
    line._taken = (1 << 27) - 10
    ring._at = 2 * line._taken % len(line._ring)
    ring.take(b"0123456789abcdef")
    count = line.readinto(found)
    print("chained", bytes(found[:count]))
    rp2.DMA.channels[1].take(b"-" * 5000)
    while line.readinto(found):
        pass
    print("lost", line.overruns)
"""


def test_dma_counts_what_the_uart_found_wrong_and_goes_on_over_both_channels(
    tmp_path: Path,
) -> None:
    (tmp_path / "main.py").write_text(dedent(ERRORS))

    async def run() -> None:
        board = VirtualBoard(
            tmp_path / "board", board="VIRTUAL_RP2040", uarts=(1,), firmware=tmp_path
        )
        try:
            await board.start()
            await board.wait_for("nothing None")
            await board.wait_for(r"found b'goodFP\x00O'")
            await board.wait_for("errors 1 1 1 1")
            await board.wait_for("chained b'0123456789abcdef'")
            # A ring of 512 characters had 5000.
            await board.wait_for(f"lost {1 + 5000 - 512}")
        finally:
            await board.close()

    asyncio.run(run())
