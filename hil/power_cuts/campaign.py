"""Every cut of many workloads, over processes.

A workload runs once. Before each of its flash operations the process forks: the child loses power
in the midst of the operation, comes back and is judged, while the parent goes on. So a cut costs
what comes after it and not what came before. CPython on Linux and macOS.
"""

import multiprocessing
import os
import pickle
from collections import Counter
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from typing import NoReturn

from hil.errors import RigError
from hil.power_cuts.judge import APPENDS
from hil.power_cuts.lineage import Lineage, end, tear_seed
from hil.virtual_board.nor import PowerCut

TEARS = 4  # of each operation, each with a seed of its own
_FAILURES_KEPT = 20

Found = list[tuple[str, str]]


@dataclass(frozen=True)
class Failure:
    """What did not hold after a cut.

    seed, operation, tear  name the cut, see lineage.cut_at; operation 0 is the work without one
    """

    seed: int
    operation: int
    tear: int
    invariant: str
    what: str


@dataclass
class Verdict:
    """Of some cuts.

    broken    how often each invariant did not hold
    failures  the first of these
    """

    cuts: int = 0
    workloads: int = 0
    broken: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    def note(self, seed: int, operation: int, tear: int, found: Found) -> None:
        for invariant, what in found:
            self.broken[invariant] += 1
            if len(self.failures) < _FAILURES_KEPT:
                self.failures.append(Failure(seed, operation, tear, invariant, what))

    def add(self, other: "Verdict") -> None:
        self.cuts += other.cuts
        self.workloads += other.workloads
        self.broken.update(other.broken)
        self.failures += other.failures[: _FAILURES_KEPT - len(self.failures)]


class _Child:
    """A process that loses power now, and tells its parent what became of the log."""

    def __init__(self, lineage: Lineage, operation: int, tear: int, pipe: int) -> None:
        self._lineage = lineage
        self._operation = operation
        self._tear = tear
        self._pipe = pipe
        lineage.chip.on_operation = None
        lineage.chip.cut_after(1, tear_seed(operation, tear))

    def finish(self) -> NoReturn:
        found = end(self._lineage, self._operation, self._tear)
        with open(self._pipe, "wb") as pipe:
            pickle.dump(found, pipe)
        os._exit(0)


class _Explorer:
    """Runs one workload and forks before each of its operations, `most` times at most."""

    def __init__(self, seed: int, most: int) -> None:
        self.verdict = Verdict(workloads=1)
        self._seed = seed
        self._most = most
        self._lineage = Lineage(seed)
        self._child: _Child | None = None

    def run(self) -> Verdict:
        lineage = self._lineage
        lineage.chip.on_operation = self._before_operation
        try:
            lineage.judge.check(lineage.work())
        except PowerCut:
            pass
        except Exception as error:  # whatever the firmware raises here is a finding
            lineage.judge.fail(APPENDS, repr(error))
        if self._child is not None:
            self._child.finish()
        self.verdict.note(self._seed, 0, 0, lineage.judge.failures)
        return self.verdict

    def _before_operation(self) -> None:
        operation = self._lineage.operations + 1
        # What the parent has read by now, no child has to read again.
        self._lineage.judge.sectors()
        for tear in range(TEARS):
            if self.verdict.cuts == self._most:
                return
            reading, writing = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(reading)
                self._child = _Child(self._lineage, operation, tear, writing)
                return
            os.close(writing)
            self._collect(pid, reading, operation, tear)

    def _collect(self, pid: int, reading: int, operation: int, tear: int) -> None:
        with open(reading, "rb") as pipe:
            said = pipe.read()
        os.waitpid(pid, 0)
        found: Found = pickle.loads(said) if said else [(APPENDS, "the process died")]
        self.verdict.cuts += 1
        self.verdict.note(self._seed, operation, tear, found)


def explore(seed: int, most: int) -> Verdict:
    """Cut the workload of a seed at each of its flash operations, TEARS times, `most` in all."""
    return _Explorer(seed, most).run()


def campaign(
    cuts: int, seed: int, jobs: int, tell: Callable[[Verdict], None] = lambda verdict: None
) -> Verdict:
    """Make that many distinct cuts, from the workload of `seed` on, in `jobs` processes.

    tell    called with what is known so far whenever a workload has ended
    Raises  RigError where processes cannot fork
    """
    if not hasattr(os, "fork"):
        raise RigError("power cuts need a system with fork(): run them on Linux or macOS")
    total = Verdict()
    begun = 0
    # New processes, not forked ones: their forks must not meet a pool's threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        running: set[Future[Verdict]] = set()
        while total.cuts < cuts:
            while len(running) < jobs:
                running.add(pool.submit(explore, seed + begun, cuts))
                begun += 1
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                total.add(future.result())
            tell(total)
        for future in running:
            future.cancel()
    return total
