"""What runs on a board to see what is there; prints one literal. ROOTS comes before this text.

ROOTS = (paths of files, and of folders that are walked through)
"""

import binascii
import hashlib
import json
import os
import sys

import machine


def _hash(path):
    digest = hashlib.sha256()
    buffer = bytearray(1024)
    view = memoryview(buffer)
    with open(path, "rb") as file:
        while True:
            count = file.readinto(buffer)
            if not count:
                return binascii.hexlify(digest.digest()).decode()
            digest.update(view[:count])


def _walk(path, found):
    try:
        mode, size = os.stat(path)[0], os.stat(path)[6]
    except OSError:
        return
    if mode & 0x4000:
        for row in os.ilistdir(path):
            _walk(path + "/" + row[0], found)
    else:
        found[path] = (_hash(path), size)


def _frozen():
    """Return the version of the gateway that the image froze, "" when it has none."""
    path = list(sys.path)
    sys.path[:] = [".frozen"] + [name for name in path if "frozen" in name]
    try:
        return __import__("bridge.release", None, None, ("VERSION",)).VERSION
    except ImportError:
        return ""
    finally:
        sys.path[:] = path


def _space():
    try:
        row = os.statvfs("/")
        return (row[0], row[2], row[3]) if row[0] else None  # nothing is mounted there
    except OSError:
        return None


def _state():
    """Return what the loader's state says, {} when there is none."""
    try:
        with open("/bundles/state") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _bundle(slot):
    """Return (version, signature in hex) of a slot's bundle, None when there is none."""
    try:
        with open("/bundles/" + slot, "rb") as file:
            head = file.read(12)
            about = json.loads(file.read(head[8] | head[9] << 8))
            file.seek(-64, 2)
            return about["version"], binascii.hexlify(file.read(64)).decode()
    except (OSError, ValueError, KeyError, IndexError):
        return None


_found = {}
for _root in ROOTS:  # noqa: F821
    _walk(_root, _found)
print(
    {
        "files": _found,
        "frozen": _frozen(),
        "state": _state(),
        "bundles": {slot: _bundle(slot) for slot in ("a", "b")},
        "space": _space(),
        "mpy": getattr(sys.implementation, "_mpy", 0),
        "version": sys.version,
        "id": binascii.hexlify(machine.unique_id()).decode(),
    }
)
