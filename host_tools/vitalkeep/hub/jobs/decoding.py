"""Bytes are decoded after they were committed and receipted: late, but never not at all.

What gateways write now is decoded at once, a round for all of them, by processes that remember
where each sector stood: a gateway always has the same one. Another process decodes whatever else
the store has no rows of, behind whatever is live. How far each sector is decoded stands in the
store, so that a hub that was killed goes on. What comes back is stored between two batches.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor
from functools import partial

from bridge.core.errors import FormatError
from bridge.core.journal.layout import HEADER_SIZE
from vitalkeep.hub.batch import Change
from vitalkeep.hub.context import Context
from vitalkeep.hub.decode import Found
from vitalkeep.hub.growing import DecodingSettings, Growing
from vitalkeep.hub.intake import Intake
from vitalkeep.hub.late import Task, decode_sectors, process
from vitalkeep.hub.sectors import Place, Stored
from vitalkeep.hub.store import Store, StoreError, utc_now_ms

log = logging.getLogger(__name__)

_ROUND_S = 0.05  # from one round of live ones to the next: fewer commits, and people see no less
_LIVE_NICE = 5
_AT_ONCE = 16  # sectors, 64 KB and up to a second or two of work
_NICE = 15  # of what is left, mostly: on two cores it kept a bed's newest values waiting
_REST_MS = 10_000  # after which an open sector that stopped growing is decoded, too
_PAUSE_S = 1.0
_TRIED_MAX = 100_000


async def run(hub: Context) -> None:
    count = hub.config[DecodingSettings].count()
    await Decoding(hub.store, hub.intake, count=count).run()


class Decoding:
    """The job.

    pool    pool(nice) makes what decodes: a process of its own, or a thread
    decode  decode(tasks, now_ms), what it is given to do
    count   of processes that share what gateways write now
    """

    def __init__(
        self,
        store: Store,
        intake: Intake,
        pool: Callable[[int], Executor] = process,
        decode: Callable[[list[Task], int], list[Found]] = decode_sectors,
        count: int = 1,
    ) -> None:
        self._decode_sectors = decode
        self._store = store
        self._intake = intake
        self._make_pool = pool
        self._growing = [Growing(intake.ingest, intake.knows) for _ in range(count)]
        self._grew = [asyncio.Event() for _ in range(count)]
        # What does not get any further is not tried again until it has grown.
        self._tried: OrderedDict[Place, int] = OrderedDict()

    async def run(self) -> None:
        """Decode for ever: what comes, and whatever the store has no rows of."""
        self._intake.on_commit.append(self.committed)
        jobs = [self._follow_commits(number) for number in range(len(self._growing))]
        tasks = [asyncio.create_task(job) for job in (*jobs, self._follow_store())]
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
            for growing in self._growing:
                while growing.waits:
                    await self._decode_live(growing, pool)
            while tasks := await self._next(rest_ms):
                await self._decode(tasks, pool)

    # --- what gateways write now ---

    def committed(self, changes: Sequence[Change]) -> None:
        """Take note of what has grown."""
        now_s = time.monotonic()
        for change in changes:
            place = change.place
            if change.length > HEADER_SIZE and self._intake.answers.is_live(place):
                number = hash(place.gateway) % len(self._growing)
                self._growing[number].note(place, change.length, now_s)
                self._grew[number].set()

    async def _follow_commits(self, number: int) -> None:
        growing, grew = self._growing[number], self._grew[number]
        while True:
            pool = self._make_pool(_LIVE_NICE)
            try:
                # The first value need not wait for a process to start.
                pool.submit(self._decode_sectors, [], 0)
                while True:
                    if not growing.waits:
                        grew.clear()
                        await grew.wait()
                    began = time.monotonic()
                    await self._decode_live(growing, pool)
                    await asyncio.sleep(max(0.0, began + _ROUND_S - time.monotonic()))
            except BrokenExecutor:
                self._note_end()
                growing.forget()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
            await asyncio.sleep(_PAUSE_S)

    async def _decode_live(self, growing: Growing, pool: Executor) -> None:
        try:
            if tasks := await self._intake.work(growing.take):
                await self._decode(tasks, pool, live=True)
                self._intake.meters.decoded.observe(time.monotonic() - growing.since_s)
        finally:
            growing.done()

    def _note_end(self) -> None:
        log.warning("a process that decodes has ended; another one takes its place")
        self._intake.ingest.counters["restart_decoder"] += 1

    # --- what the store has no rows of ---

    async def _follow_store(self) -> None:
        pool: Executor | None = None
        try:
            while True:
                try:
                    if tasks := await self._next():
                        pool = pool or self._make_pool(_NICE)
                        await self._decode(tasks, pool)
                        continue
                except BrokenExecutor:
                    self._note_end()
                    self._tried.clear()
                    pool = None
                await asyncio.sleep(_PAUSE_S)
        finally:
            if pool is not None:
                pool.shutdown(wait=False, cancel_futures=True)

    async def _next(self, rest_ms: int = _REST_MS) -> list[Task]:
        before_ms = utc_now_ms() - rest_ms
        # So many that there are some behind those that are in hand, or get no further.
        count = _AT_ONCE + len(self._tried) + sum(map(len, self._growing))
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(None, self._store.undecoded, before_ms, count)
            news = [place for place, length in found.items() if self._is_news(place, length)]
            read = partial(self._store.read_back, news[:_AT_ONCE])
            stored = await loop.run_in_executor(None, read)
        except StoreError:
            return []  # the write path says so
        wanted = {place: one for place, one in stored.items() if one and one.spoilt is None}
        return await self._intake.work(lambda: self._tasks(wanted))

    def _is_news(self, place: Place, length: int) -> bool:
        known = self._tried.get(place) == length or any(place in one for one in self._growing)
        return not known and length > HEADER_SIZE and self._intake.knows(place)

    def _tasks(self, wanted: dict[Place, Stored]) -> list[Task]:
        """Add the keys, which only the write path's thread derives, and note what is tried."""
        found = []
        for place, stored in reversed(wanted.items()):  # the newest last: its word stays
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
