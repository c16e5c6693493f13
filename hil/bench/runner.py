"""Runs a job of hil/bench/on_micropython in the real MicroPython and returns its answer."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hil.bench.recording import Recording
from hil.board import REPOSITORY, find_micropython
from hil.errors import RigError
from vitalkeep.board.kinds import FIRMWARE

_HEAP = "16M"  # room for a run with the collector off; nothing here is said to fit a board
_TIMEOUT_S = 900
_VERSION_TIMEOUT_S = 20
_ROWS_MAX = 2000  # of a recording, then over again


@dataclass
class Runner:
    """Where jobs run.

    folder   for the chips' files, which go when their job is done
    command  the `micropython` to use
    """

    folder: Path
    command: str = field(default_factory=find_micropython)

    def version(self) -> str:
        """Return what it says of itself; raises RigError when it is no MicroPython."""
        try:
            done = subprocess.run(
                [self.command, "-c", "import sys; print(sys.version)"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_VERSION_TIMEOUT_S,
                check=False,
            )
            said = done.stdout.strip()
        except (OSError, subprocess.TimeoutExpired) as error:
            said = str(error)
        if "MicroPython" not in said:
            raise RigError(
                f"bench: {self.command} is no MicroPython: {said[:80]!r}",
                "Leave --micropython out, or name a build of MicroPython's unix port.",
            )
        return said

    def run(self, job: str, recording: Recording | None, **order: Any) -> Mapping[str, Any]:
        """Run one job, on a recording if it takes one; raises RigError when it ends badly."""
        if recording is not None:
            order = self._order(recording, order)
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            return self._run(job, Path(folder), order)

    def _run(self, job: str, folder: Path, order: dict[str, Any]) -> Mapping[str, Any]:
        path = folder / "order.json"
        path.write_text(json.dumps({"folder": str(folder), **order}))
        module = f"hil.bench.on_micropython.{job}"
        environment = dict(os.environ, MICROPYPATH=f"{FIRMWARE}:{REPOSITORY}:.frozen")
        try:
            done = subprocess.run(
                [self.command, "-X", f"heapsize={_HEAP}", "-m", module, str(path)],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise RigError(
                f"bench: the job {job} was stopped after {_TIMEOUT_S} s.",
                "Ask for less: --seconds.",
            ) from None
        if done.returncode:
            print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
            raise RigError(
                f"bench: the job {job} failed on MicroPython; its output is above.",
                "What it runs may be broken: run its tests (make test).",
            )
        answer: Mapping[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer

    def _order(self, recording: Recording, order: dict[str, Any]) -> dict[str, Any]:
        return {
            "parameters": [column.parameter for column in recording.columns],
            "decimals": [column.decimals for column in recording.columns],
            "labels": [column.label for column in recording.columns],
            "extras": recording.extras,
            "rows": recording.rows[:_ROWS_MAX],
            **order,
        }
