"""Servers of a test run: started, waited for, stopped, and killed when the run is killed."""

import contextlib
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from hil.board import as_user, die_with_the_rig

_READY_S = 30
_STOP_S = 10


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def answers(port: int) -> bool:
    """Return whether somebody listens on a TCP port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def running(
    command: list[str],
    log: Path,
    ready: Callable[[], bool],
    user: str | None = None,
    stop: signal.Signals = signal.SIGTERM,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server while the block runs.

    log    file for what it says
    ready  whether it serves by now
    user   whom it runs as, None for ourselves; takes root
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            **as_user(user),
            preexec_fn=die_with_the_rig,
        )
    try:
        until = time.monotonic() + _READY_S
        while not ready():
            if process.poll() is not None or time.monotonic() > until:
                said = log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{command[0]} did not start:\n{said}")
            time.sleep(0.02)
        yield process
    finally:
        process.send_signal(stop)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
