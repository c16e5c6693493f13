"""A board's start up to its prompt, on the unix port: mounts its files, runs boot.py and main.py.

micropython -X heapsize=... -i repl.py <folder of shadow modules> <folder that holds hil> <orders>

orders  a JSON file: {"flash": path, "files": [offset, size], "page": bytes, "run_main": bool,
        "when_unreadable": "keep" or "format", "frozen": folder of what the image froze, or ""}

This computer's files are under /host once the board's own are at "/".
"""

import asyncio  # noqa: F401  before `time` is shadowed: the scheduler keeps the built-in ticks
import json
import os
import sys

import vfs

_HOST = "/host"

with open(sys.argv[3]) as _file:
    _orders = json.load(_file)


class _Part:
    """A part of the flash file as a block device."""

    def __init__(self, file, offset, size):
        self._file = file
        self._offset = offset
        self._blocks = size // 4096

    def readblocks(self, number, buffer, offset=0):
        self._file.seek(self._offset + number * 4096 + offset)
        self._file.readinto(buffer)

    def writeblocks(self, number, buffer, offset=None):
        if offset is None:
            offset = 0
        self._file.seek(self._offset + number * 4096 + offset)
        self._file.write(buffer)

    def ioctl(self, operation, argument):
        if operation == 4:
            return self._blocks
        if operation == 5:
            return 4096
        if operation == 6:
            self._file.seek(self._offset + argument * 4096)
            self._file.write(b"\xff" * 4096)
            return 0


def _mount():
    """Mount the files as the port's own start would; says whether there are any."""
    part = _Part(open(_orders["flash"], "r+b", 0), *_orders["files"])  # noqa: SIM115
    try:
        files = vfs.VfsLfs2(part, progsize=_orders["page"])
    except OSError:
        first = bytearray(4096)
        part.readblocks(0, first)
        if _orders["when_unreadable"] == "keep" and first != b"\xff" * 4096:
            print("files: cannot be read, and were left as they are")
            return False
        vfs.VfsLfs2.mkfs(part, progsize=_orders["page"])
        files = vfs.VfsLfs2(part, progsize=_orders["page"])
    vfs.umount("/")
    vfs.mount(files, "/")
    return True


_mounted = _mount()
if not _mounted:
    vfs.umount("/")
vfs.mount(vfs.VfsPosix(), _HOST)  # with a root of its own it would rename nothing
os.chdir("/")
_rig = [_HOST + sys.argv[1], _HOST + sys.argv[2]]
sys.path[:] = _rig
import tls_stalls  # noqa: E402
import vboard  # noqa: E402, F401

# As boot.py does: no file can stand in for `tls`.
sys.modules["tls"] = tls_stalls
sys.modules["tls"] = __import__("dated_tls")
sys.modules["micropython"] = __import__("console_switch")
sys.path[:] = ["", ".frozen", "/lib", _rig[0], _rig[1]]
if _orders["frozen"]:
    sys.path.insert(1, _HOST + _orders["frozen"])
del sys.argv[1:]


def _run(name):
    try:
        with open(name) as file:
            code = file.read()
    except OSError:
        return
    try:
        exec(compile(code, name, "exec"), {"__name__": "__main__"})
    except Exception as error:
        sys.print_exception(error)
    except KeyboardInterrupt as error:
        sys.print_exception(error)


def _is_there(name):
    try:
        os.stat(name)
        return True
    except OSError:
        return False


if _mounted and _orders["run_main"]:
    print("\x16", end="")  # the rig takes it out: from here to the prompt, Ctrl-C is a signal
    _run("/boot.py")
    _frozen = _HOST + _orders["frozen"] + "/main.py"
    # As the ports do: a frozen one comes first.
    _run(_frozen if _orders["frozen"] and _is_there(_frozen) else "/main.py")
