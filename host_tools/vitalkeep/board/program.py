"""Runs a tool as a program and follows what it says."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from vitalkeep.board.errors import BoardError

SAID_MAX = 1 << 20  # bytes that are kept of what a program says: a board may flood


@dataclass(frozen=True)
class Run:
    """How a program ended and what it said last, both its streams as they came."""

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
    terminal: bool = False,
    told: bytes = b"",
) -> Run:
    """Run `python -m module`; raises BoardError when it is missing or does not end in time.

    heard     is told each piece of what it says
    terminal  whether it shall believe that it speaks to one, where there are such: mpremote says
              percents to nobody else
    told      what it reads from its standard input
    """
    ends = os.openpty() if terminal and os.name == "posix" else None
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE if told else subprocess.DEVNULL,
        stdout=ends[1] if ends else subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
    )
    if ends:
        os.close(ends[1])
    output = open(ends[0], "rb", 0) if ends else process.stdout  # noqa: SIM115  closed below
    late = threading.Event()

    def give_up() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(timeout_s, give_up)
    timer.start()
    said = bytearray()
    try:
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError), process.stdin:
                process.stdin.write(told)
        while data := _read(output):
            said += data
            del said[:-SAID_MAX]
            if heard is not None:
                heard(data.decode("utf-8", "replace"))
        code = process.wait()
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        timer.cancel()
        if output is not None:
            output.close()
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


def _read(output: IO[bytes] | None) -> bytes:
    assert output is not None
    try:
        return output.read(4096)
    except OSError:
        return b""  # how a terminal ends when its program has
