"""Captures of a serial line: bytes as they came, or hexadecimal with notes."""

from __future__ import annotations

from vitalkeep.errors import ToolError

_FROM_DEVICE = "<"
_TO_DEVICE = ">"
_NOTE = "#"


def parse_hex(text: str, where: str) -> list[tuple[bool, bytes]]:
    """Return the pieces of a capture, one for each line: whether it was sent to the device, bytes.

    A line may begin with "<" (from the device), ">" (to it) or "#" (a note).
    Raises ToolError for anything else.
    """
    pieces = []
    for number, line in enumerate(text.splitlines(), 1):
        digits = line.strip()
        if not digits or digits[0] == _NOTE:
            continue
        sent = digits[0] == _TO_DEVICE
        try:
            data = bytes.fromhex(digits.removeprefix(_FROM_DEVICE).removeprefix(_TO_DEVICE))
        except ValueError:
            raise ToolError(
                f"{where}, line {number}: not hexadecimal",
                "Lines are bytes as 02 4f 4b, with < or > before them, or notes with #.",
            ) from None
        pieces.append((sent, data))
    return pieces
