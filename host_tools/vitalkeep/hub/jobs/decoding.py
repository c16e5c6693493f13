"""Backlog is decoded after its bytes were committed and receipted: late, but never not at all.

Which sectors that is about stands in the store, so that a hub that was killed goes on. A process
of its own does it, behind whatever is live; what comes back is stored between two batches.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor

from bridge.core.errors import FormatError
from bridge.core.journal.layout import HEADER_SIZE
from vitalkeep.hub.context import Context
from vitalkeep.hub.intake import Intake
from vitalkeep.hub.late import Task, decode_sectors, process
from vitalkeep.hub.sectors import Place, Stored
from vitalkeep.hub.store import Late, Store, StoreError, utc_now_ms

_AT_ONCE = 16  # sectors, 64 KB and up to a second or two of work
_REST_MS = 10_000  # after which an open sector that stopped growing is decoded, too
_PAUSE_S = 1.0
_TRIED_MAX = 100_000


async def run(hub: Context) -> None:
    await Decoding(hub.store, hub.intake).run()


class Decoding:
    """The job.

    pool  makes what decodes: a process of its own, or a thread in tests
    """

    def __init__(
        self, store: Store, intake: Intake, pool: Callable[[], Executor] = process
    ) -> None:
        self._store = store
        self._intake = intake
        self._make_pool = pool
        # What does not get any further is not tried again until it has grown.
        self._tried: OrderedDict[Place, int] = OrderedDict()

    async def run(self) -> None:
        """Decode for ever whatever the store has no rows of."""
        pool: Executor | None = None
        try:
            while True:
                tasks = await self._next()
                if tasks:
                    pool = pool or self._make_pool()
                    await self._decode(tasks, pool)
                else:
                    await asyncio.sleep(_PAUSE_S)
        finally:
            if pool is not None:
                pool.shutdown(wait=False, cancel_futures=True)

    async def catch_up(self, rest_ms: int = _REST_MS) -> None:
        """Decode all there is, and return."""
        with self._make_pool() as pool:
            while tasks := await self._next(rest_ms):
                await self._decode(tasks, pool)

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
            known = self._tried.get(place) == len(stored.data)
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

    async def _decode(self, tasks: list[Task], pool: Executor) -> None:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(pool, decode_sectors, tasks, utc_now_ms())
        was = {place: stored.decoded for place, stored, _ in tasks}
        await self._intake.write_late(
            [
                Late(f.place, was[f.place], f.decoded, f.spans, f.rows, f.blocks)
                for f in found
                if f.decoded > was[f.place]
            ],
            [(f.place, f.error) for f in found if f.error],
        )
        for f, task in zip(found, tasks, strict=True):
            if f.decoded == len(task.stored.data):
                self._tried.pop(f.place, None)  # nothing is left in it
