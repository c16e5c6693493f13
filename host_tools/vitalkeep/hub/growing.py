"""What gateways write now, and what of it is decoded next: all beds' newest values first. No I/O.

A sector is read from its beginning, and whoever has read some of it goes on from there. So each
gateway belongs to one process, and a sector's rest is the least that makes its newest value known.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from itertools import islice

from bridge.core.journal.layout import CLASSES, SECTOR_SIZE
from vitalkeep.hub.ingest import Ingest
from vitalkeep.hub.late import KNOWN_MAX, Task
from vitalkeep.hub.sectors import Place
from vitalkeep.settings.fields import setting

_AT_ONCE = 200  # sectors of which little is to be read, some 20 ms of work
_SHORT = 512  # bytes that are read in no time
_LONG_BYTES = 8192  # of sectors of which much is to be read, beside these
_CORES = 2  # of the machine, for one process
_PROCESSES_MAX = 4  # by default: more than one write path has work for


@dataclass(frozen=True)
class DecodingSettings:
    """Who decodes what gateways write now; one more process decodes whatever else there is."""

    processes: int | None = setting(
        None, "How many share the gateways. Default: one for each two cores, four at most.",
        low=1, high=64, example=2,
    )  # fmt: skip

    def count(self) -> int:
        """Return how many processes there are to be."""
        cores = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)
        return self.processes or min(max(1, len(cores) // _CORES), _PROCESSES_MAX)


class Growing:
    """The sectors that grow, of the gateways of one process.

    knows  says of a sector whether it can be decoded here
    """

    def __init__(self, ingest: Ingest, knows: Callable[[Place], bool]) -> None:
        self._ingest = ingest
        self._knows = knows
        # Since when each waits. Of some a little is to be read, as always; of others much, by
        # class, as after an outage, and after a start, when each is read from its beginning.
        self._short: dict[Place, float] = {}
        self._long: tuple[dict[Place, float], ...] = tuple({} for _ in CLASSES)
        self._under_way: dict[Place, float] = {}
        self._read: OrderedDict[Place, int] = OrderedDict()  # bytes that the process was given

    def __contains__(self, place: Place) -> bool:
        return any(place in queue for queue in self._queues())

    def __len__(self) -> int:
        return sum(map(len, self._queues()))

    def _queues(self) -> tuple[Collection[Place], ...]:
        return (self._under_way, self._short, *self._long)

    @property
    def waits(self) -> bool:
        """Say whether there is anything to decode."""
        return any((self._short, *self._long))

    @property
    def since_s(self) -> float:
        """Return since when what is under way has waited to be read, the longest of it."""
        return min(self._under_way.values())

    def note(self, place: Place, length: int, now_s: float) -> None:
        """Take note of a sector that has grown to `length` bytes."""
        if place in self._short or any(place in queue for queue in self._long):
            return
        # What comes before a bed's newest sector is no news any more: it is found in the store.
        self._long[place.cls].pop(place._replace(sector=place.sector - 1), None)
        if self._left(place, length) <= _SHORT:
            self._short[place] = now_s
        else:
            self._long[place.cls][place] = now_s

    def take(self) -> list[Task]:
        """Return what is decoded next, on the write path's thread; it is under way then."""
        tasks = self._take((self._short,), SECTOR_SIZE * _AT_ONCE)
        tasks += self._take(self._long, _LONG_BYTES)
        while len(self._read) > KNOWN_MAX:
            self._read.popitem(last=False)
        return tasks

    def done(self) -> None:
        """Nothing is under way any more."""
        self._under_way.clear()

    def forget(self) -> None:
        """The process is gone, and another one knows nothing. What it had comes with more."""
        self._read.clear()

    def _left(self, place: Place, length: int) -> int:
        """Return how many bytes the process must read: all, of a sector that it does not know."""
        return length - self._read.get(place, 0)

    def _take(self, queues: Iterable[dict[Place, float]], size: int) -> list[Task]:
        """Take sectors out of queues, in their order, until so much is to be read of them."""
        tasks: list[Task] = []
        for queue in queues:
            for place in [*islice(queue, _AT_ONCE)]:
                if size <= 0:
                    break
                since_s = queue.pop(place)
                # What is no longer in memory is found in the store.
                task = self._ingest.task(place) if self._knows(place) else None
                if task is not None:
                    tasks.append(task)
                    self._under_way[place] = since_s
                    length = len(task.stored.data)
                    size -= self._left(place, length)
                    self._read[place] = length
                    self._read.move_to_end(place)
        return tasks
