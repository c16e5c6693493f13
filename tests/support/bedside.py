"""A bedside with everything that is real but the board: authority, vault, broker, hub, ward.toml.

The board is a simulated ESP32 whose image froze the whole real firmware.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from hil.bedside.devkit import Devkit
from hil.board import Line
from tests.support.bench import plugged_in, units_of
from tests.support.hub_process import HubProcess
from tests.support.images import esp32_firmware, sha256
from tests.support.secure_site import HOST, PASSPHRASE, SecureSite
from vitalkeep import cli
from vitalkeep.board.kinds import FIRMWARE, find_kind
from vitalkeep.board.partitions import TABLE_AT, pack_table
from vitalkeep.board.units import Unit
from vitalkeep.doctor.diagnose import Diagnosis, diagnose
from vitalkeep.doctor.setting import Setting
from vitalkeep.keys.vault import Gateway, Vault
from vitalkeep.site.known import Known, remember

KIND = find_kind("ESP32_GENERIC")
A, B = "a" * 16, "b" * 16

OXIMETER = (
    b"03/14/26 09:26:53 SN=0000123456 SPO2=%03d%% BPM=068 PI=02.35%% DESAT=00 "
    b"PIDELTA=+00 ALARM=0000 EXC=000800\r\n"
)

_WARD = """
board = "ESP32_GENERIC"

[[sites]]
name = "primary"
id = "{site}"
host = "{host}"
port = {port}
time_port = {time}

[links.wifi]
ssid = "ward-3"
key = "env:WARD_WIFI_KEY"

[gateway]
heartbeat_ms = 500
device_silent_ms = 1000

[[kinds]]
name = "icu"

[[kinds.lines]]
uart = 1
protocol = "masimo_set"
baud = 9600
devices = [{{ name = "oximeter", class = "A" }}]

[[beds]]
name = "bed-a"
gateway = "{a}"
kind = "icu"

[[beds]]
name = "bed-b"
gateway = "{b}"
kind = "icu"
"""


_AT_A_BENCH = """
import json, sys
from vitalkeep import cli
from vitalkeep.board.units import Unit
from vitalkeep.commands import provision
boards = [Unit(identity, device, None, "ESP32") for identity, device in json.loads(sys.argv[1])]
provision.find_units = lambda: boards
cli.main(sys.argv[2:])
"""


def whole_firmware(folder: Path) -> Path:
    """Make the folder of what an image froze that was built from boards/ESP32_GENERIC."""
    shutil.copytree(FIRMWARE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(KIND.folder / "wiring.py", folder / "wiring.py")
    return folder


def flashed(folder: Path, frozen: Path, number: int = 1) -> Devkit:
    """Return a board with our image and table, an oximeter's line on UART 1, and no keys."""
    kit = Devkit(folder, mac=b"\x24\x0a\xc4\x00\x00" + bytes((number,)), frozen=frozen)
    image = esp32_firmware(frozen=True, size=2000)
    kit.flash[0x1000 : 0x1000 + len(image)] = image
    table = pack_table(KIND.partitions)
    kit.flash[TABLE_AT : TABLE_AT + len(table)] = table
    kit.lines[1] = Line.open()
    return kit


def bare(folder: Path, frozen: Path, number: int = 1) -> Devkit:
    """Return a board as it comes from its maker, with an oximeter's line on UART 1."""
    kit = Devkit(folder, mac=b"\x24\x0a\xc4\x00\x00" + bytes((number,)), frozen=frozen)
    kit.lines[1] = Line.open()
    return kit


class Bedside:
    """An engineer at a terminal: `run` is the command line, in this process.

    wifi_key  a secret of the ward, which must not be seen anywhere
    """

    wifi_key = "correct-horse-wifi"

    def __init__(
        self, root: Path, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch
    ) -> None:
        self.root = root
        self.capsys = capsys
        self.patch = patch
        self.site = SecureSite(root / "site", "mosquitto")
        self.authority = self.site.authority
        self.vault = Vault.create(root / "vault")
        self.secret = root / "passphrase"
        self.secret.write_bytes(PASSPHRASE)
        self.secret.chmod(0o600)
        self.home = root / "home"
        self.time_port = 1
        self.frozen = whole_firmware(root / "frozen")
        patch.setenv("WARD_WIFI_KEY", self.wifi_key)
        self.ward = root / "ward.toml"
        self.write_ward()
        self.boards: list[Devkit] = []

    def write_ward(self, **changes: str) -> None:
        text = _WARD.format(
            site=self.vault.site_id.hex(), host=HOST, port=self.site.port, time=self.time_port,
            a=A, b=B,
        )  # fmt: skip
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        self.ward.write_text(text)

    @contextmanager
    def running(self) -> Iterator[Bedside]:
        """Have broker and hub run meanwhile."""
        with self.site.running() as site:
            known = Known(
                site.folder.resolve(), "mosquitto", (HOST, site.port), self.vault.folder.resolve(),
                "primary",
            )  # fmt: skip
            remember(self.authority, known, f"kill -HUP {site._process.pid}")
            data = self.root / "hub"
            data.mkdir(exist_ok=True)
            files = [
                word for name in ("ca", "certificate", "key")
                for word in (f"--{name}", str(site.hub / f"{name}.pem"))
            ]  # fmt: skip
            broker = ["--broker", f"mqtts://{HOST}:{site.port}", "--vault", str(self.vault.folder)]
            with HubProcess(data, *broker, *files) as hub:
                self.time_port = int(hub.where["time"].rpartition(":")[2])
                self.write_ward()
                self.hub = hub
                yield self

    @contextmanager
    def plugged(self, *boards: Devkit) -> Iterator[None]:
        """Have boards plugged in, which the command line finds by their USB ids."""
        self.boards = list(boards)
        find = units_of(*boards)
        self.patch.setattr("vitalkeep.commands.provision.find_units", find)
        with ExitStack() as stack:
            for board in boards:
                stack.enter_context(plugged_in(board))
            yield

    def gateways(self) -> dict[bytes, Gateway]:
        return {known.id: known for known in Vault.open(self.vault.folder).gateways()}

    def units(self) -> list[Unit]:
        return units_of(*self.boards)()

    def image(self) -> list[object]:
        """Write an image; returns the words of a command that name it with its hash."""
        path = self.root / "firmware.bin"
        data = esp32_firmware(frozen=True, size=2000)
        path.write_bytes(data)
        return ["--image", path, "--sha256", sha256(data)]

    @contextmanager
    def together(self) -> Iterator[Callable[..., Callable[[], dict[str, Any]]]]:
        """Have commands run at once, each in a process of its own that finds the same boards.

        Yields start(*words), which returns what waits for the command's object.
        """
        found = [(str(unit.identity), unit.device) for unit in self.units()]
        processes = []

        def start(*words: object) -> Callable[[], dict[str, Any]]:
            more = [*map(str, words), "--json", *self.office()]
            command = [sys.executable, "-c", _AT_A_BENCH, json.dumps(found), *more]
            pipe = subprocess.PIPE
            process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)
            processes.append(process)

            def end() -> dict[str, Any]:
                out, err = process.communicate(timeout=120)
                assert process.returncode == 0, out + err
                return json.loads(out.splitlines()[-1])

            return end

        try:
            yield start
        finally:
            for process in processes:
                process.kill()
                process.wait()

    def office(self) -> list[str]:
        """Return the words of a command that say where authority, vault and boards' things are."""
        return [
            "--ca", str(self.authority.folder), "--vault", str(self.vault.folder),
            "--passphrase-file", str(self.secret), "--home", str(self.home),
        ]  # fmt: skip

    def command(self, *arguments: object) -> None:
        """Run another command, which must do."""
        with pytest.raises(SystemExit) as ended:
            cli.main([str(argument) for argument in arguments])
        said = self.capsys.readouterr()
        assert not ended.value.code, said.err + said.out

    def run(self, verb: str, *arguments: object, code: int = 0) -> dict[str, Any]:
        """Run a command with --json, and return its object; it ends with `code`."""
        with pytest.raises(SystemExit) as ended:
            cli.main([verb, *map(str, arguments), "--json", *self.office()])
        said = self.capsys.readouterr()
        self.said = said.out + said.err
        assert (ended.value.code or 0) == code, self.said
        return json.loads(said.out.splitlines()[-1]) if said.out else {"error": said.err}


def say(board: Devkit, spo2: int, uart: int = 1) -> None:
    """Put one line of an oximeter on a board's wire."""
    os.write(board.lines[uart].master, OXIMETER % spo2)


@contextmanager
def speaking(*boards: Devkit) -> Iterator[None]:
    """Have an oximeter at each board say something once a second."""
    ended = threading.Event()

    def speak() -> None:
        number = 0
        while not ended.wait(0.5):
            number += 1
            for board in boards:
                say(board, 90 + number % 10)

    device = threading.Thread(target=speak)
    device.start()
    try:
        yield
    finally:
        ended.set()
        device.join()


def first_setting_only(listen: Any, seconds: float, can_invert: bool) -> Diagnosis:
    """Diagnose as the doctor's scan does, by one setting of the many: it is quicker."""
    return diagnose([listen(Setting(9600), seconds)])
