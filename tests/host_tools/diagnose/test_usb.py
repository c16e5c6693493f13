"""A gateway is asked over its USB console, and goes on reading its lines."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
import serial

from bridge.core.journal import records
from tests.support.console import KNOWN, VAULT, bench
from tests.support.site_client import GATEWAY
from vitalkeep.diagnose import take_report
from vitalkeep.diagnose.sniff import Heard, Sniffer
from vitalkeep.diagnose.usb import Usb
from vitalkeep.errors import ToolError


def test_report_needs_no_key_and_stops_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path) as (bed, site):
            with Usb(bed.board.console_port) as usb:
                for value in (97, 96, 95):
                    asking = asyncio.create_task(take_report(usb, "usb"))
                    bed.say(value)
                    report = await asking
                assert report.gateway == KNOWN.id.hex()
                assert report.item("site primary").state == "ok"
                with pytest.raises(ToolError, match="not in the vault"):
                    await usb.ask("restart")
            await site.until(lambda: site.values() == [97, 96, 95])
            assert bed.board.overruns == 0

    asyncio.run(story())


def test_line_is_listened_to_as_the_gateway_reads_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path) as (bed, site):
            with Usb(bed.board.console_port, VAULT) as usb:
                sniffer = Sniffer(usb, 0)
                heard: list[Heard] = []

                async def speak() -> None:
                    while not sniffer.about:
                        await asyncio.sleep(0.02)
                    for value in (97, 96):
                        bed.say(value)
                        await asyncio.sleep(0.3)
                    bed.put(b"\x01\x02not a line of it\r\n")

                speaking = asyncio.create_task(speak())
                async for piece in sniffer.listen(2.5):
                    heard.append(piece)
                await speaking
            await site.until(lambda: site.values() == [97, 96])
            assert sniffer.about["protocol"] == "masimo_set"
            joined = b"".join(piece.data for piece in heard)
            assert joined.count(b"SPO2=097%") == joined.count(b"SPO2=096%") == 1
            assert b"\x01\x02not a line" in joined
            events = [json.loads(text) for piece in heard for text in piece.events]
            seen = [event["values"][0]["value"] for event in events if "values" in event]
            assert seen == ["97", "96"]
            assert events[-1]["event"] == "damage"
            assert not any(piece.sent for piece in heard)
            await site.until(lambda: any("line0_" in name for name in site.counters()))

    asyncio.run(story())


def test_prompt_is_closed_and_opened_by_command_or_button(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path) as (bed, site):
            board = bed.board
            assert board.is_console_closed
            with Usb(board.console_port, VAULT) as usb:
                assert (await usb.ask("open-console", minutes=2))["open_s"] <= 120
                assert not board.is_console_closed
                report = await take_report(usb, "usb")
                assert report.item("console").state == "warn"
                await usb.ask("close-console")
                assert board.is_console_closed
                with pytest.raises(ToolError, match="minutes"):
                    await usb.ask("open-console", minutes=0)
            board.put_on_pin(9, 0)
            await site.until(lambda: not board.is_console_closed)
            said = ["opened for 2 min by a command", "closed: by a command"]
            said.append("opened for 10 min by the button")
            await site.until(lambda: site.events(records.CONSOLE) == said)

    asyncio.run(story())


def test_what_is_typed_at_a_closed_console_is_not_obeyed(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path) as (bed, site):
            with serial.Serial(bed.board.console_port, timeout=0.1) as port:
                for junk in (b"\x03\x03\r\x01import machine\x04", b"vk:!!!\n", b"vk?" * 900,
                             b"vk:" + b"A" * 400 + b"\nvkx\nvk\n\x00\xff\n"):  # fmt: skip
                    port.write(junk)
                    await asyncio.sleep(0.3)
            with Usb(bed.board.console_port, VAULT, quiet_s=1.0) as usb:
                stranger = {GATEWAY: replace(KNOWN, root=b"S" * 32)}
                usb.gateways = stranger
                with pytest.raises(ToolError, match="does not answer restart"):
                    await usb.ask("restart")
            bed.say(97)
            await site.until(lambda: site.values() == [97])
            assert site.counters()["command_forged"] == 3
            assert bed.board.resets == []

    asyncio.run(story())
