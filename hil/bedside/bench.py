"""A board on the bench: a serial port that may be pulled, and MicroPython behind it."""

from __future__ import annotations

import contextlib
import os
import select
import threading
import tty
from pathlib import Path

from hil.bedside.interpreter import Interpreter, Start

_TURN_MS = 20
_WAITING_MAX = 1 << 20  # bytes for a host that does not read; older ones are gone, as on a UART


class BenchBoard(threading.Thread):
    """What all boards have in common. Each lives in a thread of its own from `start` to `close`.

    root   its folder: flash.bin, and `port`, which is the way to its serial port while that is
           plugged in
    said   all that its program said
    """

    def __init__(self, root: Path, flash_size: int) -> None:
        super().__init__(daemon=True)
        self.root = root.resolve()
        self.root.mkdir(parents=True, exist_ok=True)
        self.flash_path = self.root / "flash.bin"
        if not self.flash_path.exists():
            self.flash_path.write_bytes(b"\xff" * flash_size)
        self.port = self.root / "port"
        self.said = bytearray()
        self._spoken = threading.Condition()
        self._ends: tuple[int, int] | None = None
        self._app: Interpreter | None = None
        self._one_program = threading.RLock()  # a reset of its own and a power cut may meet
        self._waiting = bytearray()
        self._closing = False

    # --- what a kind of board adds ---

    def boots(self) -> Start | None:
        """Return how the board starts from what is in its flash, None when it cannot."""
        raise NotImplementedError

    def received(self, data: bytes) -> None:
        """Bytes of the host, when no program runs."""

    def takes_over(self, data: bytes) -> bool:
        """Say whether these bytes go to the loader, whatever runs."""
        return False

    def turn(self) -> None:
        """Something to look at each turn."""

    def has_reset(self, cause: str) -> None:
        """The program has reset the board."""
        self.boot()

    # --- the port ---

    def plug(self) -> None:
        """Put the cable in: the port is there."""
        if self._ends is None:
            master, slave = os.openpty()
            tty.setraw(slave)
            os.set_blocking(master, False)
            self._ends = master, slave
            fresh = self.root / "port.new"
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(os.ttyname(slave))
            fresh.rename(self.port)

    def unplug(self) -> None:
        """Take the cable out."""
        self.port.unlink(missing_ok=True)
        if self._ends is not None:
            for end in self._ends:
                os.close(end)
            self._ends = None
        self._waiting.clear()

    def cable(self, plugged: bool) -> None:
        """Put the cable in or take it out; with it goes the power."""
        if plugged:
            self.plug()
        else:
            self.stop()
            self.unplug()

    def say(self, data: bytes) -> None:
        self._waiting += data
        del self._waiting[:-_WAITING_MAX]

    # --- the program ---

    def boot(self, run_main: bool = True) -> None:
        """Start from flash, as after power-on or a reset."""
        with self._one_program:
            self.stop()
            start = self.boots()
            if start is None:
                self.say(b"invalid header: 0xffffffff\r\n")
                return
            self._app = Interpreter(self.root, start, self.flash_path, run_main)
            self._app.begin()

    def stop(self) -> str:
        with self._one_program:
            app, self._app = self._app, None
            return app.end() if app is not None else ""

    def _soft_reset(self, raw: bool) -> None:
        self.say(b"MPY: soft reboot\r\n")
        self.boot(run_main=not raw)
        if raw and self._app is not None:
            # Up to the prompt nothing is for the host, which waits for the raw REPL.
            heard = b""
            while not heard.endswith(b">>> "):
                select.select([self._app.descriptor], [], [], 1)
                heard += self._app.read() or b""
            self._app.write(b"\x01")

    # --- the thread ---

    def run(self) -> None:
        while not self._closing:
            try:
                self._one_turn()
            except (OSError, ValueError):
                pass  # the port was pulled in the midst of it
        self.stop()
        self.unplug()

    def _one_turn(self) -> None:
        master = self._ends[0] if self._ends else -1
        app = self._app
        reading = [fd for fd in (master, app.descriptor if app else -1) if fd >= 0]
        writing = [master] if self._waiting and master >= 0 else []
        ready, writable, _ = select.select(reading, writing, [], _TURN_MS / 1000)
        if writable:
            with contextlib.suppress(BlockingIOError):
                del self._waiting[: os.write(master, self._waiting)]
        if app is not None and app.descriptor in ready:
            self._hear(app)
        if master in ready and self._ends:
            data = os.read(master, 65536)
            if self._app is None or self.takes_over(data):
                self.received(data)
            else:
                self._app.write(data)
        self.turn()

    def _hear(self, app: Interpreter) -> None:
        data = app.read()
        if data is None:
            raw = app.raw
            cause = self.stop()
            if cause in ("", "soft"):
                self._soft_reset(raw)
            else:
                self.has_reset(cause)
            return
        with self._spoken:
            self.said += data
            self._spoken.notify_all()
        self.say(data)

    def wait_for(self, text: str, timeout_s: float = 20) -> None:
        """Wait until the program has said something; raises AssertionError."""
        with self._spoken:
            found = self._spoken.wait_for(lambda: text.encode() in self.said, timeout_s)
        assert found, f"no {text!r} in: {bytes(self.said[-2000:]).decode(errors='replace')}"

    def close(self) -> None:
        self._closing = True
        self.join(10)
