"""A vault holder speaks to a gateway, which is the real firmware on a virtual board."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from tests.firmware.test_commands import bedside
from tests.support.site_client import GATEWAY, LOG_ID, ROOT
from vitalkeep.errors import ToolError
from vitalkeep.hub.address import Address
from vitalkeep.keys.vault import Gateway, Vault
from vitalkeep.remote import desk as module
from vitalkeep.remote.desk import Desk

KNOWN = Gateway(GATEWAY, "bed-1", ROOT, (LOG_ID,))


def test_configuration_goes_there_and_is_kept(tmp_path: Path) -> None:
    async def story() -> None:
        async with bedside(tmp_path) as (bed, site):
            path = bed.board.files / "config.json"
            config = json.loads(path.read_text()) | {"bed": "bed-9"}
            told: list[str] = []
            async with Desk.at(KNOWN, Address("127.0.0.1", site.port)) as desk:
                with pytest.raises(ToolError, match="no such command"):
                    await desk.ask("breathe")
                await desk.configure(json.dumps(config).encode(), told.append)
            assert json.loads(path.read_text())["bed"] == "bed-9"
            assert told[-1] in ("on trial", "kept: a site receipts under it")
            await site.until(lambda: not (bed.board.files / "config.old").exists())

    asyncio.run(story())


def test_gateway_or_broker_that_is_silent_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HEARD_S", 1.0)
    stranger = Gateway(b"stranger", "bed-2", ROOT, (LOG_ID,))

    async def story() -> None:
        async with bedside(tmp_path) as (_, site):
            with pytest.raises(ToolError, match="is not heard"):
                async with Desk.at(stranger, Address("127.0.0.1", site.port)):
                    pass
        with pytest.raises(ToolError, match="broker"):
            async with Desk.at(KNOWN, Address("127.0.0.1", site.port)):
                pass

    asyncio.run(story())


def test_command_line(tmp_path: Path) -> None:
    vault = Vault.create(tmp_path / "vault")
    vault.add_gateway(GATEWAY, "bed-1", ROOT, LOG_ID)

    async def run(*arguments: object) -> tuple[int | None, str, str]:
        asked = [sys.executable, "-m", "vitalkeep", "gateway", *map(str, arguments)]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*asked, stdout=pipe, stderr=pipe)
        out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()

    async def story() -> None:
        async with bedside(tmp_path / "board") as (_, site):
            where = ["--broker", f"mqtt://127.0.0.1:{site.port}", "--vault", vault.folder]
            code, out, err = await run("report", "bed-1", "--json", *where)
            assert code == 0, err
            assert json.loads(out)["reset"] == "power-on"
            code, _, err = await run("report", "bed-7", *where)
            assert (code, "no such gateway" in err) == (1, True)
            broken = tmp_path / "config.json"
            broken.write_text('{"bed": 7}')
            code, _, err = await run("configure", "bed-1", broken, *where)
            assert (code, "bed: 7" in err or "sites" in err) == (1, True), err

    asyncio.run(story())
