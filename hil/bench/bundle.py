"""The bundle as a subject of `vitalkeep bench`: flash, heap and time beside a file a module."""

from __future__ import annotations

import contextlib
import io
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from hil.bench.figures import Figure, Report, show
from hil.bench.runner import Runner
from hil.board import find_micropython
from vitalkeep.board.bundle import pack
from vitalkeep.board.compile import compile_firmware
from vitalkeep.board.kinds import BOARDS, FIRMWARE, open_kind

_KIND = "VIRTUAL_ESP32S3"
_PEER = "a file a module"
# The log, the wire and three drivers: what imports no hardware
_MODULES = (
    "copies", "config", "command_wire", "journal.reader", "journal.ring", "mqtt", "policy",
    "protocols.masimo_set", "protocols.modbus_rtu", "protocols.philips_intellivue", "recorder",
    "rings", "route", "sender", "sntp", "wire",
)  # fmt: skip


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, not a table.")
@click.option("--repeats", type=click.IntRange(1, 100), default=5, show_default=True)
def bundle(as_json: bool, repeats: int) -> None:
    """Measure a firmware in one file beside a file a module, on littlefs and MicroPython."""
    show(measure(lambda text: click.echo(text, err=True), repeats), as_json)


def measure(tell: Callable[[str], None], repeats: int) -> Report:
    """Return flash, heap and time of a bundle, of files, and of ROMFS that runs in place."""
    report = Report(
        {
            "subject": "bundle",
            "command": shlex.join(["vitalkeep", *sys.argv[1:]]),
            "versions": {"vitalkeep": version("vitalkeep")},
            "repeats": repeats,
        }
    )
    with tempfile.TemporaryDirectory(prefix="vitalkeep-bench-") as name:
        folder = Path(name)
        runner = Runner(folder)
        report.context["versions"]["micropython"] = runner.version()
        order = _lay_out(folder)
        files, ours, rom = (
            _measure(runner, how, order, repeats, tell) for how in ("files", "bundle", "romfs")
        )
    report.figures += [
        Figure("bundle.blocks", ours["blocks"], "4 KB", peer=_PEER, peer_value=files["blocks"]),
        Figure("bundle.heap", ours["heap"], "byte", peer=_PEER, peer_value=files["heap"]),
        Figure(
            "bundle.import", ours["us"] / 1000, "ms", peer=_PEER, peer_value=files["us"] / 1000
        ),
        Figure("romfs.heap", rom["heap"], "byte", peer=_PEER, peer_value=files["heap"]),
    ]
    return report


def _measure(
    runner: Runner, how: str, order: dict[str, Any], repeats: int, tell: Callable[[str], None]
) -> Mapping[str, float]:
    tell(f"{how} ...")
    runs = [runner.run("imports", None, how=how, **order) for _ in range(repeats)]
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def _lay_out(folder: Path) -> dict[str, Any]:
    """Write the firmware in all three ways; returns where."""
    from mpremote.romfs import make_romfs

    asked = [find_micropython(), "-c", "import sys; print(sys.implementation._mpy)"]
    mpy = int(subprocess.run(asked, capture_output=True, check=True).stdout)
    made = compile_firmware(FIRMWARE, open_kind(BOARDS / _KIND), mpy)
    files = folder / "files"
    for path, data in made.modules.items():
        target = files / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    with contextlib.redirect_stdout(io.StringIO()):  # it lists them all
        rom: bytes = make_romfs(str(files), mpy_cross=False)
    (folder / "romfs").write_bytes(rom)
    (folder / "bundle").write_bytes(pack(made.modules, made.manifest).data)
    loader = folder / "loader"
    loader.mkdir()
    (loader / "loader.mpy").write_bytes(made.loader)
    return {
        "files": str(files),
        "bundle": str(folder / "bundle"),
        "romfs": str(folder / "romfs"),
        "loader": str(loader),
        "modules": [f"bridge.core.{module}" for module in _MODULES],
    }
