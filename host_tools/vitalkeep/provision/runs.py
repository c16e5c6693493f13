"""Setups that go on side by side, one for each bed and board, and what each has told so far."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from vitalkeep.board.errors import BoardError
from vitalkeep.board.progress import Progress, Step
from vitalkeep.errors import ToolError
from vitalkeep.provision.setup import Done

AT_WORK, ACCEPTED, FAILED = "at work", "accepted", "failed"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """What somebody asked for: a bed and a board by name, and whether devices come later."""

    bed: str
    board: str
    silent: bool


Work = Callable[[Asked, Progress], Done]  # raises ToolError


class Stopped(ToolError):
    """Nothing is wrong: the page was ended, and the run went no further than its step."""


@dataclass
class Run:
    """One setup.

    state    AT_WORK, ACCEPTED or FAILED
    percent  of the step that is going on, None where nobody knows
    failure  {"outcome", "message", "hint"} of a run that failed, as --json says them
    """

    asked: Asked
    state: str = AT_WORK
    steps: list[Step] = field(default_factory=list)
    percent: float | None = None
    failure: dict[str, str] | None = None
    done: Done | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            **vars(self.asked),
            "state": self.state,
            "steps": [vars(step).copy() for step in list(self.steps)],
            "percent": self.percent,
            "failure": self.failure,
            "done": self.done.as_dict() if self.done else None,
        }


class Runs:
    """The newest run of each bed, in the order in which they began.

    work   does one, and tells how it gets on
    moved  is called from any thread when something is to be shown
    """

    def __init__(self, work: Work, moved: Callable[[], None]) -> None:
        self._work = work
        self._moved = moved
        self._runs: dict[str, Run] = {}
        self._lock = threading.Lock()
        self.is_ending = False

    def all(self) -> list[Run]:
        with self._lock:
            return list(self._runs.values())

    def of(self, bed: str) -> Run | None:
        with self._lock:
            return self._runs.get(bed)

    def at_work(self) -> list[Run]:
        return [run for run in self.all() if run.state == AT_WORK]

    def start(self, asked: Asked) -> None:
        """Begin a run, or do one of this bed again; raises BoardError, ToolError."""
        with self._lock:
            if self.is_ending:
                raise ToolError(
                    "the page is being ended", "Start it again: vitalkeep setup --page"
                )
            for other in self._runs.values():
                if other.state == AT_WORK and asked.board == other.asked.board:
                    raise BoardError(
                        "locked",
                        f"board {asked.board} is being set up for {other.asked.bed}",
                        "Wait until it is done, or choose another board.",
                    )
            before = self._runs.get(asked.bed)
            if before is not None and before.state == AT_WORK:
                raise BoardError(
                    "locked",
                    f"{asked.bed} gets board {before.asked.board} already",
                    "Wait until it is done, or choose another bed.",
                )
            run = self._runs[asked.bed] = Run(asked)
        # A daemon: whoever cannot wait for it ends the program all the same.
        threading.Thread(target=self._do, args=(run,), daemon=True).start()
        self._moved()

    def end(self) -> None:
        """Have each run go no further than its step, or than its flashing, and none begin."""
        with self._lock:
            self.is_ending = True
        self._moved()

    def _do(self, run: Run) -> None:
        if hasattr(signal, "pthread_sigmask"):
            # Ctrl-C reaches every program of a terminal, also the esptool that is in mid-flash.
            # What this thread starts has it blocked as well; the page says when to stop.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})

        def show(step: Step, percent: float | None) -> None:
            begins = not step.outcome and percent is None
            if begins and self.is_ending and not progress.is_held:
                raise Stopped(
                    f"ended before: {step.name}",
                    "Nothing is lost: the same bed and board again, and it goes on from here.",
                )
            run.percent = percent
            self._moved()

        progress = Progress(show, watched=True, steps=run.steps)
        try:
            run.done = self._work(run.asked, progress)
            run.state = ACCEPTED
        except ToolError as error:
            cause = error.cause if isinstance(error, BoardError) else "error"
            cause = "stopped" if isinstance(error, Stopped) else cause
            self._fail(run, cause, error.message, error.hint)
        except Exception as error:
            # A mistake of ours is not to look as if the run went on.
            log.exception("setup of %s", run.asked.bed)
            text = f"{type(error).__name__}: {error}"
            self._fail(run, "error", text, "Please report it, with what the terminal says.")
        self._moved()

    def _fail(self, run: Run, cause: str, message: str, hint: str) -> None:
        run.failure = {"outcome": cause, "message": message, "hint": hint}
        run.state = FAILED
