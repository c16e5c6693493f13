"""A board's own UART as the doctor's ear, over mpremote: it can turn the levels round."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from vitalkeep.board.prompt import open_prompt
from vitalkeep.doctor.recording import Recording
from vitalkeep.doctor.setting import Setting
from vitalkeep.errors import ToolError
from vitalkeep.remote.conversation import known_gateways

_SLACK_S = 20
_KNOCK_S = 1.0
_SCRIPT = Path(__file__).with_name("on_board.py")


def script(number: int, pins: dict[str, int], setting: Setting, seconds: float) -> str:
    """Return what a board is to run."""
    order = {"uart": number, "pins": pins, "baud": setting.baud, "bits": setting.bits}
    order |= {"parity": setting.parity, "stop": setting.stop, "inverted": setting.inverted}
    return f"ORDER = {order | {'ms': round(1000 * seconds)}!r}\n{_SCRIPT.read_text()}"


def parse(text: str, setting: Setting, seconds: float) -> Recording:
    """Return what the board printed as a recording; raises ToolError when it did not end well."""
    recording = Recording(setting, seconds)
    lines = text.splitlines()
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "idle":
            recording.idle = int(rest)
        elif word == "piece":
            at_ms, _, digits = rest.partition(" ")
            recording.heard.append((int(at_ms) / 1000, bytes.fromhex(digits)))
    if "done" not in lines:
        last = lines[-1] if lines else "nothing"
        raise ToolError(
            f"the board said {last!r}", "Is its firmware MicroPython, and the UART free?"
        )
    return recording


class Board:
    """A board behind mpremote.

    device  as `mpremote connect` takes it
    number  of the UART, with `pins` {"tx", "rx"} where the board's defaults are others
    """

    def __init__(self, device: str, number: int, pins: dict[str, int]) -> None:
        self._device = device
        self._number = number
        self._pins = pins

    def listen(self, setting: Setting, seconds: float) -> Recording:
        """Return what is heard in some seconds. The board's own program is stopped."""
        code = script(self._number, self._pins, setting, seconds)
        open_prompt(self._device, lambda: known_gateways(None), _KNOCK_S)
        command = [sys.executable, "-m", "mpremote", "connect", self._device, "exec", code]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=seconds + _SLACK_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ToolError(
                f"{self._device}: no answer from the board", "Unplug it, plug it in, try again."
            ) from None
        if done.returncode:
            last = (done.stdout + done.stderr).strip().splitlines()[-1:] or ["no answer"]
            raise ToolError(f"{self._device}: {last[0]}", "See what `mpremote devs` lists.")
        return parse(done.stdout, setting, seconds)
