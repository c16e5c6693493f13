"""Sectors whose bytes are in the archive alone, read back for peers beside everything else.

A storage may be slow or gone: whoever asks waits for it so long and no longer, and nothing else
does. What comes later is kept for when it is asked for again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from functools import partial

from vitalkeep.archive.shelf import Shelf, ShelfError
from vitalkeep.errors import ToolError
from vitalkeep.hub.apart import apart
from vitalkeep.hub.sectors import Place, Stored
from vitalkeep.hub.store import StoreError

log = logging.getLogger(__name__)

_AT_ONCE = 4  # requests to the storage
_ASKED_MAX = 256  # sectors that wait for it
_KEPT_MAX = 512  # sectors in memory, 2 MiB


class ColdReader:
    """Reads cold sectors by what `shelf` makes, once the first is asked for.

    counters  sectors that were read, that could not be, and for which nobody could wait
    """

    def __init__(self, shelf: Callable[[], Shelf]) -> None:
        self.counters: Counter[str] = Counter()
        self._make = shelf
        self._shelf: Shelf | None = None
        self._kept: OrderedDict[Place, bytes] = OrderedDict()
        self._asked: dict[Place, asyncio.Task[None]] = {}
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._trouble = ""

    async def fill(
        self, stored: Mapping[Place, Stored | None], within_s: float
    ) -> dict[Place, Stored | None]:
        """Return the same with the bytes of those cold sectors that could be read in time.

        The others stay cold in it.
        """
        cold = [place for place, found in stored.items() if found is not None and found.cold]
        filled = dict(stored)
        if not cold:
            return filled
        for place in cold:
            if place in self._kept:
                self._kept.move_to_end(place)
            elif place not in self._asked and len(self._asked) < _ASKED_MAX:
                self._asked[place] = asyncio.create_task(self._fetch(place))
        waiting = [task for place in cold if (task := self._asked.get(place)) is not None]
        if waiting:
            await asyncio.wait(waiting, timeout=within_s)
        for place in cold:
            found = stored[place]
            if found is not None and place in self._kept:
                filled[place] = found._replace(data=self._kept[place], cold=None)
            elif place in self._asked:
                self.counters["cold_late"] += 1
        return filled

    def close(self) -> None:
        for task in self._asked.values():
            task.cancel()

    async def _fetch(self, place: Place) -> None:
        trouble = ""
        try:
            async with self._turns:
                found = await apart(partial(self._read, place))
            if found is not None:
                self.counters["cold_read"] += 1
                self._kept[place] = found
                while len(self._kept) > _KEPT_MAX:
                    self._kept.popitem(last=False)
        except (ShelfError, StoreError) as error:
            trouble = str(error)
        except ToolError as error:
            trouble = error.message
        finally:
            self._asked.pop(place, None)
        if trouble:
            self.counters["cold_failed"] += 1
            if not self._trouble:
                log.warning("a cold sector cannot be read: %s", trouble)
        self._trouble = trouble

    def _read(self, place: Place) -> bytes | None:
        if self._shelf is None:
            self._shelf = self._make()
        found = self._shelf.sector(place)
        return None if found is None else found.data
