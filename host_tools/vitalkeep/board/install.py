"""The firmware comes onto a board whose interpreter runs: compiled, hashes checked by the board.

`main.py` is taken away first and put back last, so a board that is unplugged in between has no
gateway rather than half of one. Between the two it is restarted, since a watchdog that the gateway
started would bite in the midst of the copying.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitalkeep.board.budget import budget
from vitalkeep.board.bundle import Bundle, compile_firmware
from vitalkeep.board.errors import BoardError
from vitalkeep.board.kinds import Kind
from vitalkeep.board.mpremote import Mpremote
from vitalkeep.board.progress import Progress
from vitalkeep.board.saved import Saved

_MAIN = "/main.py"
# Where the firmware is, and where other copies of it would be found first
_ROOTS = ("/lib/bridge", "/lib/wiring.py", "/lib/wiring.mpy", "/bridge", "/wiring.py",
          "/wiring.mpy", "/main.mpy", _MAIN)  # fmt: skip
_SPARE_BLOCKS = 8  # for folders and littlefs's own
_SCRIPT = Path(__file__).with_name("on_board.py")


@dataclass(frozen=True)
class OnBoard:
    """What a board's interpreter says of itself.

    files   {path: (SHA-256 in hex, bytes)} of the firmware's places
    frozen  version of the gateway in the image, "" for none
    space   (block size, blocks, free blocks) of the file system, None when it cannot be read
    """

    files: dict[str, tuple[str, int]]
    frozen: str
    space: tuple[int, int, int] | None
    mpy: int
    version: str
    id: str


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
    said: Any = board.evaluate(script, fresh=fresh)
    try:
        return OnBoard(**said)
    except TypeError:
        raise BoardError(
            "no-answer", f"{board.device}: the board said {said!r}", "Is it MicroPython?"
        ) from None


def install(
    board: Mpremote,
    kind: Kind,
    firmware: Path,
    saved: Callable[[], Saved],
    progress: Progress,
    *,
    trial: bool = False,
    format_files: bool = False,
) -> Installed:
    """Bring the firmware onto a board; what is right already is not written again.

    trial         whether to go on where the budget says that it does not fit the memory
    format_files  whether files that cannot be read may go
    Raises        BoardError
    """
    progress.begin("look at the files")
    there = ask(board, fresh=True)
    if there.frozen:
        progress.end("unchanged", f"the image has the gateway in it, {there.frozen}")
        return Installed([], [], 0, there.frozen, there.id, there.version)
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
    bundle = compile_firmware(firmware, kind, there.mpy)
    wanted = bundle.hashes()
    wrong = [path for path, digest in wanted.items() if _hash_of(there, path) != digest]
    extra = [path for path in there.files if path not in wanted]
    if not wrong and not extra:
        progress.end("unchanged", f"{len(wanted)} files are as they should be")
        return Installed([], [], len(wanted), "", there.id, there.version)
    progress.end("done", f"{len(wrong)} of {len(wanted)} files to write")
    _check_space(board, there, bundle, wrong, extra)
    if _MAIN in there.files:
        _take_main_away(board, there, wanted[_MAIN], saved, progress)
    progress.begin("copy the firmware")
    if extra:
        board.remove([path for path in extra if path != _MAIN])
    _copy(board, bundle, [path for path in wrong if path != _MAIN], progress)
    _verify(board, {path: digest for path, digest in wanted.items() if path != _MAIN})
    _copy(board, bundle, [_MAIN], None)
    _verify(board, wanted)
    progress.end("done", f"{len(wrong)} files, {bundle.size} bytes in all, hashes checked")
    return Installed(wrong, extra, len(wanted) - len(wrong), "", there.id, there.version)


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


def _hash_of(there: OnBoard, path: str) -> str:
    return there.files.get(path, ("", 0))[0]


def _check_space(
    board: Mpremote, there: OnBoard, bundle: Bundle, wrong: list[str], extra: list[str]
) -> None:
    assert there.space is not None
    block, _, free = there.space

    def blocks(size: int) -> int:
        return -(-size // block)

    # A file is written anew before the old one is given up, one after the other.
    gained = sum(blocks(there.files[path][1]) for path in extra)
    gained += sum(blocks(there.files[path][1]) for path in wrong if path in there.files)
    wanted = sum(blocks(len(bundle.files[path])) for path in wrong) + _SPARE_BLOCKS
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
    if _hash_of(there, _MAIN) != wanted:
        detail = str(saved().keep("main.py", board.fetch(_MAIN), path=_MAIN))
    board.remove([_MAIN])
    board.reset()
    ask(board, fresh=True)  # it is there again, and nothing runs
    progress.end("done", detail)


def _copy(board: Mpremote, bundle: Bundle, paths: list[str], progress: Progress | None) -> None:
    if not paths:
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path in paths:
            target = folder / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(bundle.files[path])
        board.copy(folder, progress)


def _verify(board: Mpremote, wanted: dict[str, str]) -> None:
    there = ask(board)
    wrong = [path for path, digest in wanted.items() if _hash_of(there, path) != digest]
    if wrong:
        raise BoardError(
            "verify",
            f"{board.device}: {len(wrong)} files are not what was sent, {wrong[0]} for one",
            "Run the same again; if it stays so, the board's flash is worn out.",
        )


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
