"""The tables of protocols and of parameters as pages of the documentation."""

from __future__ import annotations

from importlib import import_module

from bridge.core.codes import PARAMETERS
from bridge.core.protocols import PROTOCOLS

_CERTAINTY = ("not confirmed", "one public source", "two public sources agree")


def title_of(name: str) -> str:
    """Return the first line of what a driver says of itself."""
    text = import_module(PROTOCOLS[name][0]).__doc__ or ""
    return text.strip().splitlines()[0]


def ports_of(name: str) -> tuple[str, ...]:
    """Return how its line may be set, the usual way first."""
    found: tuple[str, ...] = import_module(PROTOCOLS[name][0]).PORTS
    return found


def protocols_page() -> str:
    """Return the list of all protocols, each with the way to its page."""
    lines = [
        "# Protocols",
        "",
        "What a gateway reads; `vitalkeep protocols` prints the same list. The values' codes and",
        "units are in [one table](parameters.md).",
        "",
        "| name | port, usually | what it is |",
        "|---|---|---|",
    ]
    for name in sorted(PROTOCOLS):
        lines.append(f"| [`{name}`]({name}.md) | {ports_of(name)[0]} | {title_of(name)} |")
    return "\n".join(lines) + "\n"


def parameters_page() -> str:
    """Return the table of all parameters, as codes.py has it."""
    lines = [
        "# Parameters",
        "",
        "Each value that a gateway keeps has an id of this table, its IEEE 11073-10101 reference",
        "id and context-free code, and a UCUM unit. An id never changes its meaning. Where there",
        "is no code, none is established; check what is not confirmed before you rely on it.",
        "Ids from 32768 up are those of a line's own configuration.",
        "",
        "| id | label | MDC reference id | code | UCUM | how sure the code is |",
        "|---|---|---|---|---|---|",
    ]
    for id, label, mdc, code, ucum, certainty in PARAMETERS:
        sure = _CERTAINTY[certainty] if mdc else ""
        lines.append(f"| {id} | {label} | {mdc} | {code or ''} | {ucum} | {sure} |")
    return "\n".join(lines) + "\n"


PAGES = {"README": protocols_page, "parameters": parameters_page}
