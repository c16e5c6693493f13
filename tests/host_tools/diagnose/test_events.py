"""A gateway's events, from its own flash and from a hub's store; followed, none comes twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bridge.core.journal import records
from tests.support.console import KNOWN, VAULT, bench
from tests.support.site_client import Bed
from vitalkeep.diagnose.events import FromGateway, FromStore, parse_since
from vitalkeep.diagnose.sniff import Sniffer
from vitalkeep.diagnose.usb import Usb
from vitalkeep.errors import ToolError
from vitalkeep.hub.address import Address
from vitalkeep.hub.store import Store
from vitalkeep.hub.store.tables import clocks, events
from vitalkeep.remote.desk import Desk


async def speak(bed: Bed) -> None:
    while True:
        bed.say(95)
        await asyncio.sleep(0.2)


def test_flash_is_read_through_the_gateway_over_usb_and_mqtt(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path) as (bed, site):
            with Usb(bed.board.console_port, VAULT) as usb:
                source = FromGateway(usb, KNOWN)
                first = await source.fetch()
                assert {"boot", "link-up", "site-up"} <= {entry.name for entry in first}
                assert await source.fetch() == []
                await usb.ask("open-console", minutes=3)
                assert [entry.text for entry in await source.fetch()] == [
                    "opened for 3 min by a command"
                ]
                await usb.ask("close-console")
            async with Desk.at(KNOWN, Address("127.0.0.1", site.port)) as desk:
                again = await FromGateway(desk, KNOWN).fetch()
                speaking = asyncio.create_task(speak(bed))
                sniffer, heard = Sniffer(desk, 0), b""
                async for piece in sniffer.listen(3):
                    heard += piece.data
                    if b"SPO2=095%" in heard:
                        break
            speaking.cancel()
            assert b"SPO2=095%" in heard
            assert [entry.text for entry in again[-2:]] == [
                "opened for 3 min by a command", "closed: by a command",
            ]  # fmt: skip
            assert all(entry.meaning for entry in again)

    asyncio.run(story())


def test_store_is_followed(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'hub.db'}")
    store.open()

    def add(sector: int, stored_ms: int, event: int, text: str, boot: int = 5) -> None:
        row = {
            "gateway": KNOWN.id, "log": KNOWN.logs[0], "cls": 0, "sector": sector, "offset": 9,
            "idx": 0, "boot": boot, "mono_ms": 1000 * sector, "event": event,
            "name": records.EVENT_NAMES[event], "text": text, "stored_ms": stored_ms,
        }  # fmt: skip
        with store.writing() as connection:
            store.add(connection, events, [row])

    try:
        with store.writing() as connection:
            told = {"gateway": KNOWN.id, "boot": 5, "mono_ms": 0, "utc_ms": 10**12}
            store.add(connection, clocks, [told | {"error_ms": 5, "quality": 2}])
        add(1, 50_000, records.BOOT, "reset power-on")
        source = FromStore(store, KNOWN)
        found = asyncio.run(source.fetch())
        assert [(entry.name, entry.utc_ms) for entry in found] == [("boot", 10**12 + 1000)]
        assert asyncio.run(source.fetch()) == []
        add(2, 50_000, records.SITE_UP, "primary")  # of the same moment, committed later
        add(3, 60_000, records.SITE_DOWN, "primary", boot=6)
        found = asyncio.run(source.fetch())
        assert {entry.name: entry.utc_ms for entry in found} == {
            "site-up": 10**12 + 2000, "site-down": None,
        }  # fmt: skip
    finally:
        store.close()


def test_since() -> None:
    assert parse_since("2h", 10_000_000) == 10_000_000 - 7_200_000
    assert parse_since("90s", 100_000) == 10_000
    assert parse_since("1970-01-01T00:00:01Z", 0) == 1000
    for text in ("", "2x", "h", "tomorrow"):
        with pytest.raises(ToolError, match="no such time"):
            parse_since(text, 0)
