"""Boards on the bench, and a firmware that is quickly copied."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hil.bedside.bench import BenchBoard
from vitalkeep.board.errors import BoardError
from vitalkeep.board.flash import Flashed, Order, flash
from vitalkeep.board.kinds import FIRMWARE
from vitalkeep.board.progress import Progress
from vitalkeep.board.units import Unit, from_drive, from_port

MAIN = """import loader
if loader.start():
    import bridge.app
    import wiring
    print("gateway", bridge.app.VERSION, wiring.BOARD)
"""
_REAL = ("core/__init__.py", "core/errors.py", "core/rings.py", "core/journal/__init__.py",
         "core/journal/fast.py", "release.py")  # fmt: skip


def small_firmware(folder: Path) -> Path:
    """Make a firmware of a few modules of the real one; fast.py among them, in machine code."""
    for name in _REAL:
        target = folder / "bridge" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(FIRMWARE / "bridge" / name, target)
    (folder / "bridge" / "__init__.py").write_text("")
    (folder / "bridge" / "app.py").write_text("from bridge.release import VERSION\n")
    shutil.copy(FIRMWARE / "loader.py", folder / "loader.py")
    (folder / "main.py").write_text(MAIN)
    return folder


def frozen_firmware(folder: Path, kind: Any) -> Path:
    """Make the folder of what an image of a kind froze."""
    small_firmware(folder)
    shutil.copy(kind.folder / "wiring.py", folder / "wiring.py")
    return folder


@contextmanager
def plugged_in(board: BenchBoard, port: bool = True) -> Iterator[BenchBoard]:
    if port:
        board.plug()
    board.start()
    try:
        yield board
    finally:
        board.close()


def usb_port(device: Path, **values: Any) -> Any:
    """Return what pyserial lists for a port."""
    port = {"device": str(device), "vid": 0x10C4, "pid": 0xEA60, "serial_number": "0001"}
    return SimpleNamespace(**{**port, "location": "1-2", **values})


def units_of(*boards: Any, **values: Any) -> Callable[[], list[Unit]]:
    """Return what finds these boards while they are plugged in."""

    def find() -> list[Unit]:
        found = []
        for number, board in enumerate(boards):
            port = usb_port(board.port, serial_number=f"bench-{number}", **values)
            found.append(from_port(port) if board.port.exists() else None)
            drive = getattr(board, "drive", None)
            found.append(from_drive(drive) if drive else None)
        return [unit for unit in found if unit is not None]

    return find


def run(order: Order, units: Callable[[], list[Unit]], **changes: Any) -> Flashed:
    return flash(replace(order, **changes), Progress(), units)


def fails(cause: str, order: Order, units: Callable[[], list[Unit]], **changes: Any) -> BoardError:
    """Run it, and return the failure, whose cause is the one that was expected."""
    with pytest.raises(BoardError) as caught:
        run(order, units, **changes)
    assert caught.value.cause == cause, (caught.value.cause, caught.value.message)
    assert caught.value.hint
    return caught.value
