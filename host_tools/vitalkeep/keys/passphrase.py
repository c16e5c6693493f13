"""Passphrases and PINs: from a private file, the environment or a prompt, never from argv."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from vitalkeep.errors import ToolError
from vitalkeep.keys.private_files import read_secret_file

PASSPHRASE_MIN = 12  # characters


def check_passphrase(passphrase: bytes) -> None:
    """Raise ToolError for a new passphrase that is too short."""
    if len(passphrase) < PASSPHRASE_MIN:
        raise ToolError(
            f"a passphrase of {len(passphrase)} characters, want {PASSPHRASE_MIN} or more",
            "Several unrelated words are easy to remember and hard to guess.",
        )


def read_secret(
    content: str,
    variable: str,
    file: Path | None = None,
    new: bool = False,
) -> bytes:
    """Return a secret: the first line of a file, or what is typed.

    content   what it is and opens, for messages
    variable  of the environment: it has the secret, or with _FILE behind it the file's name
    file      an option's, before any variable
    new       have it typed twice
    Raises    ToolError: the file is absent or others may read it; nobody is there to ask
    """
    if file is None and (named := os.environ.get(f"{variable}_FILE")):
        file = Path(named)
    if file is not None:
        return read_secret_file(file, f"the {content}")
    if found := os.environ.get(variable):
        return found.encode()
    if not sys.stdin.isatty():
        raise ToolError(
            f"no {content}", f"Name a file with it by {variable}_FILE, or run this at a terminal."
        )
    text = click.prompt(content.capitalize(), hide_input=True, confirmation_prompt=new)
    return str(text).encode()
