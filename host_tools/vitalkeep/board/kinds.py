"""Kinds of boards: one folder of boards/ each, in MicroPython's own file names."""

from __future__ import annotations

import json
import runpy
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from vitalkeep.board.chips import CHIPS, Chip
from vitalkeep.board.partitions import Partition, read_csv
from vitalkeep.errors import ToolError

_TOOLS = Path(__file__).resolve().parents[1]
# Installed, both are inside this package (pyproject.toml); in a checkout they are at its top.
_TOP = _TOOLS if (_TOOLS / "boards").is_dir() else _TOOLS.parents[1]
FIRMWARE, BOARDS = _TOP / "firmware", _TOP / "boards"


@dataclass(frozen=True)
class Kind:
    """One kind of board.

    wiring      the values of its wiring.py
    partitions  of the chip that holds the log: the whole flash of an ESP32, the storage area of an
                RP2 with the log inside, or the external chip
    """

    name: str
    folder: Path
    mcu: str
    product: str
    wiring: Any
    partitions: list[Partition]

    @property
    def chip(self) -> Chip:
        return CHIPS[self.mcu]

    @property
    def medium(self) -> str:
        """Where the log is: "partition", "rp2" or "spi_nor"."""
        return str(self.wiring.JOURNAL["medium"])

    @property
    def needs_own_image(self) -> bool:
        """Whether an image that was not built from this folder would harm the log."""
        return self.medium == "rp2"

    @property
    def is_real(self) -> bool:
        return hasattr(self.wiring, "FLASH")


def open_kind(folder: Path) -> Kind:
    """Return the kind that a folder describes; raises ToolError."""
    try:
        facts = json.loads((folder / "board.json").read_text())
        values = runpy.run_path(str(folder / "wiring.py"))
        wiring = SimpleNamespace(**{key: values[key] for key in values if key.isupper()})
        mcu, product = facts["mcu"], facts["product"]
        if mcu not in CHIPS:
            raise ValueError(f"mcu {mcu!r}, want one of {', '.join(CHIPS)}")
        partitions = read_csv(folder / "partitions.csv")
    except (OSError, ValueError, KeyError) as error:
        raise ToolError(
            f"{folder}: not a kind of board: {error}",
            "It needs board.json, wiring.py and partitions.csv; see docs/guides/boards.md.",
        ) from None
    return Kind(folder.name, folder, mcu, product, wiring, partitions)


def all_kinds(boards: Path = BOARDS) -> list[Kind]:
    """Return all real kinds of boards, by name; raises ToolError."""
    if not boards.is_dir():
        raise ToolError(f"{boards}: no such folder", "Name the folder of boards: --boards.")
    folders = sorted(path.parent for path in boards.glob("*/wiring.py"))
    return [kind for kind in map(open_kind, folders) if kind.is_real]


def find_kind(name: str, boards: Path = BOARDS) -> Kind:
    """Return a kind by its name; raises ToolError."""
    kinds = {kind.name: kind for kind in all_kinds(boards)}
    if name not in kinds:
        raise ToolError(f"no board {name!r}", f"There are: {', '.join(kinds)}.")
    return kinds[name]
