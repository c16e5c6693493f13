"""For how long a board's Python stands still, by chip: what virtual boards model.

Estimates from others' reports, not measured here on a board: a handshake with ECDHE and ECDSA on
P-256 and certificates at both ends takes 0.6 to 1.0 s on RP2040 and some 400 ms on ESP32. Flash
has a model of its own (hil/virtual_board/nor.py).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Stalls:
    """What stops everything on a board.

    handshake_ms     its steps, one after each record of the peer's: greeting, chain, key exchange
                     and its signature, the end of the flight (our key, secret and signature)
    collect_ms       one collection of the heap, each `collect_each_ms`
    """

    handshake_ms: tuple[int, ...]
    collect_ms: int = 20
    collect_each_ms: int = 1000


NONE = Stalls((), 0, 3600000)
_ESP32 = Stalls((0, 120, 80, 0, 200))
_RP2040 = Stalls((0, 300, 200, 0, 500))


def stalls_of(board: str) -> Stalls:
    """Return what a board of boards/ is held to; the slower chip's where nobody said."""
    return _ESP32 if "ESP32" in board else _RP2040
