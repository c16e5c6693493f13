"""The built-in os with urandom, which this build of MicroPython lacks: a counter here."""

# ruff: noqa: F403
import sys

_path = sys.path[:]
sys.path.clear()
from os import *  # noqa: E402

sys.path.extend(_path)

_drawn = 0


def urandom(size):
    """Return bytes that differ from call to call: what memory they take is all that matters."""
    global _drawn
    made = bytearray(size)
    for index in range(size):
        _drawn = (_drawn * 1103515245 + 12345) & 0x3FFFFFFF
        made[index] = _drawn >> 16 & 0xFF
    return bytes(made)
