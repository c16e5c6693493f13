"""Captures of a serial line: bytes as they came, or hexadecimal with notes."""

from __future__ import annotations

from vitalkeep.errors import ToolError

_FROM_DEVICE = "<"
_TO_DEVICE = ">"
_NOTE = "#"


def parse_hex(text: str, where: str) -> list[bytes]:
    """Return the pieces that came from the device, one for each line of hexadecimal.

    A line may begin with "<" (from the device), ">" (to it, left out here) or "#" (a note).
    Raises ToolError for anything else.
    """
    pieces = []
    for number, line in enumerate(text.splitlines(), 1):
        digits = line.strip()
        if not digits or digits[0] in (_NOTE, _TO_DEVICE):
            continue
        try:
            pieces.append(bytes.fromhex(digits.removeprefix(_FROM_DEVICE)))
        except ValueError:
            raise ToolError(
                f"{where}, line {number}: not hexadecimal",
                "Lines are bytes as 02 4f 4b, with < or > before them, or notes with #.",
            ) from None
    return pieces
