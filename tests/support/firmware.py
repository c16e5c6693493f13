"""Other firmwares than the one of this checkout, as bundles for a virtual board."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hil.board import BOARDS, FIRMWARE, VirtualBoard, find_micropython
from vitalkeep.board.bundle import Bundle, pack
from vitalkeep.board.compile import compile_firmware
from vitalkeep.board.kinds import open_kind

_DRIVERS = ("__init__.py", "driver.py", "masimo_set.py", "textline.py")
_LEFT_OUT = ("radio", "radio_wire", "radio_choice", "lora_chip", "ppp", "w5500", "dma_uart")


@functools.cache
def mpy_here() -> int:
    """Return what the MicroPython of virtual boards says of its .mpy format."""
    asked = [find_micropython(), "-c", "import sys; print(sys.implementation._mpy)"]
    return int(subprocess.run(asked, capture_output=True, check=True).stdout)


def slim_firmware(folder: Path, version: str, changes: Mapping[str, str] | None = None) -> Path:
    """Copy this firmware under another version, without the drivers that no test here needs.

    changes  {path below bridge/: text that is put at the end of the file}
    """
    shutil.copytree(FIRMWARE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    bridge = folder / "bridge"
    for path in (bridge / "core" / "protocols").glob("*.py"):
        if path.name not in _DRIVERS:
            path.unlink()
    for path in list(bridge.rglob("*.py")):
        if path.stem in _LEFT_OUT:
            path.unlink()
    text = f'\nVERSION = "{version}"\n'
    for path, more in {"release.py": text, **(changes or {})}.items():
        file = bridge / path
        file.write_text(file.read_text() + more)
    return folder


def other_firmware(
    folder: Path,
    version: str,
    changes: Mapping[str, str] | None = None,
    board: str = "VIRTUAL_ESP32S3",
) -> Bundle:
    """Return a `slim_firmware` as a bundle for a virtual board."""
    source = slim_firmware(folder, version, changes)
    made = compile_firmware(source, open_kind(BOARDS / board), mpy_here())
    return pack(made.modules, made.manifest)


def deliver_by_hand(board: VirtualBoard, bundle: Bundle, **offer: Any) -> None:
    """Put a bundle on a board as `vitalkeep update push` does over USB."""
    folder = board.files / "bundles"
    folder.mkdir(exist_ok=True)
    state = folder / "state"
    now = json.loads(state.read_text())["now"] if state.exists() else ""
    (folder / ("b" if now == "a" else "a")).write_bytes(bundle.data)
    told = {"size": len(bundle.data), "digest": bundle.digest.hex(), "older": False, "take": True}
    (folder / "offer").write_text(json.dumps({**told, **offer}))


def authorise(board: VirtualBoard, certificate: bytes) -> None:
    """Put the ward's authority (DER) on a board."""
    folder = board.files / "tls" / "now"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ca.der").write_bytes(certificate)
