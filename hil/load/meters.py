"""What processes take of the machine: processor time and memory, children included."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

_EVERY_S = 0.5


@dataclass
class Use:
    """What a process took over a while.

    percent   of one processor, on average
    peak_mb   of memory, resident, the most that was seen
    """

    percent: float
    peak_mb: float


class Meter:
    """Watches processes by name while it is entered (`async with`); dead ones are left out.

    uses  by name, once it was left
    load  the machine's load average at the end
    """

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._roots = {name: psutil.Process(pid) for name, pid in pids.items()}
        self._peaks = dict.fromkeys(pids, 0.0)
        self.uses: dict[str, Use] = {}
        self.seconds = 0.0
        self.load = 0.0

    async def __aenter__(self) -> Meter:
        self._began = time.monotonic()
        self._before = {name: _cpu_s(root) for name, root in self._roots.items()}
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        self.seconds = time.monotonic() - self._began
        self._look()
        for name, root in self._roots.items():
            spent_s = max(0.0, _cpu_s(root) - self._before[name])
            self.uses[name] = Use(100 * spent_s / self.seconds, self._peaks[name])
        self.load = os.getloadavg()[0]

    async def _watch(self) -> None:
        while True:
            self._look()
            await asyncio.sleep(_EVERY_S)

    def _look(self) -> None:
        for name, root in self._roots.items():
            self._peaks[name] = max(self._peaks[name], _memory_mb(root))


def _family(root: psutil.Process) -> list[psutil.Process]:
    try:
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _cpu_s(root: psutil.Process) -> float:
    total = 0.0
    for process in _family(root):
        try:
            times = process.cpu_times()
            total += times.user + times.system
        except psutil.NoSuchProcess:
            pass
    return total


def _memory_mb(root: psutil.Process) -> float:
    """Return what a family has in memory; pages that it shares count once where that is known."""
    total = 0.0
    for process in _family(root):
        try:
            memory = process.memory_info()
            total += memory.rss - getattr(memory, "shared", 0)
        except psutil.NoSuchProcess:
            pass
    return total / 1e6
