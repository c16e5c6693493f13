"""Files with secrets: for their owner alone, and whole after any cut."""

from __future__ import annotations

import os
import stat
import struct
import threading
from pathlib import Path

from vitalkeep.errors import ToolError

_OTHERS = stat.S_IRWXG | stat.S_IRWXO

# The access list of a file as Linux keeps it: a version, then entries of tag, permissions and id,
# of which only a named user's means one.
_LIST = "system.posix_acl_access"
_LIST_VERSION = struct.pack("<I", 2)
_ENTRY = struct.Struct("<HHI")
_OWNER, _USER, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x10, 0x20
_READ, _NO_ID = 4, 0xFFFFFFFF


def check_private(path: Path, mode: int, content: str) -> None:
    """Raise ToolError when others than the owner may use a file or folder.

    What systemd hands to this service alone is private, too, though root owns it.

    mode     what it should be, 0o600 or 0o700
    content  what it holds, for the message
    """
    found = stat.S_IMODE(path.stat().st_mode)
    if found & _OTHERS and not _is_credential(path, found):
        raise ToolError(
            f"{path}: mode {found:o} lets others in; it holds {content}",
            f"Run: chmod {mode:o} {path}",
        )


def _is_credential(path: Path, mode: int) -> bool:
    """Say whether a file is one that systemd hands over, and for this process' user alone.

    On a tmpfs it stays root's, mode 0400, and its access list lets one user more read it. The
    list's mask then stands where the group's bits would: the mode reads 0440.
    """
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder or mode != 0o440:
        return False
    entries = ((_OWNER, _READ, _NO_ID), (_USER, _READ, os.geteuid()), (_GROUP, 0, _NO_ID),
               (_MASK, _READ, _NO_ID), (_OTHER, 0, _NO_ID))  # fmt: skip
    wanted = _LIST_VERSION + b"".join(_ENTRY.pack(*entry) for entry in entries)
    try:
        return path.parent.samefile(folder) and os.getxattr(path, _LIST) == wanted
    except (AttributeError, OSError):  # a system or a file without such lists
        return False


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
