"""The firmware comes onto a board whose interpreter runs: compiled, hashes checked by the board.

It is one bundle (docs/formats/bundle.md), and beside it a loader that chooses between two of them.
The new one goes into the slot that does not hold, and one rename has it hold: a board that is
unplugged anywhere before runs the one that it had. While files are written the gateway does not
run, since a watchdog that it started would bite in the midst of it.

A board that was flashed before there were bundles has no room for both. There `main.py` is taken
away first and put back last: unplugged in between, it has no gateway rather than half of one.
"""

from __future__ import annotations

import hashlib
import json
import operator
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bridge.core.bundle import parse_version
from bridge.core.errors import FormatError
from vitalkeep.board.budget import budget
from vitalkeep.board.bundle import Bundle, pack
from vitalkeep.board.compile import compile_firmware
from vitalkeep.board.errors import BoardError
from vitalkeep.board.kinds import Kind
from vitalkeep.board.mpremote import START_S, Mpremote
from vitalkeep.board.progress import Progress
from vitalkeep.board.saved import Saved

_MAIN = "/main.py"
_LOADER = "/lib/loader.mpy"
_STATE = "/bundles/state"
# Where the firmware is, and where other copies of it would be found first
_OTHERS = ("/lib/bridge", "/lib/wiring.py", "/lib/wiring.mpy", "/bridge", "/wiring.py",
           "/wiring.mpy", "/lib/loader.py", "/loader.py", "/loader.mpy", "/main.mpy")  # fmt: skip
_ROOTS = (*_OTHERS, _LOADER, _MAIN, "/bundles")
_SLOTS = ("a", "b")
_WAIT_SCRIPT = """\
import os
try:
    os.mkdir("/bundles")
except OSError:
    pass
open("/bundles/wait", "w").close()
print(1)
"""
_GO_SCRIPT = """\
import os
try:
    os.remove("/bundles/wait")
except OSError:
    pass
print(1)
"""
_SPARE_BLOCKS = 8  # for folders and littlefs's own
_SCRIPT = Path(__file__).with_name("on_board.py")


@dataclass(frozen=True)
class OnBoard:
    """What a board's interpreter says of itself.

    files    {path: (SHA-256 in hex, bytes)} of the firmware's places
    frozen   version of the gateway in the image, "" for none
    state    of the loader: "now" is the slot that holds (firmware/loader.py)
    bundles  {slot: (version, signature in hex)}, None for an empty one
    space    (block size, blocks, free blocks) of the file system, None when it cannot be read
    """

    files: dict[str, tuple[str, int]]
    frozen: str
    state: dict[str, Any]
    bundles: dict[str, tuple[str, str] | None]
    space: tuple[int, int, int] | None
    mpy: int
    version: str
    id: str

    def __post_init__(self) -> None:
        """Raise an error of Python's, or FormatError, for what no board says."""
        for hashed, size in self.files.values():
            bytes.fromhex(hashed)
            operator.index(size)
        for slot in _SLOTS:
            version, signature = self.bundles[slot] or ("", "")
            bytes.fromhex(signature)
            if not isinstance(version, str):
                raise TypeError("a version that is no text")
            if self.bundles[slot] is not None and slot_path(slot) not in self.files:
                raise ValueError(f"a bundle without a file: {slot}")
        if self.frozen:
            parse_version(self.frozen)
        bytes.fromhex(self.id)
        for number in (self.mpy, *(self.space or ()), self.state.get("tries", -1)):
            operator.index(number)
        if self.space is not None and (len(self.space) != 3 or min(self.space) < 0):
            raise ValueError("no space")

    def digest(self, path: str) -> str:
        """The SHA-256 of a file in hex, "" when it is not there."""
        return self.files.get(path, ("", 0))[0]

    @property
    def now(self) -> str:
        """The slot that holds, "" for what the image itself has."""
        slot = self.state.get("now", "")
        return slot if slot in _SLOTS else ""

    @property
    def spare(self) -> str:
        return "b" if self.now == "a" else "a"

    @property
    def on_trial(self) -> bool:
        return int(self.state.get("tries", -1)) >= 0

    @property
    def running(self) -> str:
        """The version that runs, "" for none, or for a bundle that is damaged there."""
        bundle = self.bundles.get(self.now)
        version = bundle[0] if bundle else self.frozen
        try:
            parse_version(version)
        except FormatError:
            return ""
        return version

    def holds(self, bundle: Bundle, slot: str) -> bool:
        """Say whether a slot has this bundle, whoever has signed it."""
        there = self.bundles.get(slot)
        if there is None:
            return False
        same = replace(bundle, signature=bytes.fromhex(there[1]))
        return self.files[slot_path(slot)][0] == hashlib.sha256(same.data).hexdigest()


@dataclass(frozen=True)
class Installed:
    """What was done: paths that were written, removed, and how many were right already."""

    written: list[str]
    removed: list[str]
    unchanged: int
    frozen: str
    id: str
    version: str


def ask(board: Mpremote, *, fresh: bool = False) -> OnBoard:
    """Return what a board says of itself; raises BoardError."""
    script = f"ROOTS = {_ROOTS!r}\n{_SCRIPT.read_text()}"
    said: Any = board.evaluate(script, fresh=fresh, patience_s=START_S if fresh else 0)
    try:
        return OnBoard(**said)
    except (TypeError, ValueError, KeyError, AttributeError, FormatError):
        raise BoardError(
            "no-answer", f"{board.device}: the board said something else", "Is it MicroPython?"
        ) from None


def slot_path(slot: str) -> str:
    return f"/bundles/{slot}"


def install(
    board: Mpremote,
    kind: Kind,
    firmware: Path,
    saved: Callable[[], Saved],
    progress: Progress,
    *,
    trial: bool = False,
    format_files: bool = False,
    older: bool = False,
) -> Installed:
    """Bring the firmware onto a board; what is right already is not written again.

    trial         whether to go on where the budget says that it does not fit the memory
    format_files  whether files that cannot be read may go
    older         whether a newer firmware may go
    Raises        BoardError
    """
    progress.begin("look at the files")
    there = ask(board, fresh=True)
    if there.frozen:
        return _leave_to_the_image(board, there, progress, older)
    check_memory(kind, trial)
    if there.space is None:
        if not format_files:
            raise BoardError(
                "files-unreadable",
                f"{board.device}: the file system cannot be read",
                "If what is in it may go: --format-files.",
            )
        board.evaluate(_format_script(kind))
        there = ask(board, fresh=True)
    compiled = compile_firmware(firmware, kind, there.mpy)
    bundle = pack(compiled.modules, compiled.manifest)
    files = {_LOADER: compiled.loader, _MAIN: (firmware / "main.py").read_bytes()}
    if not there.holds(bundle, there.now) or there.on_trial:
        _check_version(there, compiled.manifest.version, older)
        fallback = there.now if not there.on_trial else ""
        state = {"now": there.spare, "before": fallback}
        files = {slot_path(there.spare): bundle.data, **files, _STATE: json.dumps(state).encode()}
    wrong = [path for path, data in files.items() if there.digest(path) != _digest(data)]
    extra = [path for path in there.files if path.startswith(_OTHERS)]
    if not wrong and not extra:
        progress.end("unchanged", f"{compiled.manifest.version} is as it should be")
        return Installed([], [], len(files), "", there.id, there.version)
    progress.end("done", f"{len(wrong)} of {len(files)} files to write")
    _check_space(board, there, files, wrong, extra)
    if _MAIN in there.files and (extra or _LOADER not in there.files):
        _take_main_away(board, there, _digest(files[_MAIN]), saved, progress)
    elif _MAIN in there.files:
        if _MAIN in wrong:
            saved().keep("main.py", board.fetch(_MAIN), path=_MAIN)
        stop(board, progress)
    progress.begin("copy the firmware")
    # Removed first: littlefs has no room for a third bundle beside two.
    stale = [path for path in files if path.startswith("/bundles/") and path != _STATE]
    gone = [*extra, *(path for path in stale if path in wrong and path in there.files)]
    if gone:
        board.remove(gone)
    # What decides comes last, and only when all before it is right.
    last = {path: files[path] for path in (_STATE, _MAIN) if path in files}
    first = {path: data for path, data in files.items() if path not in last}
    copy_files(board, {path: first[path] for path in first if path in wrong}, progress)
    verify_files(board, first)
    for path, data in last.items():
        copy_files(board, {path: data}, None)
    verify_files(board, files)
    # A main.py that was somebody else's has not heeded it.
    board.evaluate(_GO_SCRIPT)
    progress.end("done", f"{compiled.manifest.version}, {len(bundle.data)} bytes, hashes checked")
    return Installed(wrong, extra, len(files) - len(wrong), "", there.id, there.version)


def _leave_to_the_image(
    board: Mpremote, there: OnBoard, progress: Progress, older: bool
) -> Installed:
    """Have the gateway run that the image has in it, but for a newer one that came later."""
    removed: list[str] = []
    running = parse_version(there.running or "0")
    if there.now and (older or running <= parse_version(there.frozen)):
        board.remove([_STATE])
        removed.append(_STATE)
    detail = f"the image has the gateway in it, {there.frozen}"
    if there.now and not removed:
        detail += f"; {there.running} in bundle {there.now} is newer, and runs"
    progress.end("done" if removed else "unchanged", detail)
    return Installed([], removed, 0, there.frozen, there.id, there.version)


def _check_version(there: OnBoard, version: str, older: bool) -> None:
    if there.running and not older and parse_version(version) < parse_version(there.running):
        raise BoardError(
            "older",
            f"the board runs {there.running}, and this firmware is {version}",
            "If the older one is meant: --older.",
        )


def check_memory(kind: Kind, trial: bool) -> None:
    """Raise BoardError where code from files does not fit a kind's memory, but for a trial."""
    room = budget(kind)
    if not room.takes_mpy and not trial:
        raise BoardError(
            "memory",
            f"{kind.name} has {room.heap // 1024} KB of heap, and the gateway takes "
            f"{room.loaded // 1024} KB with its code from files",
            f"Build the image from boards/{kind.name}, which has the code in it; or, to try "
            "with few drivers: --trial.",
        )


def _check_space(
    board: Mpremote,
    there: OnBoard,
    files: dict[str, bytes],
    wrong: list[str],
    extra: list[str],
) -> None:
    assert there.space is not None
    block, _, free = there.space

    def blocks(size: int) -> int:
        return -(-size // block)

    # A file is written anew before the old one is given up, one after the other.
    gained = sum(blocks(there.files[path][1]) for path in extra)
    gained += sum(blocks(there.files[path][1]) for path in wrong if path in there.files)
    wanted = sum(blocks(len(files[path])) for path in wrong) + _SPARE_BLOCKS
    if wanted > free + gained:
        raise BoardError(
            "full",
            f"{board.device}: the firmware needs {wanted * block} bytes, and "
            f"{(free + gained) * block} are free",
            "Take away what the board does not need (mpremote ls, mpremote rm).",
        )


def _take_main_away(
    board: Mpremote,
    there: OnBoard,
    wanted: str,
    saved: Callable[[], Saved],
    progress: Progress,
) -> None:
    progress.begin("stop what runs")
    detail = ""
    if there.digest(_MAIN) != wanted:
        detail = str(saved().keep("main.py", board.fetch(_MAIN), path=_MAIN))
    board.remove([_MAIN])
    board.reset()
    ask(board, fresh=True)  # it is there again, and nothing runs
    progress.end("done", detail)


def stop(board: Mpremote, progress: Progress) -> None:
    """Have the gateway not run until the next start but one."""
    progress.begin("stop what runs")
    board.evaluate(_WAIT_SCRIPT)
    board.reset()
    ask(board, fresh=True)
    progress.end("done")


def copy_files(board: Mpremote, files: dict[str, bytes], progress: Progress | None) -> None:
    """Write files {path: bytes} on a board."""
    if not files:
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path, data in files.items():
            target = folder / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        board.copy(folder, progress)


def verify_files(board: Mpremote, files: dict[str, bytes]) -> None:
    """Raise BoardError unless a board finds these files {path: bytes}, by its own hash."""
    there = ask(board)
    wrong = [path for path, data in files.items() if there.digest(path) != _digest(data)]
    if wrong:
        raise BoardError(
            "verify",
            f"{board.device}: {len(wrong)} files are not what was sent, {wrong[0]} for one",
            "Run the same again; if it stays so, the board's flash is worn out.",
        )


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _format_script(kind: Kind) -> str:
    if kind.chip.port == "esp32":
        where = "from flashbdev import bdev as part"
        made = "vfs.VfsLfs2.mkfs(part)\nvfs.mount(vfs.VfsLfs2(part), '/')"
    else:
        start, size = kind.wiring.FILES["start"], kind.wiring.FILES["size"]
        where = f"import rp2\npart = rp2.Flash(start={start}, len={size})"
        made = (
            "vfs.VfsLfs2.mkfs(part, progsize=256)\nvfs.mount(vfs.VfsLfs2(part, progsize=256), '/')"
        )
    return f"import vfs\n{where}\n{made}\nprint(True)"
