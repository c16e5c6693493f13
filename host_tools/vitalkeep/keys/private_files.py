"""Files with secrets: for their owner alone, and whole after any cut."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

from vitalkeep.errors import ToolError

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def check_private(path: Path, mode: int, content: str) -> None:
    """Raise ToolError when others than the owner may use a file or folder.

    mode     what it should be, 0o600 or 0o700
    content  what it holds, for the message
    """
    found = stat.S_IMODE(path.stat().st_mode)
    if found & _OTHERS:
        raise ToolError(
            f"{path}: mode {found:o} lets others in; it holds {content}",
            f"Run: chmod {mode:o} {path}",
        )


def read_secret_file(path: Path, content: str) -> bytes:
    """Return the first line of a file, where a secret is alone; raises ToolError.

    content  what it is, for the message
    """
    try:
        check_private(path, 0o600, content)
        return path.read_bytes().split(b"\n", 1)[0].rstrip(b"\r")
    except OSError as error:
        raise ToolError(
            f"{path}: {error.strerror or error}", f"Write {content} in it, alone."
        ) from None


def write_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a file under another name, then rename it: a cut leaves the old one or the new.

    Raises  ToolError where nothing can be written; no part of the new one is left then
    """
    # Of this thread alone: boards are set up side by side.
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        try:
            handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(fresh, path)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise _unwritten(path, error) from None


def update_file(path: Path, data: bytes, mode: int) -> str:
    """Write a file, and its folder, if it differs; returns "new", "changed" or "same".

    Raises  ToolError where nothing can be written
    """
    try:
        found = path.read_bytes() if path.exists() else None
        if found == data:
            return "same"
        # Others may enter the folder if they may read the file.
        path.parent.mkdir(mode=0o755 if mode & _OTHERS else 0o700, parents=True, exist_ok=True)
        write_file(path, data, mode)
    except OSError as error:
        raise _unwritten(path, error) from None
    return "new" if found is None else "changed"


def _unwritten(path: Path, error: OSError) -> ToolError:
    return ToolError(
        f"{path}: {error.strerror or error}", "Make room, or name a folder that is yours."
    )
