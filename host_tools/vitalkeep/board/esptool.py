"""esptool, run as a program, as its licence keeps it out of our imports; failures get names."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from vitalkeep.board.errors import BoardError
from vitalkeep.board.partitions import Partition
from vitalkeep.board.program import Run, run_module
from vitalkeep.board.progress import Progress

_PERCENT = re.compile(r"(\d+(?:\.\d+)?) ?%")
_VERIFIED = re.compile(r"^Verification (successful|failed)", re.M | re.I)
_TIMEOUT_S = 1800.0  # a chip of 16 MB read at 115200 baud

# What esptool says, the cause, and what to do
_FAILURES = (
    (
        r"This chip is ([\w-]+), not ([\w-]+)",
        "wrong-chip",
        "Name the board that is plugged in: --board.",
    ),
    (
        r"Errno 2\]|No such file or directory: '/dev|FileNotFoundError",
        "no-board",
        "Plug the board in; `vitalkeep flash --list` says what is there.",
    ),
    (
        r"Permission denied",
        "port-busy",
        "Join the group that may use serial ports (sudo usermod -aG dialout $USER), log in anew.",
    ),
    (
        r"port is busy|Could not exclusively lock|Access is denied|Resource temporarily",
        "port-busy",
        "End the program that has the port open (a terminal, mpremote, an editor).",
    ),
    (
        r"MD5 of file does not match|Digest mismatch|Verification failed|hash.*(mismatch|fail)",
        "verify",
        "Run the same again; if it stays so, take a shorter cable, --baud 115200, another board.",
    ),
    (
        r"device disconnected|serial exception error|port that is not open|Lost connection|"
        r"returned no data|Input/output error|Errno 5|Errno 6|Errno 19"
        r"|No more data to read|write failed|ClearCommError|device reports readiness",
        "cable",
        "Plug the board in again and run the same again: it goes on from where it was.",
    ),
    (
        r"Failed to connect|No serial data received|Wrong boot mode|Timed out waiting|Invalid head"
        r"|chip stopped responding|Serial data stream stopped|Failed to start stub|Write timeout"
        r"|Packet content transfer stopped|doesn't match request",
        "no-answer",
        "Hold BOOT while you press RESET, and run the same again; is it a cable with data wires?",
    ),
)


@dataclass(frozen=True)
class Found:
    """What a chip says of itself; flash_size in bytes."""

    chip: str
    description: str
    mac: str
    flash_size: int


class Esptool:
    """One board at one port.

    device  the serial port
    chip    as esptool calls it, "auto" until it is known
    stub    whether to load the faster loader into the chip's RAM
    """

    def __init__(
        self, device: str, chip: str = "auto", baud: int = 460800, stub: bool = True
    ) -> None:
        self.device = device
        self.chip = chip
        self._baud = baud
        self._stub = stub

    def detect(self) -> Found:
        """Return what is at the port; raises BoardError."""
        said = self._checked("flash-id").said
        chip = re.search(r"Connected to ([\w-]+) on|Detecting chip type\.* ?([\w-]+)", said)
        size = re.search(r"Detected flash size: (\d+)(KB|MB)", said)
        mac = re.search(r"MAC: +([0-9a-f:]{17})", said)
        kind = re.search(r"Chip type: +(.+)", said)
        if not (chip and size and mac):
            raise BoardError(
                "no-answer",
                f"{self.device}: what esptool says is not understood",
                "Is esptool 5 or newer installed? pip install -U esptool",
            )
        name = (chip[1] or chip[2]).lower().replace("-", "")
        unit = 1024 if size[2] == "KB" else 1 << 20
        return Found(name, kind[1].strip() if kind else name, mac[1], int(size[1]) * unit)

    def read(self, offset: int, size: int, progress: Progress | None = None) -> bytes:
        """Return `size` bytes of flash; esptool compares their MD5. Raises BoardError."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "read.bin"
            self._checked("read-flash", f"{offset:#x}", f"{size:#x}", str(path), show=progress)
            data = path.read_bytes()
        if len(data) != size:
            raise BoardError(
                "no-answer",
                f"{self.device}: {len(data)} bytes at {offset:#x}, want {size}",
                "Run the same again, with --baud 115200 if it stays so.",
            )
        return data

    def holds(self, pieces: list[tuple[int, bytes]], flash_size: int = 0) -> list[bool]:
        """Say which of these (offset, bytes) are in flash already; the chip computes their MD5.

        flash_size  what the image's header is to say, 0 for what it says already
        """
        size = _size_name(flash_size) if flash_size else "keep"
        run = self._with_files(pieces, "verify-flash", "--flash-size", size)
        found = _VERIFIED.findall(run.said)
        if len(found) < len(pieces):
            raise self._failure(run)
        return [word.lower() == "successful" for word in found[: len(pieces)]]

    def blank(self, parts: list[Partition]) -> list[bool]:
        """Say which of these parts of the flash hold nothing but ones."""
        return self.holds([(part.offset, b"\xff" * part.size) for part in parts])

    def erase(self, offset: int, size: int) -> None:
        self._checked("erase-region", f"{offset:#x}", f"{size:#x}")

    def write(
        self,
        pieces: list[tuple[int, bytes]],
        flash_size: int,
        progress: Progress,
        restart: bool = False,
    ) -> None:
        """Write (offset, bytes) and have each verified; raises BoardError.

        flash_size  for the image's header: its bootloader refuses what lies beyond
        restart     whether the board starts from its flash then
        """
        command = ("write-flash", "--flash-size", _size_name(flash_size))
        after = "hard-reset" if restart else "no-reset"
        run = self._with_files(pieces, *command, show=progress, after=after)
        if run.code:
            raise self._failure(run)

    def restart(self) -> None:
        """Start the board from its flash."""
        self._checked("read-mac", after="hard-reset")

    def _with_files(
        self,
        pieces: list[tuple[int, bytes]],
        *command: str,
        show: Progress | None = None,
        after: str = "no-reset",
    ) -> Run:
        with tempfile.TemporaryDirectory() as folder:
            arguments = list(command)
            for offset, data in pieces:
                path = Path(folder) / f"{offset:x}.bin"
                path.write_bytes(data)
                arguments += [f"{offset:#x}", str(path)]
            return self._run(*arguments, show=show, after=after)

    def _checked(
        self, *command: str, show: Progress | None = None, after: str = "no-reset"
    ) -> Run:
        run = self._run(*command, show=show, after=after)
        if run.code:
            raise self._failure(run)
        return run

    def _run(self, *command: str, show: Progress | None = None, after: str = "no-reset") -> Run:
        arguments = ["--chip", self.chip, "--port", self.device, "--baud", str(self._baud)]
        arguments += ["--before", "default-reset", "--after", after]
        arguments += [] if self._stub else ["--no-stub"]
        watched = show is not None and show.watched
        if command[0] in ("read-flash", "write-flash") and not watched:
            command = (command[0], "--no-progress", *command[1:])

        def heard(text: str) -> None:
            found = _PERCENT.findall(text)
            if show is not None and found:
                show.at(float(found[-1]))

        return run_module("esptool", [*arguments, *command], _TIMEOUT_S, heard)

    def _failure(self, run: Run) -> BoardError:
        wrong = [line for line in run.said.splitlines() if "rror" in line] or [run.last]
        text = wrong[-1].strip().removeprefix("ERROR: ").removeprefix("A fatal error occurred: ")
        for pattern, cause, hint in _FAILURES:
            if re.search(pattern, run.said, re.I):
                return BoardError(cause, f"{self.device}: {text}", hint)
        return BoardError(
            "tool", f"{self.device}: esptool: {text}", "Its whole output: run it by hand."
        )


def _size_name(size: int) -> str:
    return f"{size >> 20}MB"
