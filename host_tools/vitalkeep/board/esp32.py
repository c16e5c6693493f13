"""An ESP32 becomes a gateway's board: our partition table, the image, and nothing lost.

The order survives a cable that is pulled anywhere. What will be erased is saved first; then blank
is made what the new table calls files, log and keys and the old one did not; then the image is
written, and the new table last. As long as the old table stands, all of it is done again.
"""

from __future__ import annotations

from collections.abc import Callable

from vitalkeep.board.errors import BoardError
from vitalkeep.board.esptool import Esptool, Found
from vitalkeep.board.images import Image, split
from vitalkeep.board.kinds import Kind
from vitalkeep.board.partitions import (
    TABLE_AT,
    TABLE_SIZE,
    Partition,
    by_label,
    need,
    pack_table,
    parse_table,
)
from vitalkeep.board.progress import Progress
from vitalkeep.board.saved import Saved

_OURS = ("vfs", "journal", "keys")
_LOG = ("journal", "keys")


def check_chip(found: Found, kind: Kind) -> None:
    """Raise BoardError when a chip is not the one of a kind of board."""
    if found.chip != kind.mcu:
        raise BoardError(
            "wrong-chip",
            f"this chip is an {found.chip}, and {kind.name} has an {kind.mcu}",
            "Name the board that is plugged in: --board.",
        )
    if found.flash_size < kind.wiring.FLASH:
        raise BoardError(
            "flash-too-small",
            f"this board has {found.flash_size >> 20} MB of flash, and {kind.name} has "
            f"{kind.wiring.FLASH >> 20}",
            "Choose the kind that fits, or make a folder of its own in boards/.",
        )


def matching_kinds(found: Found, kinds: list[Kind]) -> list[Kind]:
    """Return the kinds that a chip may be on, those with the largest flash that fits."""
    fit = [
        kind for kind in kinds if kind.mcu == found.chip and found.flash_size >= kind.wiring.FLASH
    ]
    largest = max((kind.wiring.FLASH for kind in fit), default=0)
    return [kind for kind in fit if largest == kind.wiring.FLASH]


def write_image(
    tool: Esptool,
    kind: Kind,
    image: Image,
    saved: Callable[[], Saved],
    progress: Progress,
    may_erase_log: bool = False,
) -> bool:
    """Bring image and table onto a board; returns False when they were there already.

    saved          makes the place for what is saved, when there is something to save
    may_erase_log  whether a log or keys in places that the new table does not have may go
    Raises         BoardError
    """
    table = pack_table(kind.partitions)
    *program, last = split(kind, image.data, table)
    progress.begin("look at the flash")
    found = tool.read(TABLE_AT, TABLE_SIZE)
    if found == table and all(tool.holds(program, kind.wiring.FLASH)):
        progress.end("unchanged", "image and partition table are there already")
        tool.restart()
        return False
    progress.end("done")
    old = _old_table(found)
    moved = [
        need(kind.partitions, label) for label in _OURS
        if by_label(old, label) != by_label(kind.partitions, label)
    ]  # fmt: skip
    filled = _not_blank(tool, moved)
    lost = _save(tool, old, filled, saved, progress)
    if lost and not may_erase_log:
        raise BoardError(
            "log-in-the-way",
            f"{' and '.join(lost)} would be erased: the new partition table has them elsewhere",
            "They were saved. Deliver that log first (docs/guides/recover.md); then, if it may "
            "go: --erase-log.",
        )
    for part in filled:
        progress.begin(f"erase {part.label}")
        tool.erase(part.offset, part.size)
        progress.end("done")
    progress.begin("write the image")
    tool.write(program, kind.wiring.FLASH, progress)
    progress.end("done", f"{image.name}, {len(image.data)} bytes, each piece verified")
    progress.begin("write the partition table")
    tool.write([last], kind.wiring.FLASH, progress, restart=True)
    progress.end("done", ", ".join(part.label for part in kind.partitions))
    return True


def _not_blank(tool: Esptool, parts: list[Partition]) -> list[Partition]:
    if not parts:
        return []
    return [part for part, blank in zip(parts, tool.blank(parts), strict=True) if not blank]


def _old_table(found: bytes) -> list[Partition]:
    try:
        return parse_table(found)
    except ValueError:
        return []  # what is there is not known, and so all of it is saved


def _save(
    tool: Esptool,
    old: list[Partition],
    filled: list[Partition],
    saved: Callable[[], Saved],
    progress: Progress,
) -> list[str]:
    """Save what may hold something; returns the labels of a log or keys that would be erased."""
    held = _not_blank(tool, [part for part in old if part.label in _OURS])
    if not any(part.label in _OURS for part in old):
        # A stock table: all behind its last partition are files, up to the end of the chip.
        held = [Partition("before-" + part.label, 1, 0, part.offset, part.size) for part in filled]
    lost = []
    place: Saved | None = None
    for part in held:
        progress.begin(f"save {part.label}")
        try:
            data = tool.read(part.offset, part.size, progress)
        except BoardError as error:
            raise BoardError(
                "not-saved" if error.cause != "cable" else "cable",
                f"{part.label} could not be read, so nothing was erased: {error.message}",
                error.hint,
            ) from None
        place = place or saved()
        facts = {"label": part.label, "offset": part.offset}
        path = place.keep(f"{part.label}-{part.offset:06x}.bin", data, **facts)
        progress.end("done", str(path))
        is_in_the_way = any(part.offset < gone.end and gone.offset < part.end for gone in filled)
        if part.label in _LOG and is_in_the_way:
            lost.append(part.label)
    return lost
