"""mpremote, run as a program: a board's prompt and files; each failure gets a name."""

from __future__ import annotations

import ast
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vitalkeep.board.errors import BoardError
from vitalkeep.board.program import Run, run_module
from vitalkeep.board.progress import Progress
from vitalkeep.board.prompt import Gateways, open_prompt
from vitalkeep.errors import ToolError

_ANSWER_S = 60.0
_COPY_S = 900.0
_BACK_S = 20.0
_KNOCK_S = 1.0  # a gateway that stands still just then is asked again once mpremote gives up
_SHOWN_MAX = 200  # characters of what a board said, in a message
START_S = 15.0  # after which a board that was restarted has its prompt, or its program runs

_BUSY = "End the program that has the port open (a terminal, esptool, an editor)."

_FAILURES = (
    (
        "another chip answers",
        "wrong-board",
        "Plug in the board that it began with, and run the same again.",
    ),
    (r"ENOSPC|Errno 28|No space", "full", "Take away what it does not need, or format its files."),
    (
        r"Could not exclusively lock|Resource temporarily",
        "port-busy",
        _BUSY,
    ),
    (
        r"failed to access|no device found|No such file or directory: '/dev",
        "no-board",
        "Plug the board in; `vitalkeep flash --list` says what is there.",
    ),
    (
        r"Errno 5\b|Errno 6\b|Errno 19\b|Input/output error|returned no data|disconnected|"
        r"device reports readiness|SerialException|write failed|OSError: \[Errno 9\]",
        "cable",
        "Plug the board in again and run the same again: it goes on from where it was.",
    ),
    (
        r"could not enter raw repl|timeout waiting|could not exec|unexpected read",
        "no-answer",
        "Press the board's RESET button, or write its image: --image.",
    ),
)


@contextmanager
def left_running(device: str, restart: Callable[[], None]) -> Iterator[None]:
    """Have a board's program run again when a piece of work on it ends early, if it is there."""
    try:
        yield
    except (ToolError, KeyboardInterrupt) as error:
        # One whose prompt is closed was not stopped.
        if os.path.exists(device) and getattr(error, "cause", "") != "console-closed":
            with suppress(BoardError):
                restart()
        raise


class Mpremote:
    """A board's prompt at a serial port.

    gateways  asked for their keys when the one on the board keeps its prompt closed
    """

    def __init__(self, device: str, gateways: Gateways = dict) -> None:
        self.device = device
        self._gateways = gateways

    def evaluate(self, script: str, *, fresh: bool = False, patience_s: float = 0) -> Any:
        """Run a script on the board and return the literal in its last line; raises BoardError.

        fresh       whether its program is stopped and its heap emptied first (a soft reset)
        patience_s  for how long a board is asked again that does not answer: it may be starting
        """
        until = time.monotonic() + patience_s
        while True:
            try:
                return self._evaluate(script, fresh)
            except BoardError as error:
                if error.cause != "no-answer" or time.monotonic() > until:
                    raise

    def _evaluate(self, script: str, fresh: bool) -> Any:
        return self._answer(self._checked(["exec", script], _ANSWER_S, fresh))

    def evaluate_secret(self, script: str) -> Any:
        """The same for a script that holds a secret: neither arguments nor files show it."""
        if os.name == "nt":
            with tempfile.TemporaryDirectory() as folder:  # of this user alone
                path = Path(folder) / "script.py"
                path.write_text(script)
                run = self._checked(["run", str(path)], _ANSWER_S, False)
        else:
            told = script.encode()
            run = self._checked(["run", "/dev/stdin"], _ANSWER_S, False, told=told)
        return self._answer(run, "something else")  # a board may say the script again

    def _answer(self, run: Run, instead: str = "") -> Any:
        """Return what a board said; raises BoardError that repeats it, or says `instead`."""
        try:
            return ast.literal_eval(run.last)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            said = instead or repr(run.last[:_SHOWN_MAX])
            raise BoardError(
                "no-answer", f"{self.device}: the board said {said}", "Is it MicroPython?"
            ) from None

    def copy(self, folder: Path, progress: Progress | None = None) -> None:
        """Copy the tree below a folder to "/"; files that are the same are left as they are."""
        names = sorted(str(path) for path in folder.iterdir())
        total = sum(path.is_file() for path in folder.rglob("*"))
        copied = 0

        def heard(text: str) -> None:
            nonlocal copied
            copied += len(re.findall(r"(?:^|[\r\n])(?:cp |Up to date)", text))
            parts = re.findall(r"copying\s+(\d+)%", text)
            if progress is not None:
                # A bundle is nearly all there is to copy: its own percents are the best there are.
                progress.at(float(parts[-1]) if parts else min(100.0, 100 * copied / total))

        self._checked(["cp", "-r", *names, ":/"], _COPY_S, False, heard)

    def fetch(self, path: str) -> bytes:
        """Return a file of the board; raises BoardError."""
        with tempfile.TemporaryDirectory() as folder:
            self._checked(["cp", f":{path}", folder], _ANSWER_S, False)
            return (Path(folder) / path.rpartition("/")[2]).read_bytes()

    def remove(self, paths: list[str]) -> None:
        """Remove files that are there."""
        script = f"import os\nfor path in {paths!r}:\n os.remove(path)"
        self._checked(["exec", script], _ANSWER_S, False)

    def reset(self) -> None:
        """Restart the board as its RESET button would, and wait until its port is there."""
        self._run(["reset"], _ANSWER_S, False)
        self.wait_for_port()

    def bootloader(self) -> None:
        """Have an RP2 wait for an image."""
        open_prompt(self.device, self._gateways, _KNOCK_S)
        run = self._run(["bootloader"], _ANSWER_S, False)
        if run.code and os.path.exists(self.device) and open_prompt(self.device, self._gateways):
            self._run(["bootloader"], _ANSWER_S, False)

    def wait_for_port(self, timeout_s: float = _BACK_S) -> None:
        """Wait until the port is there (again); raises BoardError."""
        until = time.monotonic() + timeout_s
        while not os.path.exists(self.device) and os.name != "nt":
            if time.monotonic() > until:
                raise BoardError(
                    "no-answer",
                    f"{self.device}: the board did not come back within {timeout_s:g} s",
                    "Unplug it, plug it in, and run the same again.",
                )
            time.sleep(0.1)

    def _checked(
        self,
        command: list[str],
        timeout_s: float,
        fresh: bool,
        heard: Callable[[str], None] | None = None,
        told: bytes = b"",
    ) -> Run:
        if fresh:
            open_prompt(self.device, self._gateways, _KNOCK_S)
        run = self._run(command, timeout_s, fresh, heard, told)
        if run.code:
            failure = self._failure(run)
            if failure.cause != "no-answer" or not open_prompt(self.device, self._gateways):
                raise failure
            run = self._run(command, timeout_s, fresh, heard, told)
            if run.code:
                raise self._failure(run)
        return run

    def _run(
        self,
        command: list[str],
        timeout_s: float,
        fresh: bool,
        heard: Callable[[str], None] | None = None,
        told: bytes = b"",
    ) -> Run:
        start = ["connect", self.device, *([] if fresh else ["resume"])]
        asked = start + command
        return run_module("mpremote", asked, timeout_s, heard, terminal=bool(heard), told=told)

    def _failure(self, run: Run) -> BoardError:
        for pattern, cause, hint in _FAILURES:
            if re.search(pattern, run.said):
                if cause == "no-board" and os.path.exists(self.device):
                    cause, hint = "port-busy", _BUSY
                return BoardError(cause, f"{self.device}: {run.last[:_SHOWN_MAX]}", hint)
        return BoardError(
            "tool",
            f"{self.device}: mpremote: {run.last[:_SHOWN_MAX]}",
            "Run it by hand to see more.",
        )
