"""A real gateway on a board on the bench: its prompt is closed, and who may open it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hil.bedside.devkit import Devkit
from tests.support.bench import fails, plugged_in, run, units_of
from tests.support.images import esp32_firmware
from tests.support.site_client import GATEWAY, LOG_ID, ROOT, SITE
from vitalkeep.board.flash import Order
from vitalkeep.board.kinds import FIRMWARE, find_kind
from vitalkeep.board.mpremote import Mpremote
from vitalkeep.board.partitions import TABLE_AT, need, pack_table
from vitalkeep.diagnose.usb import NoGateway, Usb
from vitalkeep.keys.provision import key_region
from vitalkeep.keys.vault import Gateway, Vault

KIND = find_kind("ESP32_GENERIC")
VAULT = {GATEWAY: Gateway(GATEWAY, "bed-1", ROOT, (LOG_ID,))}
CONFIG = {
    "bed": "bed-1",
    "sites": [{"name": "primary", "id": SITE.hex(), "host": "127.0.0.1", "port": 9, "tls": False}],
    "lines": [
        {
            "uart": 1, "protocol": "masimo_set", "baud": 9600, "tcp": "127.0.0.1:9",
            "devices": [{"name": "oximeter", "class": "A", "unit": 0}],
        }
    ],
    "links": {"wifi": {"ssid": "ward", "key": "secret words"}},
}  # fmt: skip


@pytest.fixture
def devkit(tmp_path: Path) -> Iterator[Devkit]:
    """A board whose image has the real gateway in it, provisioned and running."""
    frozen = tmp_path / "frozen"
    frozen.mkdir()
    (frozen / "bridge").symlink_to(FIRMWARE / "bridge")
    (frozen / "loader.py").symlink_to(FIRMWARE / "loader.py")
    (frozen / "wiring.py").symlink_to(KIND.folder / "wiring.py")
    kit = Devkit(tmp_path / "board", frozen=frozen)
    image = esp32_firmware(frozen=True, size=2000)
    kit.flash[0x1000 : 0x1000 + len(image)] = image
    table = pack_table(KIND.partitions)
    kit.flash[TABLE_AT : TABLE_AT + len(table)] = table
    keys = key_region(ROOT, GATEWAY, LOG_ID, [SITE], 4)
    at = need(KIND.partitions, "keys").offset
    kit.flash[at : at + len(keys)] = keys
    with plugged_in(kit):
        board = Mpremote(str(kit.port))
        files = {"config.json": json.dumps(CONFIG), "main.py": (FIRMWARE / "main.py").read_text()}
        script = f"for name, text in {files!r}.items():\n"
        script += " f = open('/' + name, 'w')\n f.write(text)\n f.close()\nprint(1)"
        board.evaluate(script, fresh=True)
        board.reset()
        kit.wait_for("listening")
        yield kit


def test_flashing_a_gateway_needs_its_keys_or_its_button(devkit: Devkit, tmp_path: Path) -> None:
    order = Order(home=tmp_path / "home", board=KIND.name)
    failure = fails("console-closed", order, units_of(devkit))
    assert GATEWAY.hex() in failure.message
    with Usb(str(devkit.port)) as usb:
        assert usb.greet()["console"] == "closed"  # and it runs on
    done = run(order, units_of(devkit), gateways=lambda: VAULT)
    assert done.installed is not None
    assert done.installed.frozen
    with Usb(str(devkit.port)) as usb, pytest.raises(NoGateway) as caught:
        usb.greet()
    assert caught.value.at_prompt
    devkit.said.clear()
    Mpremote(str(devkit.port)).reset()
    devkit.wait_for("listening")
    with Usb(str(devkit.port)) as usb:
        assert usb.greet()["console"] == "closed"


def diagnosed(kit: Devkit, *options: object) -> tuple[int, dict[str, Any]]:
    asked = [sys.executable, "-m", "vitalkeep", "diagnose", "--json", "--port", str(kit.port)]
    done = subprocess.run([*asked, *map(str, options)], capture_output=True, text=True)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_board_that_cannot_start_is_looked_at_through_its_prompt(
    devkit: Devkit, tmp_path: Path
) -> None:
    vault = Vault.create(tmp_path / "vault")
    vault.add_gateway(GATEWAY, "bed-1", ROOT, LOG_ID)
    code, said = diagnosed(devkit)
    assert said["by"] == "usb"
    states = {item["name"]: item["state"] for item in said["items"]}
    assert states["device oximeter"] in ("ok", "warn", "bad")
    code, said = diagnosed(devkit, "--interrupt", "--vault", vault.folder)
    found = {item["name"]: item for item in said["items"]}
    assert (code, found["gateway"]["state"]) == (0, "ok"), said
    assert said["gateway"] == GATEWAY.hex()
    devkit.said.clear()
    devkit.wait_for("listening")  # it was started anew
    with Usb(str(devkit.port), VAULT) as usb:
        usb.greet()
        asyncio.run(usb.ask("open-console", minutes=1))
    board = Mpremote(str(devkit.port))
    board.evaluate("f = open('/config.json', 'w')\nf.write('{}')\nf.close()\nprint(1)", fresh=True)
    board.reset()
    devkit.wait_for("ConfigError")
    bundle = tmp_path / "support.zip"
    code, said = diagnosed(devkit, "--interrupt", "--bundle", bundle)
    found = {item["name"]: item for item in said["items"]}
    assert (code, found["configuration"]["state"]) == (1, "bad")
    assert "ConfigError" in found["gateway"]["meaning"]
    assert bundle.exists()
