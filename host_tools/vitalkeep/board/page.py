"""The budget in a board's README: python -m vitalkeep.board.page BOARD prints it."""

from __future__ import annotations

import sys

from vitalkeep.board.budget import BUNDLE, SESSIONS, budget
from vitalkeep.board.kinds import Kind, find_kind


def budget_table(kind: Kind) -> str:
    """Return a table in Markdown of what a kind of board has room for."""
    room = budget(kind)
    mpy = "fits" if room.takes_mpy else "does not fit: build the image"
    whole = room.takes_mpy and room.takes_bundles
    update = "by bundles" if whole else "by patches, or an image over USB"
    rows = (
        ("room for the image", _kb(room.image)),
        ("file system", _kb(room.files)),
        ("log", _kb(room.journal)),
        ("hours of an 18-parameter monitor (5 bytes a second)", f"{room.hours:.0f}"),
        ("heap", _kb(room.heap)),
        (f"the gateway with its code in the image, {SESSIONS} TLS sessions", _kb(room.frozen)),
        ("the same with its code from `.mpy` files", f"{_kb(room.loaded)}, {mpy}"),
        ("left for the rings behind UARTs", _kb(room.rings)),
        (
            "heap left for a patch of the image (on RP2 with the rings)",
            _kb(room.heap - room.frozen),
        ),
        (f"two bundles of {_kb(BUNDLE)}, so it is updated", update),
    )
    head = "| what | KB |\n|---|---:|\n"
    return head + "".join(f"| {name} | {value} |\n" for name, value in rows)


def _kb(size: int) -> str:
    return f"{size // 1024:,}"


if __name__ == "__main__":
    print(budget_table(find_kind(sys.argv[1])), end="")
