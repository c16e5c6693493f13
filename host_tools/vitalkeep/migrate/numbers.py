"""Numbers as other systems write them, exactly. Pure."""

from __future__ import annotations

import re
from decimal import Decimal

from vitalkeep.migrate.readings import NUMBER, Refused

_NUMBER = re.compile(r"[+-]?(\d{1,24}(\.\d{0,24})?|\.\d{1,24})([eE][+-]?\d{1,2})?", re.ASCII)
_DECIMALS_MAX = 9
_VALUE_MAX = 2**63 - 1


def parse_number(text: str, mark: str = ".") -> tuple[int, int]:
    """Return (value, decimals) of a number, without zeros at its end: "7.20" is (72, 1).

    mark    stands before the decimals
    Raises  Refused
    """
    plain = text.strip()
    if mark != ".":
        plain = plain.replace(".", "?").replace(mark, ".")
    if not _NUMBER.fullmatch(plain):
        raise Refused(NUMBER, f"{text[:40]!r}: want a number")
    sign, digits, exponent = Decimal(plain).as_tuple()
    assert isinstance(exponent, int)
    value = int("".join(map(str, digits)))
    while value and value % 10 == 0 and exponent < 0:
        value //= 10
        exponent += 1
    if not value:
        return 0, 0
    if exponent > 0:
        value *= 10**exponent
        exponent = 0
    if -exponent > _DECIMALS_MAX or value > _VALUE_MAX:
        raise Refused(NUMBER, f"{text[:40]!r}: want 9 decimals and 63 bits at most")
    return -value if sign else value, -exponent
