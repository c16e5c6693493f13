"""What a gateway does when it is told to, and what it does not."""

from __future__ import annotations

import asyncio
import hashlib
import json
from functools import partial
from pathlib import Path
from typing import Any

from bridge.core import command_wire
from bridge.core.journal import records
from tests.support.processes import free_port
from tests.support.site_client import COMMAND_KEY, GATEWAY, SiteClient, receipted

bedside = partial(receipted, trial_ms=8000)


async def back(site: SiteClient, boot: int) -> None:
    """Wait until the gateway has started anew and is receipted again."""
    await site.until(
        lambda: site.statuses[-1]["boot"] != boot and not site.statuses[-1]["ask"], 40
    )


async def configure(site: SiteClient, number: int, config: dict[str, Any]) -> dict[str, Any]:
    data = json.dumps(config).encode()
    for at in range(0, len(data), 300):
        part = data[at : at + 300].hex()
        assert "error" not in await site.command(number + at, do="put", at=at, data=part)
    digest = hashlib.sha256(data).hexdigest()
    return await site.command(number + len(data), do="configure", digest=digest)


def test_report_and_refusals(tmp_path: Path) -> None:
    async def story() -> None:
        async with bedside(tmp_path) as (_, site):
            report = await site.command(10, do="report")
            assert report["reset"] == "power-on"
            assert report["heap"]["free"] > 0
            assert report["lines"][0]["name"] == "oximeter-A"
            assert "known" in await site.command(11, do="breathe")
            # Again, of an earlier session, forged, and nonsense.
            nonce = bytes.fromhex(site.statuses[-1]["nonce"])
            fields = {"do": "restart"}
            for order, key in (
                (command_wire.Command(nonce, 11, fields), COMMAND_KEY),
                (command_wire.Command(b"earlier-", 99, fields), COMMAND_KEY),
                (command_wire.Command(nonce, 99, fields), b"x" * 32),
            ):
                site.send_command(command_wire.pack_command(order, key, GATEWAY))
            site.send_command(b"\x01")
            wanted = {"command_stale": 2, "command_forged": 1, "command_malformed": 1}
            await site.until(lambda: wanted.items() <= site.counters().items())
            assert site.counters()["commands"] == 2
            assert len({status["boot"] for status in site.statuses}) == 1

    asyncio.run(story())


def test_restart_is_logged_and_loses_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with bedside(tmp_path) as (bed, site):
            bed.say(97)
            await site.until(lambda: site.values() == [97])
            boot = site.statuses[-1]["boot"]
            assert (await site.command(1, do="restart"))["restarts"]
            await back(site, boot)
            assert bed.board.resets == ["hard"]
            bed.say(96)
            await site.until(lambda: site.values() == [97, 96])
            assert site.events(records.COMMAND) == ["restart"]

    asyncio.run(story())


def test_new_configuration_is_kept_once_a_site_receipts_under_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with bedside(tmp_path) as (bed, site):
            path = bed.board.files / "config.json"
            config = json.loads(path.read_text()) | {"bed": "bed-2"}
            boot = site.statuses[-1]["boot"]
            assert (await configure(site, 1, config))["restarts"]
            await back(site, boot)
            await site.until(lambda: site.events(records.CONFIGURATION) == ["kept"])
            assert json.loads(path.read_text())["bed"] == "bed-2"
            assert not (bed.board.files / "config.old").exists()
            bed.say(97)
            await site.until(lambda: site.values() == [97])

    asyncio.run(story())


def test_configuration_under_which_nobody_receipts_is_taken_back(tmp_path: Path) -> None:
    async def story() -> None:
        async with bedside(tmp_path) as (bed, site):
            path = bed.board.files / "config.json"
            before = json.loads(path.read_text())
            elsewhere = json.loads(path.read_text())
            elsewhere["sites"][0]["port"] = free_port()
            boot = site.statuses[-1]["boot"]
            assert (await configure(site, 1, elsewhere))["restarts"]
            bed.say(97)  # read and kept all the same, whenever it starts
            await back(site, boot)
            await site.until(lambda: site.events(records.CONFIGURATION))
            assert site.events(records.CONFIGURATION) == ["taken back: no receipt for 8 s"]
            assert json.loads(path.read_text()) == before
            assert bed.board.resets == ["hard", "hard"]

    asyncio.run(story())


def test_configuration_that_this_board_cannot_run_changes_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with bedside(tmp_path) as (bed, site):
            path = bed.board.files / "config.json"
            before = path.read_text()
            config = json.loads(before)
            config["lines"][0]["baud"] = 921600
            assert "slower baud" in (await configure(site, 1, config))["error"]
            assert "no such field" in (await configure(site, 9000, {**config, "x": 1}))["error"]
            data = {"do": "configure", "digest": "0" * 64}
            assert "not the bytes" in (await site.command(20000, **data))["error"]
            hole = await site.command(20001, do="put", at=9999, data="00")
            assert "missing" in hole["error"]
            assert path.read_text() == before
            assert bed.board.resets == []

    asyncio.run(story())
