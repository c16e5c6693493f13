"""Reads hub.toml."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from vitalkeep.hub.config import SECTIONS
from vitalkeep.settings.toml import parse_sections, read_text

T = TypeVar("T")

_HINT = "vitalkeep hub config prints an example with every name."


class Config:
    """What a file says, section by section: `config[PageSettings].listen`."""

    def __init__(self, sections: Mapping[type, Any] | None = None) -> None:
        self._sections = dict(sections or {})

    def __getitem__(self, section: type[T]) -> T:
        found: T = self._sections[section] if section in self._sections else section()
        return found


def sections() -> dict[str, type]:
    """Return the class of each section, by its name in the file."""
    return {name: getattr(import_module(module), cls) for name, module, cls in SECTIONS}


def load(path: Path) -> Config:
    """Return what a file sets; raises ToolError with every mistake in it."""
    return parse(read_text(path, _HINT), str(path))


def parse(text: str, name: str = "hub.toml") -> Config:
    """Return what a text sets; raises ToolError, `name` standing for the file."""
    return Config(parse_sections(text, name, sections(), _HINT))
