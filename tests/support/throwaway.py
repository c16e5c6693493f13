"""Virtual boards with firmware of a few lines, for tests of the board itself."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from textwrap import dedent

from hil.board import VirtualBoard

Story = Callable[[VirtualBoard], Awaitable[None]]


def play(
    root: Path, firmware: str, story: Story, ticks_ms: int = 0, board: str = "VIRTUAL_ESP32S3"
) -> None:
    """Run a story with a board, named as its folder in boards/, whose main.py is given."""
    folder = root / "firmware"
    folder.mkdir()
    (folder / "main.py").write_text(dedent(firmware))

    async def run() -> None:
        made = VirtualBoard(root / "board", board, (1, 2), ticks_ms, firmware=folder)
        try:
            await made.start()
            await story(made)
        finally:
            await made.close()

    asyncio.run(run())


async def receive(board: VirtualBoard, uart: int, size: int) -> bytes:
    """Return what a board sent on a UART, once it is so many bytes."""
    data = b""
    until = time.monotonic() + 10
    while len(data) < size and time.monotonic() < until:
        try:
            data += os.read(board.lines[uart].master, 4096)
        except BlockingIOError:
            await asyncio.sleep(0.01)
    return data


ECHO = """
    import asyncio
    from machine import UART

    async def main():
        uart = UART(1, baudrate=9600, rxbuf=256, timeout=0, timeout_char=0)
        reader = asyncio.StreamReader(uart)
        writer = asyncio.StreamWriter(uart, {})
        print("listening")
        while True:
            writer.write(await reader.read(3))
            await writer.drain()

    asyncio.run(main())
"""
