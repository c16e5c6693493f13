"""What another system's name or code for a parameter is here. Pure."""

from __future__ import annotations

from typing import NamedTuple

from bridge.core import codes
from bridge.core.protocols import hl7_codes


class Known(NamedTuple):
    """A parameter of this site's table: label, MDC reference id ("" for none) and UCUM unit."""

    label: str
    mdc: str
    unit: str


_BY_ID: dict[int, Known] = {}
_BY_NAME: dict[str, Known] = {}
for _id, _label, _reference, _code, _unit, _certainty in codes.PARAMETERS:
    _known = Known(_label, _reference, _unit)
    _BY_ID[_id] = _known
    _BY_NAME.setdefault(_label, _known)
    if _reference:
        _BY_NAME.setdefault(_reference, _known)
    if _code:
        _BY_NAME.setdefault(str(_code), _known)

_UCUM = {
    hl7_codes.RATE: "/min", hl7_codes.PERCENT: "%", hl7_codes.MMHG: "mm[Hg]",
    hl7_codes.CEL: "Cel", hl7_codes.FAHRENHEIT: "[degF]", hl7_codes.KPA: "kPa",
    hl7_codes.LITRES: "L/min", hl7_codes.WATER: "cm[H2O]", hl7_codes.ML: "mL", hl7_codes.ONE: "1",
}  # fmt: skip
_UNITS = {word.decode(): _UCUM[kind] for word, kind in hl7_codes.UNITS}
# What HL7 senders mean by a code that is not the table's own for the parameter
_ALIASES = {(str(code), _UCUM[unit]): _BY_ID[number] for code, unit, number in hl7_codes.CODES}


def find(name: str) -> Known | None:
    """Return the parameter with this label, MDC reference id or context-free code."""
    return _BY_NAME.get(name)


def find_coded(code: str, unit: str) -> Known | None:
    """Return the parameter that HL7 senders mean by an MDC code with a unit of UCUM."""
    return _ALIASES.get((code, unit)) or _BY_NAME.get(code)


def ucum(unit: str) -> str:
    """Return a unit as UCUM writes it: MDC codes and what makers write are known."""
    return _UNITS.get(unit, unit)
