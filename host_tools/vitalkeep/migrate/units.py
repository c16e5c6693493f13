"""Units: which are alike, and what one is in the other, exactly. Pure. Source: UCUM 2.1."""

from __future__ import annotations

import re
from fractions import Fraction

# By kind, how much of the first one each is. Exact by definition, but for the column of mercury,
# which UCUM gives with 133.322 and no more.
_KINDS: tuple[dict[str, Fraction], ...] = (
    {
        "Pa": Fraction(1), "hPa": Fraction(100), "mbar": Fraction(100), "kPa": Fraction(1000),
        "bar": Fraction(100_000), "mm[Hg]": Fraction(133_322, 1000),
        "cm[H2O]": Fraction(980_665, 10_000),
    },
    {"mL": Fraction(1), "cL": Fraction(10), "dL": Fraction(100), "L": Fraction(1000)},
    {
        "mL/min": Fraction(1), "L/min": Fraction(1000), "mL/h": Fraction(1, 60),
        "mL/s": Fraction(60), "L/s": Fraction(60_000),
    },
    {"ms": Fraction(1), "s": Fraction(1000), "min": Fraction(60_000), "h": Fraction(3_600_000)},
    {"/min": Fraction(1), "1/min": Fraction(1), "/s": Fraction(60), "Hz": Fraction(60)},
    {"mL/mbar": Fraction(1), "mL/hPa": Fraction(1), "mL/cm[H2O]": Fraction(1_000_000, 980_665)},
)  # fmt: skip
# Degrees: kelvins of one, and what has to be added before
_DEGREES = {
    "Cel": (Fraction(1), Fraction(27_315, 100)),
    "[degF]": (Fraction(5, 9), Fraction(45_967, 100)),
    "K": (Fraction(1), Fraction(0)),
}
_NOTE = re.compile(r"\{[^{}]*\}")


def plain(unit: str) -> str:
    """Return a unit without its annotations: "{beats}/min" is "/min", "{count}" is "1"."""
    return _NOTE.sub("", unit) or "1"


def converter(unit: str, wanted: str) -> tuple[Fraction, Fraction] | None:
    """Return (factor, summand) that make `wanted` of a number in `unit`, None where none do."""
    unit, wanted = plain(unit), plain(wanted)
    if unit == wanted:
        return Fraction(1), Fraction(0)
    if unit in _DEGREES and wanted in _DEGREES:
        (size, zero), (of, from_) = _DEGREES[unit], _DEGREES[wanted]
        return size / of, zero * size / of - from_
    for kind in _KINDS:
        if unit in kind and wanted in kind:
            return kind[unit] / kind[wanted], Fraction(0)
    return None
