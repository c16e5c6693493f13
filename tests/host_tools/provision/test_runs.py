"""Setups side by side: what is refused, how they end, and that Ctrl-C is not theirs."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from vitalkeep.board.errors import BoardError
from vitalkeep.board.program import run_module
from vitalkeep.board.progress import Progress
from vitalkeep.errors import ToolError
from vitalkeep.provision.moves import Moves
from vitalkeep.provision.runs import AT_WORK, FAILED, Asked, Run, Runs

_SECONDS = 20.0


def _until(ready: Callable[[], Any]) -> None:
    until = time.monotonic() + _SECONDS
    while not ready():
        assert time.monotonic() < until
        time.sleep(0.01)


def _asked(bed: str, board: str) -> Asked:
    return Asked(bed, board, silent=False)


def _started(runs: Runs, bed: str = "bed-a", board: str = "one") -> Run:
    runs.start(_asked(bed, board))
    run = runs.of(bed)
    assert run is not None
    return run


def test_bed_and_board_are_in_one_run_at_a_time() -> None:
    go_on = threading.Event()

    def work(_: Asked, progress: Progress) -> Any:
        progress.begin("wait")
        go_on.wait(_SECONDS)
        raise ToolError("no", "Next.")

    runs = Runs(work, lambda: None)
    first = _started(runs)
    for bed, board in (("bed-a", "two"), ("bed-b", "one")):
        with pytest.raises(BoardError) as refused:
            runs.start(_asked(bed, board))
        assert refused.value.cause == "locked"
    _started(runs, "bed-b", "two")
    go_on.set()
    _until(lambda: not runs.at_work())
    again = _started(runs)
    assert again is not first
    assert [run.asked.bed for run in runs.all()] == ["bed-a", "bed-b"]
    _until(lambda: not runs.at_work())


def test_each_failure_has_its_cause_and_a_mistake_of_ours_ends_the_run_too() -> None:
    failures = {
        "bed-a": BoardError("wiring", "not heard", "Put it right."),
        "bed-b": ToolError("vault", "Name it."),
        "bed-c": KeyError("spo2"),
    }

    def work(asked: Asked, progress: Progress) -> Any:
        progress.begin("first")
        progress.end("done", "well")
        raise failures[asked.bed]

    runs = Runs(work, lambda: None)
    for number, bed in enumerate(failures):
        _started(runs, bed, str(number))
    _until(lambda: not runs.at_work())
    said = {run.asked.bed: run.as_dict() for run in runs.all()}
    assert {run["state"] for run in said.values()} == {FAILED}
    found = [run["failure"]["outcome"] for run in said.values()]
    assert found == ["wiring", "error", "error"]
    assert said["bed-a"]["failure"]["hint"] == "Put it right."
    assert "KeyError" in said["bed-c"]["failure"]["message"]
    assert said["bed-a"]["steps"] == [{"name": "first", "outcome": "done", "detail": "well"}]


def test_end_lets_what_is_held_come_to_its_end_and_no_more_begin() -> None:
    go_on = threading.Event()
    tidied = []

    def work(_: Asked, progress: Progress) -> Any:
        try:
            with progress.held():
                progress.begin("write")
                go_on.wait(_SECONDS)
                progress.at(50.0)
                progress.end("done")
                progress.begin("copy")
                progress.end("done")
            progress.begin("next")
            raise AssertionError
        finally:
            tidied.append(True)

    runs = Runs(work, lambda: None)
    run = _started(runs)
    _until(lambda: run.steps)
    runs.end()
    assert run.state == AT_WORK
    with pytest.raises(ToolError, match="being ended"):
        runs.start(_asked("bed-b", "two"))
    go_on.set()
    _until(lambda: not runs.at_work())
    assert run.failure is not None
    assert (run.failure["outcome"], "next" in run.failure["message"]) == ("stopped", True)
    assert [step.outcome for step in run.steps] == ["done", "done", ""]
    assert tidied


@pytest.mark.skipif(sys.platform == "win32", reason="there Ctrl-C is no signal")
def test_ctrl_c_does_not_reach_the_programs_of_a_run() -> None:
    script = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    said = []

    def work(_: Asked, __: Progress) -> Any:
        # What esptool and mpremote are started with; `timeit` runs a statement for us.
        said.append(run_module("timeit", ["-n1", "-r1", script], _SECONDS).said)
        raise ToolError("enough", "")

    runs = Runs(work, lambda: None)
    _started(runs)
    _until(lambda: not runs.at_work())
    assert said[0].startswith("True")
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_who_waits_sees_what_moved_in_a_thread() -> None:
    async def story() -> None:
        moves = Moves()
        first = await moves.after(0, _SECONDS)
        assert await moves.after(first, 0.01) == first
        waiting = asyncio.create_task(moves.after(first, _SECONDS))
        await asyncio.sleep(0)
        await asyncio.to_thread(moves.moved)
        assert await waiting > first

    asyncio.run(story())
