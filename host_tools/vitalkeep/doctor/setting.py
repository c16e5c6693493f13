"""How a UART is set."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Setting:
    """How a UART is set.

    baud      bits a second
    bits      data bits, 7 or 8
    parity    N, E or O
    stop      stop bits, 1 or 2
    inverted  idle is 0 and every level is the other one
    """

    baud: int
    bits: int = 8
    parity: str = "N"
    stop: int = 1
    inverted: bool = False

    @classmethod
    def parse(cls, text: str) -> Setting:
        """Return the setting that is written "19200 8E1"; raises ValueError for another shape."""
        speed, _, shape = text.partition(" ")
        if not re.fullmatch("[78][NEO][12]", shape):
            raise ValueError(f"{text!r}: want something like 9600 8N1")
        return cls(int(speed), int(shape[0]), shape[1], int(shape[2]))

    def __str__(self) -> str:
        turned = " inverted" if self.inverted else ""
        return f"{self.baud} {self.bits}{self.parity}{self.stop}{turned}"

    @property
    def character_bits(self) -> int:
        """Bits from one start to the next."""
        return 1 + self.bits + (self.parity != "N") + self.stop
