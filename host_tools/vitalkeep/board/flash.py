"""One board from bare to a gateway without identity: its image, its table, the firmware.

What comes after it (keys, configuration, acceptance) begins with the `Flashed` that this returns.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vitalkeep.board import esp32, rp2
from vitalkeep.board.budget import budget
from vitalkeep.board.errors import BoardError
from vitalkeep.board.esptool import Esptool
from vitalkeep.board.images import Image, get_image
from vitalkeep.board.install import Installed, check_memory, install
from vitalkeep.board.kinds import BOARDS, FIRMWARE, Kind, all_kinds, find_kind
from vitalkeep.board.mpremote import Mpremote, left_running
from vitalkeep.board.progress import Progress, Step
from vitalkeep.board.prompt import Gateways
from vitalkeep.board.saved import Saved
from vitalkeep.board.units import Unit, choose, find_units, from_drive, locked, mcu_of, unit_at

_BOOTSEL_LOCK = "bootsel"  # which drive belongs to which board is known only one at a time


@dataclass(frozen=True)
class Order:
    """What is wanted; what is left out is found out.

    home            folder for what is kept on this computer: locks, images, what was saved
    board           the kind, a folder of boards/
    id, port, drive  which of the boards that are plugged in
    image, sha256   a local file and its hash; pins: the list of pinned images
    files           whether the firmware is brought onto it as well
    gateways        returns those of a vault, for a board whose gateway keeps its prompt closed
    """

    home: Path
    board: str | None = None
    id: str | None = None
    port: str | None = None
    drive: Path | None = None
    image: Path | None = None
    sha256: str = ""
    pins: Path | None = None
    files: bool = True
    trial: bool = False
    erase_log: bool = False
    format_files: bool = False
    older: bool = False
    baud: int = 460800
    stub: bool = True
    boards: Path = BOARDS
    firmware: Path = FIRMWARE
    gateways: Gateways = dict


@dataclass(frozen=True)
class Flashed:
    """What was done to a board.

    id     of the board on its bus; unique_id: what its chip calls itself, "" when it was not asked
    hours  of an 18-parameter monitor that its log keeps
    """

    id: str
    port: str
    kind: Kind
    unique_id: str
    image: Image | None
    image_written: bool
    installed: Installed | None
    saved: Path | None
    hours: float
    steps: list[Step] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        done = self.installed
        return {
            "outcome": "done",
            "id": self.id,
            "port": self.port,
            "board": self.kind.name,
            "unique_id": self.unique_id,
            "image": self.image and {"name": self.image.name, "sha256": self.image.sha256},
            "image_written": self.image_written,
            "files": done
            and {
                "written": done.written,
                "removed": done.removed,
                "unchanged": done.unchanged,
                "frozen": done.frozen,
            },
            "saved": str(self.saved) if self.saved else None,
            "hours": round(self.hours, 1),
            "steps": [vars(step) for step in self.steps],
        }


def flash(
    order: Order,
    progress: Progress,
    units: Callable[[], list[Unit]] = find_units,
    is_locked: bool = False,
) -> Flashed:
    """Do what is wanted; what is done already is left as it is. Raises BoardError, ToolError.

    is_locked  whether the caller keeps others from the board already
    """
    unit = choose_unit(order, units)
    with nullcontext() if is_locked else locked(unit.identity, order.home / "locks"):
        work = _Work(order, unit, progress, units)
        return work.do()


def choose_unit(order: Order, units: Callable[[], Iterable[Unit]]) -> Unit:
    """Return the board that an order names, or the only one; raises BoardError."""
    if order.drive is not None:
        unit = from_drive(order.drive)
        if unit is None:
            mcu_of(order.drive)  # raises, with what to do
            raise AssertionError
        return Unit(unit.identity, order.port or "", order.drive, unit.what)
    if order.port is not None:
        if os.name == "posix" and not os.path.exists(order.port):
            raise BoardError(
                "no-board", f"{order.port}: no such port", "Plug the board in; see --list."
            )
        return unit_at(order.port, units())
    return choose(list(units()), order.id)


class _Work:
    """One run on one board, which is locked."""

    def __init__(
        self,
        order: Order,
        unit: Unit,
        progress: Progress,
        units: Callable[[], list[Unit]],
    ) -> None:
        self.order = order
        self.unit = unit
        self.progress = progress
        self._units = units
        self._saved: Saved | None = None
        self._kind: Kind | None = None
        self._device = unit.device  # its serial port; of a drive it is known once it restarts

    def saved(self) -> Saved:
        if self._saved is None:
            name = re.sub(r"[^A-Za-z0-9_.-]", "_", self.unit.identity.strip("/"))
            about = {"board": self._kind.name if self._kind else "", "id": self.unit.identity}
            self._saved = Saved(self.order.home / "saved" / name, about)
        return self._saved

    def do(self) -> Flashed:
        order = self.order
        kind = self._kind = self._find_kind()
        image = get_image(kind, order.image, order.sha256, order.pins, order.home / "images")
        if image is not None and order.files and not image.has_firmware:
            # Known before anything is written
            check_memory(kind, order.trial)
        written = self._write(kind, image) if image is not None else False
        if image is None:
            self.progress.begin("write the image")
            self.progress.end("skipped", "none was named, and none is pinned for this board")
        installed = None
        if order.files:
            board = Mpremote(self._device, order.gateways)
            board.wait_for_port()
            # Refused or cut short, a bed keeps the gateway that it had.
            with left_running(self._device, board.reset):
                installed = install(
                    board, kind, order.firmware, self.saved, self.progress,
                    trial=order.trial, format_files=order.format_files, older=order.older,
                )  # fmt: skip
            if installed.written or installed.removed:
                board.reset()
        saved = self._saved.folder if self._saved else None
        return Flashed(
            self.unit.identity, self._device, kind, installed.id if installed else "", image,
            written, installed, saved, budget(kind).hours, self.progress.steps,
        )  # fmt: skip

    def _find_kind(self) -> Kind:
        """Return the kind that was named, or the only one that the chip may be on."""
        order = self.order
        if order.board is not None:
            return find_kind(order.board, order.boards)
        kinds = all_kinds(order.boards)
        if self.unit.drive is not None:
            mcu = mcu_of(self.unit.drive)
            fit = [kind for kind in kinds if kind.mcu == mcu]
        elif "RP2" in self.unit.what:
            fit = [kind for kind in kinds if kind.chip.port == "rp2"]
        else:
            tool = Esptool(self.unit.device, baud=order.baud, stub=order.stub)
            fit = esp32.matching_kinds(tool.detect(), kinds)
        if len(fit) != 1:
            names = ", ".join(kind.name for kind in fit) or "none"
            raise BoardError(
                "which-kind",
                f"of boards/ these have such a chip: {names}",
                "Name the one that is printed on the board: --board.",
            )
        return fit[0]

    def _write(self, kind: Kind, image: Image) -> bool:
        order = self.order
        if kind.chip.port == "rp2":
            with locked(_BOOTSEL_LOCK, order.home / "locks"):
                return self._write_rp2(kind, image)
        if self.unit.drive is not None:
            raise BoardError(
                "wrong-chip",
                f"{self.unit.drive}: {self.unit.what}; {kind.name} has an {kind.mcu}",
                "Name the board that is plugged in: --board.",
            )
        self.progress.begin("ask the chip")
        tool = Esptool(self.unit.device, "auto", order.baud, order.stub)
        found = tool.detect()
        esp32.check_chip(found, kind)
        tool.chip = found.chip
        self.progress.end("done", f"{found.description}, {found.flash_size >> 20} MB, {found.mac}")
        return esp32.write_image(tool, kind, image, self.saved, self.progress, order.erase_log)

    def _write_rp2(self, kind: Kind, image: Image) -> bool:
        drive = self.unit.drive
        ports = {unit.device for unit in self._units() if unit.device != self.unit.device}
        if drive is None:
            before = {unit.drive for unit in self._units() if unit.drive}
            self.progress.begin("ask the board to wait for an image")
            Mpremote(self.unit.device, self.order.gateways).bootloader()
            drive = rp2.wait_for_drive(before, lambda: [u.drive for u in self._units() if u.drive])
            self.progress.end("done", str(drive))
        rp2.write_image(drive, kind, image, self.progress)
        self.progress.begin("wait for the board")
        self._device = rp2.wait_for_port(ports, self.unit.device, self._units)
        self.progress.end("done", self._device)
        return True
