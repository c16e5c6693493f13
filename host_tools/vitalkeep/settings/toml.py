"""Reads a TOML document: every mistake of it at once, each with its line and what was expected."""

from __future__ import annotations

import dataclasses
import difflib
import math
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from vitalkeep.errors import ToolError
from vitalkeep.settings.fields import HostPort, Limits, Secret, limits_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")
Names = tuple[str | int, ...]  # the way to a value: section, name, index of an item
Mistake = tuple[Names, str]

_BYTES_MAX = 1024 * 1024
_SCALARS: dict[Any, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    Path: "a path",
    HostPort: "host:port",
    Secret: '"env:VARIABLE" or "file:/path"',
}


def read_text(path: Path, hint: str) -> str:
    """Return a file's text; raises ToolError."""
    try:
        size = path.stat().st_size
        text = path.read_text(encoding="utf-8") if size <= _BYTES_MAX else None
    except OSError as error:
        raise ToolError(f"{path}: {error.strerror or error}", hint) from None
    except UnicodeDecodeError:
        raise ToolError(f"{path}: want UTF-8", hint) from None
    if text is None:
        raise ToolError(f"{path}: {size} bytes, want {_BYTES_MAX} at most", hint)
    return text


def parse_as(
    cls: type[T], text: str, name: str, check: Callable[[T], Iterable[Mistake]], hint: str
) -> T:
    """Return a whole document as one dataclass of `setting`s.

    check   yields what is wrong with what each part by itself allows
    Raises  ToolError with every mistake
    """
    mistakes: list[Mistake] = []
    made = _build(cls, _document(text, name, hint), (), mistakes)
    if isinstance(made, cls):
        mistakes += check(made)
        _refuse(text, name, mistakes, hint)
        return made
    _refuse(text, name, mistakes, hint)
    raise AssertionError("nothing was built and nothing was wrong")


def parse_sections(text: str, name: str, known: Mapping[str, type], hint: str) -> dict[type, Any]:
    """Return the sections of a document, each by its class of `setting`s.

    known   by the name of the section
    Raises  ToolError with every mistake, `name` standing for the file
    """
    document = _document(text, name, hint)
    made: dict[type, Any] = {}
    mistakes: list[Mistake] = []
    for section, content in document.items():
        if section not in known:
            mistakes.append(((section,), _unknown("section", section, known)))
        elif not isinstance(content, dict):
            mistakes.append(((section,), f"want a section: [{section}]"))
        else:
            value = _build(known[section], content, (section,), mistakes)
            if value is not None:
                made[known[section]] = value
    _refuse(text, name, mistakes, hint)
    return made


def _document(text: str, name: str, hint: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ToolError(f"{name}: no TOML: {error}", hint) from None


def _refuse(text: str, name: str, mistakes: Sequence[Mistake], hint: str) -> None:
    """Raise ToolError when there are mistakes."""
    if mistakes:
        found = sorted({(_line(text, names), _dotted(names), why) for names, why in mistakes})
        lines = [f"{name}:{line}: {way + ': ' if way else ''}{why}" for line, way, why in found]
        raise ToolError("\n".join(lines), hint)


def _unknown(kind: str, name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    guess = f"did you mean {near[0]}?" if near else f"want one of {', '.join(known)}"
    return f"there is no such {kind}: {guess}"


def _build(
    cls: type, content: Mapping[str, Any], names: Names, mistakes: list[Mistake]
) -> object | None:
    """Return one dataclass of a table, None when there were mistakes, which are noted."""
    before = len(mistakes)
    hints = typing.get_type_hints(cls)
    # A word of Python's own, such as `class`, is a field with an underscore behind it.
    fields = {field.name.rstrip("_"): field for field in dataclasses.fields(cls)}
    values = {}
    for key, found in content.items():
        if key not in fields:
            mistakes.append(((*names, key), _unknown("name", key, fields)))
            continue
        field = fields[key]
        limits = limits_of(field)
        values[field.name] = _value(hints[field.name], found, limits, (*names, key), mistakes)
    for key, field in fields.items():
        if key not in content and field.default is dataclasses.MISSING:
            mistakes.append((names, f"{key} is missing: {limits_of(field).text}"))
    if len(mistakes) > before:
        return None
    try:
        made: object = cls(**values)
    except ValueError as error:
        mistakes.append((names, str(error)))
        return None
    return made


def _value(hint: Any, found: Any, limits: Limits, names: Names, mistakes: list[Mistake]) -> Any:
    """Return a field's value; what is wrong with it is noted."""
    kind = unwrap(hint)
    if typing.get_origin(kind) is tuple:
        item = typing.get_args(kind)[0]
        if not isinstance(found, list):
            mistakes.append((names, f"want a list, found {_shown(found)}"))
            return None
        return tuple(
            _value(item, one, limits, (*names, index), mistakes) for index, one in enumerate(found)
        )
    if kind not in _SCALARS:
        if typing.get_origin(kind) is dict and isinstance(found, dict):
            return found
        if isinstance(found, dict):
            return _build(kind, found, names, mistakes)
        mistakes.append((names, "want a table"))
        return None
    try:
        return _checked(_scalar(kind, found), limits)
    except ValueError as error:
        mistakes.append((names, str(error)))
        return None


def unwrap(hint: Any) -> Any:
    """Return X for X | None."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return next(arg for arg in typing.get_args(hint) if arg is not type(None))
    return hint


def _scalar(kind: Any, found: Any) -> Any:
    # A bool is an int to Python, and to no one else.
    wanted = {int: (int,), float: (int, float), bool: (bool,)}.get(kind, (str,))
    if not isinstance(found, wanted) or (isinstance(found, bool) and kind is not bool):
        # A secret in the place of its name is not repeated.
        shown = "" if kind is Secret else f", found {_shown(found)}"
        raise ValueError(f"want {_SCALARS[kind]}{shown}")
    if kind in (HostPort, Secret):
        return kind.parse(found)
    try:
        value = kind(found)
    except OverflowError:
        value = math.inf
    if kind is float and not math.isfinite(value):
        raise ValueError(f"want a number, found {_shown(found)}")
    return value


def _checked(value: Any, limits: Limits) -> Any:
    low, high, unit = limits.low, limits.high, limits.unit and f" {limits.unit}"
    if (low is not None and value < low) or (high is not None and value > high):
        raise ValueError(f"want {span(limits)}, found {value:g}{unit}")
    if limits.choices and value not in limits.choices:
        raise ValueError(f"want one of {', '.join(limits.choices)}, found {_shown(value)}")
    if limits.check is not None:
        limits.check(value)
    return value


def span(limits: Limits) -> str:
    """Return the bounds in words: "1 to 500 KB/s", "1 KB/s or more"; "" without any."""
    unit = f" {limits.unit}" if limits.unit else ""
    if limits.low is not None and limits.high is not None:
        return f"{limits.low:g} to {limits.high:g}{unit}"
    if limits.low is not None:
        return f"{limits.low:g}{unit} or more"
    if limits.high is not None:
        return f"at most {limits.high:g}{unit}"
    return ""


def _shown(found: Any) -> str:
    text = {True: "true", False: "false"}.get(found) if isinstance(found, bool) else repr(found)
    return str(text)[:60]


def _dotted(names: Names) -> str:
    return "".join(f"[{n}]" if isinstance(n, int) else f".{n}" for n in names).lstrip(".")


def _line(text: str, names: Sequence[str | int]) -> int:
    """Return the number of the line on which a value begins: that after the longest beginning of
    the text that is TOML and does not have it. So TOML's own parser decides what a line means.
    """
    lines = text.splitlines(keepends=True)
    begins = 0
    for count in range(len(lines) + 1):
        try:
            found: Any = tomllib.loads("".join(lines[:count]))
        except tomllib.TOMLDecodeError:
            continue
        for name in names:
            try:
                found = found[name]
            except (KeyError, IndexError, TypeError):
                begins = count
                break
        else:
            break
    return begins + 1
