"""The commands `diagnose` and `logs` as a technician types them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from tests.support.console import alone, bench
from tests.support.processes import free_port
from tests.support.site_client import GATEWAY, LOG_ID, ROOT
from vitalkeep.cli import cli
from vitalkeep.errors import ToolError
from vitalkeep.keys.vault import Vault


def invoke(*arguments: object) -> tuple[int, str, str]:
    """Return exit code, output and errors of `vitalkeep` with these arguments."""
    done = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    if isinstance(done.exception, ToolError):
        return done.exception.exit_code, done.stdout, done.exception.message
    return done.exit_code, done.stdout, done.stderr


async def run(*arguments: object) -> tuple[int, str, str]:
    return await asyncio.to_thread(invoke, *arguments)


def test_over_both_ways(tmp_path: Path) -> None:
    vault = Vault.create(tmp_path / "vault")
    vault.add_gateway(GATEWAY, "bed-1", ROOT, LOG_ID)

    async def story() -> None:
        async with bench(tmp_path / "board") as (bed, site):
            cable = ["--port", bed.board.console_port]
            broker = ["--broker", f"mqtt://127.0.0.1:{site.port}", "--vault", vault.folder]
            bed.say(97)
            shapes: list[dict[str, Any]] = []
            for where in (cable, ["bed-1", *broker]):
                code, out, err = await run("diagnose", "--json", *where)
                assert code in (0, 1), err
                shapes.append(json.loads(out))
            usb, mqtt = shapes
            assert (usb["by"], mqtt["by"]) == ("usb", "mqtt")
            names = [{item["name"] for item in shape["items"]} for shape in shapes]
            assert {"firmware", "reset", "clock", "heap", "site primary", "device oximeter-A",
                    "link lan", "log A"} <= names[0] & names[1]  # fmt: skip
            bundle = tmp_path / "support.zip"
            code, out, err = await run(
                "diagnose", "bed-1", *cable, "--vault", vault.folder, "--bundle", bundle
            )
            assert bundle.exists(), err
            assert out.startswith(f"gateway {GATEWAY.hex()} at bed-1: ")
            code, out, err = await run("diagnose", "bed-7", *cable)
            assert (code, "not bed-7" in err) == (1, True)
            code, out, err = await run("logs", "--json", *cable, "--vault", vault.folder)
            assert code == 0, err
            events = [json.loads(line)["event"] for line in out.splitlines()]
            assert "boot" in events
            code, out, _ = await run("logs", "bed-1", *broker, "--event", "boot")
            assert (code, out.count("reset power-on")) == (0, 1)
            code, _, err = await run(
                "gateway", "open-console", *cable, "--vault", vault.folder, "--minutes", 1
            )
            assert (code, bed.board.is_console_closed) == (0, False), err
            code, _, err = await run("diagnose", "--sniff", 7, *cable, "--vault", vault.folder)
            assert (code, "no line is on uart 7" in err) == (1, True)
            sniffing = asyncio.create_task(
                run("diagnose", "--sniff", 1, "--seconds", 2, *cable, "--vault", vault.folder)
            )
            while not sniffing.done():
                bed.say(96)
                await asyncio.sleep(0.1)
            code, out, err = await sniffing
            assert code == 0, err
            assert "SpO2 96" in out

    asyncio.run(story())


def test_what_is_bad_ends_with_1_and_a_port_that_is_none_is_said(tmp_path: Path) -> None:
    async def story() -> None:
        async with alone(tmp_path, free_port()) as bed:
            code, out = 0, "not been tried"
            while "not been tried" in out:
                code, out, _ = await run("diagnose", "--port", bed.board.console_port)
            assert code == 1
            assert "bad  site primary" in out
            assert "->" in out
        code, _, err = await run("diagnose", "--port", tmp_path / "nothing")
        assert (code, "nothing" in err) == (1, True)
        code, _, err = await run("diagnose")
        assert (code, "no gateway is named" in err) == (1, True)

    asyncio.run(story())
