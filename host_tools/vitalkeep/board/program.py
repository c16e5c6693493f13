"""Runs a tool as a program and follows what it says."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass

from vitalkeep.board.errors import BoardError


@dataclass(frozen=True)
class Run:
    """How a program ended and all that it said, both its streams as they came."""

    code: int
    said: str

    @property
    def last(self) -> str:
        """The last line that says something."""
        lines = [line.strip() for line in self.said.splitlines() if line.strip()]
        return lines[-1] if lines else "nothing"


def run_module(
    module: str,
    arguments: list[str],
    timeout_s: float,
    heard: Callable[[str], None] | None = None,
) -> Run:
    """Run `python -m module`; raises BoardError when it is missing or does not end in time.

    heard  is told each piece of what it says
    """
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
    )
    late = threading.Event()

    def give_up() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(timeout_s, give_up)
    timer.start()
    said = bytearray()
    try:
        assert process.stdout is not None
        while data := process.stdout.read(4096):
            said += data
            if heard is not None:
                heard(data.decode("utf-8", "replace"))
        code = process.wait()
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        timer.cancel()
    text = said.decode("utf-8", "replace").replace("\r", "\n")
    if code and f"No module named {module}" in text:
        raise BoardError(
            "tool", f"{module} is not installed", "Run: pip install 'vitalkeep[flash]'"
        )
    if late.is_set():
        raise BoardError(
            "no-answer",
            f"{module} {arguments[-1]}: nothing after {timeout_s:g} s",
            "Unplug the board, plug it in, and run the same again.",
        )
    return Run(code, text)
