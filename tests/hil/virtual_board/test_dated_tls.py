"""A virtual board's TLS believes the board's clock, not that of the computer it runs on."""

import asyncio
import datetime as dt
from pathlib import Path
from textwrap import dedent

import pytest

from hil.board import FIRMWARE, VirtualBoard
from tests.support.dated import DatedSite

_NOW = dt.datetime.now(dt.timezone.utc)
_FIRMWARE = f"""
    import sys

    sys.path.append({str(FIRMWARE)!r})
    import asyncio
    import tls
    from machine import RTC

    PORT = %d
    FILES = %r


    async def connect(when):
        RTC().datetime((when[0], when[1], when[2], 0, 12, 0, 0, 0))
        context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        context.verify_mode = tls.CERT_REQUIRED
        with open(FILES + "/ca.der", "rb") as file:
            context.load_verify_locations(file.read())
        reader, writer = await asyncio.open_connection("127.0.0.1", PORT, context, "127.0.0.1")
        try:
            writer.write(b"question")
            await writer.drain()
            print("answer", (await reader.read(8)).decode())
        except ValueError as error:
            print("refused", str(error).strip())
        finally:
            reader.close()
            await reader.wait_closed()


    async def main():
        for when in %r:
            await connect(when)
        print("done")

    asyncio.run(main())
"""


@pytest.mark.parametrize("name", ["VIRTUAL_ESP32S3", "VIRTUAL_RP2040"])
def test_certificates_are_judged_by_the_board_s_clock(name: str, tmp_path: Path) -> None:
    site = DatedSite(tmp_path / "site", _NOW - dt.timedelta(days=2), _NOW + dt.timedelta(days=30))
    late = _NOW + dt.timedelta(days=32)
    dates = [(2021, 1, 1), (_NOW.year, _NOW.month, _NOW.day), (late.year, late.month, late.day)]

    async def story() -> None:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.read(8))

        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with site.in_front_of(server.sockets[0].getsockname()[1]) as port:
            main = dedent(_FIRMWARE) % (port, str(site.folder), dates)
            (tmp_path / "main.py").write_text(main)
            board = VirtualBoard(tmp_path / "board", name, (), firmware=tmp_path)
            try:
                await board.start()
                await board.wait_for("done")
                assert board.output == [
                    "refused The certificate validity starts in the future",
                    "answer question",
                    "refused The certificate validity has expired",
                    "done",
                ]
            finally:
                await board.close()
        server.close()

    asyncio.run(story())
