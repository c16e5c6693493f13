"""A virtual board stands still in a handshake, as long as the rig says, and stays a TLS client."""

import asyncio
import time
from pathlib import Path
from textwrap import dedent

from hil.board import FIRMWARE, VirtualBoard
from hil.stalls import NONE, Stalls
from tests.support.certificates import SERVER_NAME, ThrowawayAuthority
from tests.support.sessions import Broker

MAIN = f"""
    import sys

    sys.path.append({str(FIRMWARE)!r})
    import asyncio
    import time
    from bridge.uplink.credentials import Credentials
    from machine import UART

    uart = UART(1, rxbuf=4096)
    longest = [0]


    async def watch():
        while True:
            began = time.ticks_ms()
            await asyncio.sleep_ms(5)
            longest[0] = max(longest[0], time.ticks_diff(time.ticks_ms(), began) - 5)


    async def main():
        context = Credentials("tls").choose(0).context
        task = asyncio.create_task(watch())
        await asyncio.sleep_ms(50)
        for turn in range(2):
            longest[0] = 0
            began = time.ticks_ms()
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", int(open("port").read()), context, {SERVER_NAME!r}
            )
            writer.write(b"x" * 3000)
            await writer.drain()
            echo = await reader.readexactly(3000)
            took = time.ticks_diff(time.ticks_ms(), began)
            writer.close()
            await writer.wait_closed()
            await asyncio.sleep_ms(20)
            print("turn", turn, echo == b"x" * 3000, "longest", longest[0], "took", took)
        print("mode", context.verify_mode, uart.any())

    asyncio.run(main())
"""


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(4096):
        writer.write(data)


def play(root: Path, stalls: Stalls) -> tuple[list[list[int]], int]:
    """Return [longest stall, time] of two handshakes in ms, and what the UART then held."""
    authority = ThrowawayAuthority(root / "ca")
    (root / "main.py").write_text(dedent(MAIN))

    async def run() -> tuple[list[list[int]], int]:
        board = VirtualBoard(root / "board", uarts=(1,), firmware=root, stalls=stalls)
        board.power_on_s = int(time.time())  # certificates are judged by the board's clock
        authority.write_client(board.files / "tls" / "now")
        found = []
        try:
            async with Broker(echo, authority) as broker:
                (board.files / "port").write_text(str(broker.port))
                await board.start()
                for turn in range(2):
                    said = (await board.wait_for(f"turn {turn}")).split()
                    assert said[2] == "True"
                    found.append([int(said[4]), int(said[6])])
                said = (await board.wait_for("mode")).split()
                assert said[1] == "2"  # CERT_REQUIRED
                return found, int(said[2])
        finally:
            await board.close()

    return asyncio.run(run())


def test_handshake_takes_its_steps_each_time(tmp_path: Path) -> None:
    found, _ = play(tmp_path, Stalls((0, 150, 100, 0, 250)))
    for longest, took in found:
        # The peer's flight is there at once, so its steps come in one stall.
        assert longest >= 250
        assert took >= 500


def test_without_stalls_there_are_none_to_speak_of(tmp_path: Path) -> None:
    found, _ = play(tmp_path, NONE)
    assert min(longest for longest, _ in found) < 250
