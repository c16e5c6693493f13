"""Values as people read them: label, unit and decimals of what a log has as numbers. Pure."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from bridge.core import codes

Readings = dict[str, list[Any]]  # {label: [decimal string or None, state, unit]}

_CALCULATED = ("=", "+", "-", "@", "\t", "\r")  # what a cell begins with that is calculated
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII)
_KNOWN = {entry[0]: (entry[1], entry[4]) for entry in codes.PARAMETERS}


@lru_cache(maxsize=1 << 14)
def decimal(value: int | None, decimals: int) -> str | None:
    """Return a scaled integer as a decimal string, exactly: 72 with decimals 1 is "7.2"."""
    if value is None or not decimals:
        return None if value is None else str(value)
    sign = "-" if value < 0 else ""
    digits = str(abs(value)).rjust(decimals + 1, "0")
    return f"{sign}{digits[:-decimals]}.{digits[-decimals:]}"


def cell(value: Any) -> Any:
    """Return what stands in a cell of CSV: no text that a spreadsheet would calculate."""
    if isinstance(value, str) and value.startswith(_CALCULATED) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def name_of(value: Any) -> tuple[str, str]:
    """Return (label, unit) of a value."""
    label, unit = _KNOWN.get(value.parameter, (value.label, value.unit))
    if not label:
        # Written by a gateway whose table is newer than ours: keep it under its number.
        return f"#{value.parameter}", unit or ""
    return label, unit or ""


def readings(values: Any) -> Readings:
    """Return {label: [decimal string or None, state, unit]} of an observation's values."""
    found: Readings = {}
    for value in values:
        label, unit = name_of(value)
        text = decimal(value.value, value.decimals)
        entry = [text, value.state, unit]
        if label in found and text is None:
            continue  # the same parameter with other decimals, blank in this observation
        found[label] = entry
    return found
