"""A bundle comes to a gateway over USB: put beside the one that holds, and checked by the board.

The gateway does not run while it is copied. Then it starts, takes the bundle as if it had come
over MQTT, and tells on its console what becomes of it.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable

import serial

from bridge.core.bundle import parse_version
from vitalkeep.board.bundle import Bundle
from vitalkeep.board.errors import BoardError
from vitalkeep.board.install import OnBoard, ask, copy_files, slot_path, stop, verify_files
from vitalkeep.board.mpremote import Mpremote, left_running
from vitalkeep.board.progress import Progress, Step
from vitalkeep.board.prompt import Gateways

# The check waits until the gateway has shown how it is, and the trial takes its trial_ms.
WAIT_S = 900.0
_AGAIN_S = 0.2
_SAID = re.compile(rb"firmware: (.*?)\r?$")
_LINE_MAX = 4096  # bytes
_CLEAR_SCRIPT = """\
import os
try:
    os.mkdir("/bundles")
except OSError:
    pass
import loader
loader.clear_spare()
print(1)
"""

Told = Callable[[str, float | None], None]


def bring(port: str, bundle: Bundle, older: bool, told: Told, gateways: Gateways = dict) -> str:
    """Bring a bundle to the board at a port; returns what it says in the end.

    older     whether it may be older than what runs
    gateways  asked for the keys of the one that keeps its prompt closed
    Raises    BoardError when it is refused or taken back; what ran before runs
    """
    board = Mpremote(port, gateways)
    told("looking at the board", None)
    # Refused or cut short, the bed keeps its gateway: what ran before runs.
    with left_running(port, board.reset):
        there = ask(board, fresh=True)
        if there.holds(bundle, there.now) and not there.on_trial:
            board.reset()
            return "runs already"
        _check(port, there, bundle, older)
        _copy(board, there, bundle, older, told)
        board.reset()
    told("has come; the gateway checks it", None)
    return _listen(port, told)


def _copy(board: Mpremote, there: OnBoard, bundle: Bundle, older: bool, told: Told) -> None:
    progress = Progress(lambda step, percent: _pass_on(step, percent, told))
    stop(board, progress)
    board.evaluate(_CLEAR_SCRIPT)
    path = slot_path(there.spare)
    offer = {"size": len(bundle.data), "digest": bundle.digest.hex(), "older": older, "take": True}
    progress.begin("copy the bundle")
    copy_files(board, {path: bundle.data}, progress)
    verify_files(board, {path: bundle.data})
    # Last, since with it the gateway takes what is there.
    copy_files(board, {"/bundles/offer": json.dumps(offer).encode()}, None)
    progress.end("done")


def _check(port: str, there: OnBoard, bundle: Bundle, older: bool) -> None:
    """Raise BoardError for what the gateway would refuse."""
    if not (there.now or there.frozen):
        raise BoardError(
            "old-layout", f"{port}: there is no gateway with a loader", "Run: vitalkeep flash."
        )
    if there.on_trial:
        raise BoardError("on-trial", f"{port}: another firmware is on trial", "Wait for its end.")
    if bundle.manifest.mpy != there.mpy:
        raise BoardError(
            "mpy",
            f"{port}: a bundle for {bundle.manifest.mpy:#x}, this MicroPython is {there.mpy:#x}",
            f"Build it with --mpy {there.mpy:#x}.",
        )
    version = bundle.manifest.version
    if not older and there.running and parse_version(version) < parse_version(there.running):
        raise BoardError(
            "older", f"{port}: it runs {there.running}", "If the older one is meant: --older."
        )


def _pass_on(step: Step, percent: float | None, told: Told) -> None:
    if percent is not None or not step.outcome:
        told(step.name, percent)


def _listen(port: str, told: Told) -> str:
    """Follow the console until the gateway says how it ended; the port may go and come back."""
    until = time.monotonic() + WAIT_S
    rest = b""
    while time.monotonic() < until:
        with contextlib.suppress(serial.SerialException, OSError), _console(port) as console:
            while time.monotonic() < until:
                *lines, rest = (rest + console.read(console.in_waiting or 1)).split(b"\n")
                rest = rest[-_LINE_MAX:]
                for found in filter(None, map(_SAID.search, lines)):
                    said = found[1].decode("utf-8", "replace")
                    told(said, None)
                    if said.endswith(" kept"):
                        return said
                    if said.startswith(("refused", "taken back")):
                        raise BoardError("refused", f"{port}: {said}", "What ran before runs.")
        time.sleep(_AGAIN_S)
    raise BoardError(
        "no-answer",
        f"{port}: the gateway has not said how it ended",
        "Its log tells (event firmware); vitalkeep update state asks it.",
    )


def _console(port: str) -> serial.Serial:
    console = serial.Serial()
    console.port = port
    console.timeout = 0.5
    console.dtr = console.rts = False  # they would reset an ESP32
    console.open()
    return console
