"""A virtual board's serial lines, clocks and cable behave as those of a board."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hil.board import VirtualBoard
from tests.support.throwaway import ECHO, play, receive


def test_a_uart_echoes_every_byte_through_asyncio_streams(tmp_path: Path) -> None:
    async def story(board: VirtualBoard) -> None:
        await board.wait_for("listening")
        for data in (bytes(range(256)), b"\r\n\x03\x04\x11\x13"):
            os.write(board.lines[1].master, data)
            assert await receive(board, 1, len(data)) == data
        assert board.overruns == 0

    play(tmp_path, ECHO, story)


def test_a_line_outlives_the_power_and_old_bytes_are_not_received(tmp_path: Path) -> None:
    async def story(board: VirtualBoard) -> None:
        await board.wait_for("listening")
        await board.power_off()
        os.write(board.lines[1].master, b"nobody listens")
        await board.start()
        await board.wait_for("listening")
        os.write(board.lines[1].master, b"fresh")
        assert await receive(board, 1, 5) == b"fresh"

    play(tmp_path, ECHO, story)


def test_bytes_that_a_stalled_board_cannot_hold_are_dropped_and_counted(tmp_path: Path) -> None:
    firmware = """
        import time
        from machine import UART

        uart = UART(1, rxbuf=256)
        print("listening")
        time.sleep_ms(300)
        buffer = bytearray(100)
        total = 0
        while True:
            count = uart.readinto(buffer)
            if count is None:
                break
            total += count
        print("read", total, uart.any(), uart.read())
    """

    async def story(board: VirtualBoard) -> None:
        await board.wait_for("listening")
        os.write(board.lines[1].master, b"x" * 1000)
        await board.wait_for("read 384 0 None")
        assert board.overruns == 1000 - 384

    play(tmp_path, firmware, story)


def test_a_line_that_nobody_reads_does_not_stop_the_board(tmp_path: Path) -> None:
    firmware = """
        from machine import UART

        uart = UART(2, baudrate=921600)
        for _ in range(300):
            assert uart.write(bytes(1000)) == 1000
        uart = UART(2, baudrate=9600)
        uart.write(bytes(96))
        uart.flush()
        print("still here", uart.txdone())
    """

    async def story(board: VirtualBoard) -> None:
        await board.wait_for("still here True")

    play(tmp_path, firmware, story)


def test_ticks_wrap_while_asyncio_goes_on(tmp_path: Path) -> None:
    firmware = """
        import asyncio
        import time

        async def main():
            first = time.ticks_ms()
            await asyncio.sleep_ms(300)
            then = time.ticks_ms()
            late = time.ticks_diff(then, first)
            print("wrapped", first, then, 300 <= late < 2000, time.ticks_add(first, 300) < first)

        asyncio.run(main())
    """

    async def story(board: VirtualBoard) -> None:
        line = await board.wait_for("wrapped")
        _, first, then, right, added = line.split()
        assert int(first) >= 2**30 - 200
        assert int(then) < 2000
        assert (right, added) == ("True", "True")

    play(tmp_path, firmware, story, ticks_ms=2**30 - 200)


_EPOCHS = {"VIRTUAL_ESP32S3": (2000, 946684800), "VIRTUAL_RP2040": (2021, 0)}


@pytest.mark.parametrize("name", _EPOCHS)
def test_the_clock_starts_years_ago_and_can_be_set(name: str, tmp_path: Path) -> None:
    firmware = """
        import time
        from machine import RTC

        print("power-on", time.gmtime()[:3], time.time())
        RTC().datetime((2031, 5, 17, 5, 13, 45, 30, 0))
        print("set", time.gmtime(), time.time(), time.time_ns() // 1000000000, RTC().datetime())
        print("made", time.mktime((2000, 1, 2, 0, 0, 0, 0, 0)))
    """
    year, epoch_s = _EPOCHS[name]

    async def story(board: VirtualBoard) -> None:
        since_epoch_s = (946684800 if year == 2000 else 1609459200) - epoch_s
        line = await board.wait_for("power-on")
        assert line.startswith(f"power-on ({year}, 1, 1) ")
        assert 0 <= int(line.split()[-1]) - since_epoch_s <= 1
        seconds = 1936791930 - epoch_s  # date -u -d '2031-05-17 13:45:30' +%s
        fields = r"(2031, 5, 17, 13, 45, 30, 5, 137)"
        fields_of_rtc = "(2031, 5, 17, 5, 13, 45, 30, 0)"
        await board.wait_for(f"set {fields} {seconds} {seconds} {fields_of_rtc}")
        await board.wait_for(f"made {946771200 - epoch_s}")

    play(tmp_path, firmware, story, board=name)


def test_the_cable_is_plugged_and_pulled(tmp_path: Path) -> None:
    firmware = """
        import time
        from network import LAN, WLAN

        lan = LAN()
        wifi = WLAN(WLAN.IF_STA)
        print("inactive", lan.isconnected(), wifi.isconnected())
        lan.active(True)
        print(lan.config("mac"))
        was = None
        while True:
            if lan.isconnected() != was:
                was = lan.isconnected()
                print("cable", was, lan.ifconfig()[0], lan.status())
            time.sleep_ms(5)
    """

    async def story(board: VirtualBoard) -> None:
        await board.wait_for("inactive False False")
        await board.wait_for("cable True 10.1.0.2 5")
        board.plug_cable(False)
        await board.wait_for("cable False 0.0.0.0 4")
        words = [line async for line in first_lines(board, 2)]
        assert words == ["inactive False False", repr(board.unique_id)]

    async def first_lines(board: VirtualBoard, count: int) -> AsyncIterator[str]:
        async for line in board.follow():
            yield line
            count -= 1
            if not count:
                return

    play(tmp_path, firmware, story)
