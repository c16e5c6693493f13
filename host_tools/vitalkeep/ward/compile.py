"""From a ward's plan to each gateway's config.json, checked by what reads it on the board."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from bridge.core.airtime import make_plan
from bridge.core.config import Config
from bridge.core.errors import ConfigError
from bridge.core.protocols import make_decoder
from vitalkeep.board.kinds import find_kind
from vitalkeep.errors import ToolError
from vitalkeep.settings.fields import Secret
from vitalkeep.settings.toml import Mistake, Names, parse_as, read_text
from vitalkeep.ward.plan import Bed, Line, Links, Ward

_HINT = "docs/guides/ward.md shows a whole file."
_SOME_KEY = "not read"  # as long as the shortest key: a check needs no secrets

Reveal = Callable[[Secret], str]


def load_ward(path: Path) -> Ward:
    """Return the ward of a file; raises ToolError with every mistake, each with its line."""
    return parse_ward(read_text(path, _HINT), str(path))


def parse_ward(text: str, name: str = "ward.toml") -> Ward:
    """Return the ward of a text; `name` stands for the file; raises as `load_ward`."""
    return parse_as(Ward, text, name, _mistakes, _HINT)


def check_config(data: bytes, name: str) -> None:
    """Raise ToolError for a config.json that no board would take; `name` stands for the file."""
    try:
        Config(json.loads(data))
    except (ConfigError, ValueError, TypeError, AttributeError) as error:
        raise ToolError(f"{name}: {error}", "See docs/guides/configuration.md.") from None


def gateway_config(ward: Ward, bed: Bed, reveal: Reveal = Secret.read) -> dict[str, Any]:
    """Return the content of a gateway's config.json.

    reveal  returns a secret; raises ToolError where it is missing
    """
    chosen: Any = ward.gateway
    data: dict[str, Any] = {"bed": bed.name}
    data["sites"] = [_given(site) for site in ward.sites]
    data["lines"] = [_line(line) for line in lines_of(ward, bed)]
    for field in fields(chosen):
        value = getattr(chosen, field.name)
        if value != field.default:
            data[field.name] = value
    links = _links(ward.links, reveal)
    if links:
        data["links"] = links
    if ward.parameters:
        data["parameters"] = [asdict(parameter) for parameter in ward.parameters]
    if ward.ntp:
        data["ntp"] = list(ward.ntp)
    if ward.radio is not None:
        data["radio"] = ward.radio
    if ward.console != "closed":
        data["console"] = ward.console
    return data


def lines_of(ward: Ward, bed: Bed) -> tuple[Line, ...]:
    """Return a bed's lines: those of its kind, then its own."""
    shared = next((kind.lines for kind in ward.kinds if kind.name == bed.kind), ())
    return shared + bed.lines


def _links(links: Links, reveal: Reveal) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for kind in ("wifi", "cellular"):
        settings = getattr(links, kind)
        if settings is not None:
            data[kind] = {
                name: reveal(value) if isinstance(value, Secret) else value
                for name, value in _given(settings).items()
            }
    if links.dns:
        data["dns"] = list(links.dns)
    return data


def _line(line: Line) -> dict[str, Any]:
    return _given(line) | {"devices": [_given(device) for device in line.devices]}


def _given(part: Any) -> dict[str, Any]:
    """Return a dataclass as JSON has it: what was not given is left out."""
    return {
        field.name.rstrip("_"): getattr(part, field.name)
        for field in fields(part)
        if getattr(part, field.name) is not None
    }


# --- what no part by itself can tell ---


def _mistakes(ward: Ward) -> Iterator[Mistake]:
    yield from _twice("beds", [bed.name for bed in ward.beds], "name")
    yield from _twice("beds", [bed.gateway for bed in ward.beds], "gateway")
    yield from _twice("kinds", [kind.name for kind in ward.kinds], "name")
    yield from _twice("sites", [site.id for site in ward.sites], "id")
    kinds = {kind.name for kind in ward.kinds}
    if ward.board is not None:
        yield from _unknown_board(("board",), ward.board)
    for number, kind in enumerate(ward.kinds):
        yield from _options(("kinds", number), kind.lines)
    for number, bed in enumerate(ward.beds):
        at: Names = ("beds", number)
        yield from _options(at, bed.lines)
        if bed.kind is not None and bed.kind not in kinds:
            known = ", ".join(sorted(kinds)) or "none"
            yield (*at, "kind"), f"no such kind: want one of {known}"
            continue
        yield from _twice_on_board(at, lines_of(ward, bed))
        yield from _refusals(at, gateway_config(ward, bed, lambda _: _SOME_KEY))
        if bed.board is not None:
            yield from _unknown_board((*at, "board"), bed.board)
    if ward.radio is not None:
        try:
            make_plan(ward.radio)
        except ConfigError as error:
            yield ("radio",), str(error)


def _unknown_board(at: Names, name: str) -> Iterator[Mistake]:
    try:
        find_kind(name)
    except ToolError as error:
        yield at, f"{error.message}: {error.hint}"


def _twice(part: str, values: list[str], name: str) -> Iterator[Mistake]:
    for number, value in enumerate(values):
        if value in values[:number]:
            yield (part, number, name), f"{value} is there twice"


def _twice_on_board(at: Names, lines: tuple[Line, ...]) -> Iterator[Mistake]:
    uarts = [line.uart for line in lines]
    for uart in sorted({uart for uart in uarts if uarts.count(uart) > 1}):
        yield at, f"uart {uart} has two lines"


def _options(at: Names, lines: tuple[Line, ...]) -> Iterator[Mistake]:
    for number, line in enumerate(lines):
        try:
            make_decoder(line.protocol, line.options or {})
        except ConfigError as error:
            yield (*at, "lines", number), str(error)


def _refusals(at: Names, data: dict[str, Any]) -> Iterator[Mistake]:
    try:
        Config(data)
    except ConfigError as error:
        yield at, str(error)
