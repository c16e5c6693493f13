"""Bytes are decoded after they were committed and receipted: late, but never not at all.

What gateways write now is decoded at once, a round for all of them, by a process that remembers
where each sector stood; a second process decodes whatever else the store has no rows of, behind
whatever is live. How far each sector is decoded stands in the store, so that a hub that was killed
goes on. What comes back is stored between two batches.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from itertools import islice

from bridge.core.errors import FormatError
from bridge.core.journal.layout import HEADER_SIZE, SECTOR_SIZE
from vitalkeep.hub.batch import Change
from vitalkeep.hub.context import Context
from vitalkeep.hub.decode import Found
from vitalkeep.hub.intake import Intake
from vitalkeep.hub.late import KNOWN_MAX, Task, decode_sectors, process
from vitalkeep.hub.sectors import Place, Stored
from vitalkeep.hub.store import Store, StoreError, utc_now_ms

_LIVE_AT_ONCE = 200  # sectors, some 60 ms of work
_SHORT = 512  # bytes that are read in no time
_BEHIND_BYTES = 4096  # of sectors of which much is to be read, beside these
_ROUND_S = 0.05  # from one round of live ones to the next: fewer commits, and people see no less
_LIVE_NICE = 5
_AT_ONCE = 16  # sectors, 64 KB and up to a second or two of work
_NICE = 10
_REST_MS = 10_000  # after which an open sector that stopped growing is decoded, too
_PAUSE_S = 1.0
_TRIED_MAX = 100_000


async def run(hub: Context) -> None:
    await Decoding(hub.store, hub.intake).run()


class Decoding:
    """The job.

    pool    pool(nice) makes what decodes: a process of its own, or a thread
    decode  decode(tasks, now_ms), what it is given to do
    """

    def __init__(
        self,
        store: Store,
        intake: Intake,
        pool: Callable[[int], Executor] = process,
        decode: Callable[[list[Task], int], list[Found]] = decode_sectors,
    ) -> None:
        self._decode_sectors = decode
        self._store = store
        self._intake = intake
        self._make_pool = pool
        # What grew since it was decoded last, and since when: a little, as it does all the time;
        # or much, as after an outage, and after a start, when each is read from its beginning.
        self._live: dict[Place, float] = {}
        self._behind: dict[Place, float] = {}
        self._read: OrderedDict[Place, None] = OrderedDict()  # by the process
        self._under_way: frozenset[Place] = frozenset()
        self._grew = asyncio.Event()
        # What does not get any further is not tried again until it has grown.
        self._tried: OrderedDict[Place, int] = OrderedDict()

    async def run(self) -> None:
        """Decode for ever: what comes, and whatever the store has no rows of."""
        self._intake.on_commit.append(self.committed)
        tasks = [asyncio.create_task(job()) for job in (self._follow_commits, self._follow_store)]
        try:
            await asyncio.gather(*tasks)
        finally:
            self._intake.on_commit.remove(self.committed)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def catch_up(self, rest_ms: int = _REST_MS) -> None:
        """Decode all there is, and return."""
        with self._make_pool(_NICE) as pool:
            while self._live or self._behind:
                await self._decode_live(pool)
            while tasks := await self._next(rest_ms):
                await self._decode(tasks, pool)

    # --- what gateways write now ---

    def committed(self, changes: Sequence[Change]) -> None:
        """Take note of what has grown."""
        now_s = time.monotonic()
        for change in changes:
            place = change.place
            if change.length > HEADER_SIZE and self._intake.answers.is_live(place):
                queue = self._live if self._is_short(change) else self._behind
                queue.setdefault(place, now_s)
        if self._live or self._behind:
            self._grew.set()

    def _is_short(self, change: Change) -> bool:
        """Say whether there is little to read of a sector that grew."""
        place = change.place
        if place in self._live or place in self._behind:
            return place in self._live
        decoded = self._intake.ingest.sector(place).decoded
        return self._left(place, change.length, decoded) <= _SHORT

    def _left(self, place: Place, length: int, decoded: int) -> int:
        """Return how many bytes the process must read: all, of a sector that it does not know."""
        return length - decoded if place in self._read else length

    async def _follow_commits(self) -> None:
        pool = self._make_pool(_LIVE_NICE)
        # The first value need not wait for a process to start.
        pool.submit(self._decode_sectors, [], 0)
        try:
            while True:
                await self._grew.wait()
                self._grew.clear()
                while self._live or self._behind:
                    began = time.monotonic()
                    await self._decode_live(pool)
                    await asyncio.sleep(max(0.0, began + _ROUND_S - time.monotonic()))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    async def _decode_live(self, pool: Executor) -> None:
        since_s = min(self._live.values(), default=None)
        try:
            tasks = await self._intake.work(self._round)
            if tasks:
                await self._decode(tasks, pool, live=True)
            if since_s is not None:
                self._intake.meters.decoded.observe(time.monotonic() - since_s)
        finally:
            self._under_way = frozenset()

    def _round(self) -> list[Task]:
        """Take what has waited longest, on the write path's thread."""
        tasks = self._take(self._live, SECTOR_SIZE * _LIVE_AT_ONCE)
        tasks += self._take(self._behind, _BEHIND_BYTES)
        self._under_way = frozenset(task.place for task in tasks)
        for task in tasks:
            self._read[task.place] = None
        while len(self._read) > KNOWN_MAX:
            self._read.popitem(last=False)
        return tasks

    def _take(self, queue: dict[Place, float], size: int) -> list[Task]:
        tasks: list[Task] = []
        for place in [*islice(queue, _LIVE_AT_ONCE)]:
            if size <= 0:
                break
            del queue[place]
            # What is no longer in memory is found in the store.
            task = self._intake.ingest.task(place) if self._intake.knows(place) else None
            if task is not None:
                tasks.append(task)
                size -= self._left(place, len(task.stored.data), task.stored.decoded)
        return tasks

    # --- what the store has no rows of ---

    async def _follow_store(self) -> None:
        pool: Executor | None = None
        try:
            while True:
                if tasks := await self._next():
                    pool = pool or self._make_pool(_NICE)
                    await self._decode(tasks, pool)
                else:
                    await asyncio.sleep(_PAUSE_S)
        finally:
            if pool is not None:
                pool.shutdown(wait=False, cancel_futures=True)

    async def _next(self, rest_ms: int = _REST_MS) -> list[Task]:
        before_ms = utc_now_ms() - rest_ms

        def find() -> dict[Place, Stored]:
            try:
                return self._store.undecoded(before_ms, _AT_ONCE + len(self._tried))
            except StoreError:
                return {}  # the write path says so

        found = await asyncio.get_running_loop().run_in_executor(None, find)
        wanted = {}
        for place, stored in found.items():
            if stored.spoilt is not None:
                self._tried[place] = -1  # it is decoded when it is whole again
                continue
            known = self._tried.get(place) == len(stored.data)
            known = known or any(
                place in some for some in (self._live, self._behind, self._under_way)
            )
            if not known and len(stored.data) > HEADER_SIZE and self._intake.knows(place):
                wanted[place] = stored
                if len(wanted) == _AT_ONCE:
                    break
        if not wanted:
            return []
        return await self._intake.work(lambda: self._tasks(wanted))

    def _tasks(self, wanted: dict[Place, Stored]) -> list[Task]:
        """Add the keys, which only the write path's thread derives, and note what is tried."""
        found = []
        for place, stored in wanted.items():
            self._tried[place] = len(stored.data)
            with contextlib.suppress(FormatError):  # of a header that the store spoilt
                key = self._intake.ingest.chain_key(place, stored.data)
                found.append(Task(place, stored, key))
        while len(self._tried) > _TRIED_MAX:
            self._tried.popitem(last=False)
        return found

    async def _decode(self, tasks: list[Task], pool: Executor, live: bool = False) -> None:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(pool, self._decode_sectors, tasks, utc_now_ms())
        await self._intake.write_late(found, live)
        for one, task in zip(found, tasks, strict=True):
            if one.decoded == len(task.stored.data):
                self._tried.pop(one.place, None)  # nothing is left in it
