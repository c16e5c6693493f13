"""MicroPython at its prompt: one boot of a board whose console is in the rig's hands."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tty
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hil.board import REPOSITORY, RIG, die_with_the_rig, find_micropython
from hil.stalls import NONE

_PROMPT = b">>> "
_RUNNING = b"\x16"
_INTERRUPT = b"\x03"
_HEAP = "6m"


@dataclass(frozen=True)
class Start:
    """How a board starts.

    files            (offset, size) of its file system in the flash; page: of its programs
    partitions       {label: (offset, size)} that esp32.Partition or rp2.Flash reach
    when_unreadable  what the port does with files that it cannot mount: keep or format
    frozen           folder of what the image froze beside the port's own, None for nothing
    uarts            {number: descriptor of the board's end of a line}
    """

    port: str
    files: tuple[int, int]
    partitions: dict[str, tuple[int, int]]
    page: int = 32
    when_unreadable: str = "keep"
    frozen: Path | None = None
    unique_id: bytes = bytes(6)
    uarts: dict[int, int] = field(default_factory=dict)


@dataclass
class Interpreter:
    """One process; ends with a reset, whose cause it leaves in the rig's folder.

    descriptor  of the console, non-blocking
    """

    root: Path
    start: Start
    flash: Path
    run_main: bool
    descriptor: int = -1
    running: bool = False  # a program, which Ctrl-C stops
    raw: bool = False  # the raw REPL
    _tail: bytes = b""
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def begin(self) -> None:
        master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(master, False)
        switches = self.root / "switches"
        switches.mkdir(exist_ok=True)
        for said in ("said-reset", "said-kbd-intr"):
            (switches / said).unlink(missing_ok=True)
        (self.root / "start.json").write_text(json.dumps(self._orders()))
        (self.root / "board.json").write_text(json.dumps(self._settings(switches)))
        self._process = subprocess.Popen(
            [
                find_micropython(), "-X", f"heapsize={_HEAP}", "-i",
                str(RIG / "virtual_board" / "repl.py"),
                str(RIG / "virtual_board" / "modules"), str(REPOSITORY),
                str(self.root / "start.json"),
            ],
            cwd=self.root, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            env={
                "VITALKEEP_BOARD": f"/host{self.root / 'board.json'}", "MICROPYPATH": ".frozen",
                "PATH": os.environ.get("PATH", ""), "TZ": "UTC", "TERM": "dumb",
            },
            pass_fds=list(self.start.uarts.values()), preexec_fn=die_with_the_rig,
        )  # fmt: skip
        os.close(slave)
        self.descriptor = master

    def _orders(self) -> dict[str, Any]:
        start = self.start
        return {
            "flash": str(self.flash), "files": start.files, "page": start.page,
            "run_main": self.run_main, "when_unreadable": start.when_unreadable,
            "frozen": str(start.frozen or ""),
        }  # fmt: skip

    def _settings(self, switches: Path) -> dict[str, Any]:
        start = self.start
        return {
            "uarts": {str(number): fd for number, fd in start.uarts.items()},
            "flash": {
                "path": f"/host{self.flash}", "size": self.flash.stat().st_size,
                "program_unit": 1, "partitions": start.partitions,
            },
            "host": "/host", "switches": f"/host{switches}", "ticks_start_ms": 0, "epoch_s": 0,
            "power_on_s": 946684800, "reset_cause": "power-on",
            "unique_id": start.unique_id.hex(), "port": start.port, "name_server": "10.0.0.53",
            "path": [],
            "stalls": {
                "handshake_ms": NONE.handshake_ms, "collect_ms": NONE.collect_ms,
                "collect_each_ms": NONE.collect_each_ms,
            },
        }  # fmt: skip

    def write(self, data: bytes) -> None:
        """Give the console some bytes of the host."""
        if self.running and _INTERRUPT in data and not self._is_closed():
            data = data.replace(_INTERRUPT, b"")
            self.signal(signal.SIGINT)
        while data:
            try:
                data = data[os.write(self.descriptor, data) :]
            except BlockingIOError:
                continue  # it reads as it computes
            except OSError:
                return

    def read(self) -> bytes | None:
        """Return what the console says, None when the process has ended."""
        try:
            data = os.read(self.descriptor, 65536)
        except BlockingIOError:
            return b""
        except OSError:
            return None
        seen = self._tail + data
        if _RUNNING in data:
            self.running = True
            data = data.replace(_RUNNING, b"")
        if _PROMPT in seen.rpartition(_RUNNING)[2]:
            self.running = False
        if b"raw REPL; CTRL-B to exit" in seen:
            self.raw = True
        if b'Type "help()"' in seen:
            self.raw = False
        self._tail = seen[-32:]
        return data

    def _is_closed(self) -> bool:
        said = self.root / "switches" / "said-kbd-intr"
        return said.exists() and said.read_text() == "-1"

    def signal(self, number: int) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def end(self) -> str:
        """End the process; returns why it has reset itself, "" for Ctrl-D or for no reset."""
        if self._process is not None:
            if self.descriptor >= 0:
                os.close(self.descriptor)
            self.descriptor = -1
            self.signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
        said = self.root / "switches" / "said-reset"
        return said.read_text() if said.exists() else ""
