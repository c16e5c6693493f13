"""An RP2 gets its image: the file is copied to the drive that it shows while it waits for one.

Such an image writes nothing but its own blocks, which end below the storage area (images.py sees
to that), so files and a log in the board's own flash stay.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from vitalkeep.board import uf2
from vitalkeep.board.errors import BoardError
from vitalkeep.board.images import Image
from vitalkeep.board.kinds import Kind
from vitalkeep.board.progress import Progress
from vitalkeep.board.units import Unit, from_drive, mcu_of

_PIECE = 32 * uf2.BLOCK
_ACCEPT_S = 20.0
_RETURN_S = 20.0
_LOOK_S = 0.1


def wait_for_drive(
    before: set[Path], drives: Callable[[], list[Path]], timeout_s: float = 30
) -> Path:
    """Return the drive that has appeared since `before`; raises BoardError for none or several."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        fresh = [path for path in drives() if path not in before and from_drive(path)]
        if len(fresh) > 1:
            raise BoardError(
                "several-boards",
                f"{len(fresh)} drives have appeared: {', '.join(map(str, fresh))}",
                "Which is which cannot be told: leave one plugged in, or name it: --drive.",
            )
        if fresh:
            return fresh[0]
        time.sleep(_LOOK_S)
    raise BoardError(
        "no-board",
        f"no drive has appeared within {timeout_s:g} s",
        "Hold BOOTSEL while you plug the board in; is the drive mounted? Or name it: --drive.",
    )


def wait_for_port(before: set[str], named: str, units: Callable[[], list[Unit]]) -> str:
    """Return the serial port of a board that has taken its image; raises BoardError.

    before  ports of the other boards; named: its own, where that is known
    """
    until = time.monotonic() + _RETURN_S
    while time.monotonic() < until:
        if named and os.path.exists(named):
            return named
        fresh = [unit.device for unit in units() if unit.device and unit.device not in before]
        if len(fresh) == 1 and not named:
            return fresh[0]
        time.sleep(_LOOK_S)
    raise BoardError(
        "cable",
        f"the drive is gone, and no board has come in its place within {_RETURN_S:g} s",
        "Plug the board in again with BOOTSEL held, and run the same again.",
    )


def write_image(drive: Path, kind: Kind, image: Image, progress: Progress) -> None:
    """Copy an image to a drive and wait until the board has taken it; raises BoardError."""
    progress.begin("write the image")
    mcu = mcu_of(drive)
    if mcu != kind.mcu:
        raise BoardError(
            "wrong-chip",
            f"{drive}: this chip is an {mcu}, and {kind.name} has an {kind.mcu}",
            "Name the board that is plugged in: --board.",
        )
    size = len(image.data)
    sent = 0
    try:
        handle = os.open(drive / "image.uf2", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            while sent < size:
                sent += os.write(handle, image.data[sent : sent + _PIECE])
                progress.at(100 * sent / size)
                os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        # The last block makes the board restart, and the drive may go before all is said.
        if sent < size:
            raise BoardError(
                "cable",
                f"{drive}: gone after {sent} of {size} bytes ({error.strerror})",
                "Plug the board in again with BOOTSEL held, and run the same again.",
            ) from None
    until = time.monotonic() + _ACCEPT_S
    while from_drive(drive) is not None:
        if time.monotonic() > until:
            raise BoardError(
                "not-accepted",
                f"{drive}: the board still waits for an image after {_ACCEPT_S:g} s",
                "Is it the image of this board? Unplug it and try once more.",
            )
        time.sleep(_LOOK_S)
    progress.end("done", f"{image.name}, {size} bytes")
