"""Writes a commented hub.toml from the dataclasses, so that it says what the code does."""

from __future__ import annotations

import dataclasses
import json
import textwrap
import typing
from typing import Any

from vitalkeep.hub.config.load import sections
from vitalkeep.settings.fields import HostPort, Limits, Secret, limits_of
from vitalkeep.settings.toml import span, unwrap

_WIDTH = 96
_HEAD = """\
A hub's settings: vitalkeep hub --config hub.toml. Every line that is commented out shows what
holds without it, or an example. Options of the command win over this file. Secrets are not in
it: they are named, "env:VARIABLE" or "file:/path"."""


def example() -> str:
    """Return the text of a hub.toml with every section and name there is."""
    parts = [_comment(_HEAD)]
    for name, cls in sections().items():
        parts += ["", *_table(cls, name, f"[{name}]")]
    return "\n".join(parts) + "\n"


def _table(cls: type, name: str, title: str) -> list[str]:
    lines = [_comment((cls.__doc__ or "").split("\n\n")[0]), title]
    hints = typing.get_type_hints(cls)
    after: list[str] = []
    for field in dataclasses.fields(cls):
        limits = limits_of(field)
        kind = unwrap(hints[field.name])
        item = typing.get_args(kind)[0] if typing.get_origin(kind) is tuple else kind
        if dataclasses.is_dataclass(item) and item not in (HostPort, Secret):
            assert isinstance(item, type)
            way = f"{name}.{field.name}"
            after += ["", _comment(limits.text)]
            rows = _table(item, way, f"[[{way}]]" if item is not kind else f"[{way}]")
            after += [row if row.startswith("#") or not row else f"# {row}" for row in rows]
            continue
        lines += ["", _comment(_told(limits))]
        value = limits.example
        if value is None and field.default is not dataclasses.MISSING:
            value = field.default
        lines.append(f"# {field.name} = {_toml(value)}")
    return lines + after


def _told(limits: Limits) -> str:
    bounds = span(limits) or (limits.choices and f"one of {', '.join(limits.choices)}")
    return f"{limits.text} ({bounds})" if bounds else limits.text


def _comment(text: str) -> str:
    text = " ".join(text.split())
    return "\n".join(textwrap.wrap(text, _WIDTH, initial_indent="# ", subsequent_indent="# "))


def _toml(value: Any) -> str:
    if isinstance(value, (bool, int, float)):
        return json.dumps(value)
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(_toml(one) for one in value)}]"
    return json.dumps("" if value is None else str(value), ensure_ascii=False)
