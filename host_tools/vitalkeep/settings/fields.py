"""How a part of the hub declares what can be set: a frozen dataclass, each field a `setting`.

    @dataclass(frozen=True)
    class ExchangeSettings:
        '''What this part does, in a sentence: it stands above the section in the example.'''

        rate_kb_s: int = setting(500, "What it may take of the line.", low=1, unit="KB/s")
        peers: tuple[Peer, ...] = setting((), "The other sites.")  # Peer: a dataclass as this one

A field is a str, int, float, bool, Path, HostPort or Secret, one of these or None, a tuple of
them, a dataclass (a table), a tuple of dataclasses (an array of tables), or a dict (a table that
is passed on as it is). `__post_init__` may raise ValueError for what concerns several fields.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitalkeep.errors import ToolError
from vitalkeep.keys.private_files import read_secret_file

_META = "setting"
_SECRET_HINT = 'name it: "env:VARIABLE" or "file:/path", never the secret itself'


@dataclass(frozen=True)
class Limits:
    """What a value has to be, apart from its type.

    text    what it is, a sentence for the person who writes the file
    low, high  bounds, both allowed; None for none. Of each item, where there are many
    unit    of a number, for people
    choices  the values there are; empty for any
    example  what the example shows where the default is nothing to look at
    check   raises ValueError that says what was expected
    """

    text: str
    low: float | None = None
    high: float | None = None
    unit: str = ""
    choices: tuple[str, ...] = ()
    example: Any = None
    check: Callable[[Any], object] | None = None


def setting(default: Any, text: str, **limits: Any) -> Any:
    """Return a dataclass field with a default and its `Limits`.

    default  dataclasses.MISSING for what must be given
    """
    return dataclasses.field(default=default, metadata={_META: Limits(text, **limits)})


def limits_of(field: dataclasses.Field[Any]) -> Limits:
    """Return the limits that `setting` gave a field."""
    found: Limits = field.metadata[_META]
    return found


@dataclass(frozen=True)
class HostPort:
    """An address to listen at or to call: "host:port", "[::1]:port"."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> HostPort:
        """Return the address in a text; raises ValueError."""
        host, colon, port = text.rpartition(":")
        if not colon or not port.isdecimal() or int(port) > 65535:
            raise ValueError("want host:port")
        return cls(host.strip("[]") or "127.0.0.1", int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Secret:
    """Where a secret is: "env:VARIABLE" or "file:/path". It is read when it is needed."""

    place: str

    @classmethod
    def parse(cls, text: str) -> Secret:
        """Return it; raises ValueError that does not repeat what may be a secret."""
        kind, _, name = text.partition(":")
        if kind not in ("env", "file") or not name:
            raise ValueError(f"want no secret here: {_SECRET_HINT}")
        return cls(text)

    def read(self) -> str:
        """Return the secret; of a file the first line, without its end; raises ToolError."""
        kind, _, name = self.place.partition(":")
        if kind == "env":
            if name not in os.environ:
                raise ToolError(f"{self.place}: there is no such variable", "Set it, or name it.")
            return os.environ[name]
        try:
            return read_secret_file(Path(name), "the secret").decode()
        except UnicodeDecodeError as error:
            raise ToolError(f"{name}: {error.reason}", "Write the secret in UTF-8.") from None

    def __str__(self) -> str:
        return self.place
