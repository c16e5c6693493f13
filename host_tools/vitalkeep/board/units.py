"""Which boards are plugged in: serial ports by their USB ids, RP2 drives by their INFO_UF2.TXT.

A board is named by its serial number, or by where it is plugged in when it has none; not by a
port, which the next board may get.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from serial.tools import list_ports

from vitalkeep.board.errors import BoardError

INFO = "INFO_UF2.TXT"

# vendor, product (None: any), what is behind it
_USB = (
    (0x303A, None, "ESP32 with USB of its own"),
    (0x10C4, 0xEA60, "ESP32, behind a CP210x"),
    (0x1A86, None, "ESP32, behind a CH34x or CH910x"),
    (0x0403, None, "ESP32, behind an FTDI bridge"),
    (0x2E8A, None, "RP2 with MicroPython"),
)
_DRIVES = {"RPI-RP2": "rp2040", "RP2350": "rp2350"}


@dataclass(frozen=True)
class Unit:
    """One board that is plugged in.

    identity  its serial number or its place on the bus
    device    serial port, "" for a drive; drive: folder, None for a port
    """

    identity: str
    device: str
    drive: Path | None
    what: str

    def as_dict(self) -> dict[str, str]:
        drive = str(self.drive) if self.drive else ""
        return {"id": self.identity, "port": self.device, "drive": drive, "what": self.what}


def from_port(port: Any) -> Unit | None:
    """Return the unit at a port that pyserial lists, None when it is none of ours."""
    for vendor, product, what in _USB:
        if port.vid == vendor and product in (None, port.pid):
            identity = port.serial_number or port.location or port.device
            return Unit(identity, port.device, None, what)
    return None


def from_drive(folder: Path) -> Unit | None:
    """Return the unit behind a drive, None when it is not an RP2 that waits for an image."""
    try:
        info = (folder / INFO).read_text(errors="replace")
    except OSError:
        return None
    board = re.search(r"^Board-ID:\s*(\S+)", info, re.M)
    if board is None or board[1] not in _DRIVES:
        return None
    return Unit(f"drive-{folder.name}", "", folder, f"{_DRIVES[board[1]]}, waits for an image")


def mcu_of(drive: Path) -> str:
    """Return "rp2040" or "rp2350"; raises BoardError when the drive is gone or another's."""
    unit = from_drive(drive)
    if unit is None:
        raise BoardError(
            "no-board",
            f"{drive}: no RP2 that waits for an image",
            "Hold BOOTSEL while you plug the board in, and name the drive that appears: --drive.",
        )
    return unit.what.partition(",")[0]


def mount_points() -> list[Path]:
    """Return the folders where drives may be, on this system."""
    if sys.platform == "win32":
        return [Path(f"{letter}:/") for letter in "DEFGHIJKLMNOPQRSTUVWXYZ"]
    parents = [Path("/Volumes"), Path("/run/media"), Path("/media"), Path("/mnt")]
    parents += [Path(base) / os.environ.get("USER", "root") for base in ("/run/media", "/media")]
    return [path for parent in parents if parent.is_dir() for path in sorted(parent.iterdir())]


def find_units(
    ports: Callable[[], Iterable[Any]] = list_ports.comports,
    drives: Callable[[], Iterable[Path]] = mount_points,
) -> list[Unit]:
    """Return all boards that are plugged in."""
    found = [from_port(port) for port in ports()] + [from_drive(drive) for drive in drives()]
    return [unit for unit in found if unit is not None]


def unit_at(device: str, units: Iterable[Unit]) -> Unit:
    """Return the unit at a port that was named, also when it is no known bridge."""
    real = os.path.realpath(device)
    for unit in units:
        if unit.device and os.path.realpath(unit.device) == real:
            return unit
    return Unit(os.path.abspath(device), device, None, "named")


def choose(units: list[Unit], board: str | None) -> Unit:
    """Return the only unit, or the one whose id was named; raises BoardError."""
    listed = ", ".join(f"{unit.identity} ({unit.device or unit.drive})" for unit in units)
    if board is not None:
        units = [unit for unit in units if unit.identity == board]
    if not units:
        raise BoardError(
            "no-board",
            f"no board {board!r} is plugged in" if board else "no board is plugged in",
            f"There are: {listed}."
            if listed
            else "Is it a cable with data wires? Or name the port: --port.",
        )
    if len(units) > 1:
        raise BoardError(
            "several-boards",
            f"{len(units)} boards are plugged in: {listed}",
            "Name one: --id, --port or --drive.",
        )
    return units[0]


@contextmanager
def locked(identity: str, folder: Path) -> Iterator[None]:
    """Keep other runs from a board meanwhile; raises BoardError when one has it already."""
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", identity.strip("/"))
    lock = FileLock(folder / f"{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise BoardError(
            "locked",
            f"another run of vitalkeep works on board {identity}",
            "Wait until it is done, or name another board.",
        ) from None
    try:
        yield
    finally:
        lock.release()
