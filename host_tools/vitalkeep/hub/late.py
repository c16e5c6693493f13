"""What a process of its own does for the hub: decode sectors. Here is all that it imports."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import Executor, ProcessPoolExecutor
from typing import NamedTuple

from bridge.core.journal.reader import SectorReader
from vitalkeep.hub.decode import Row, Rows, block_row, decode
from vitalkeep.hub.sectors import Place, Sector, Stored
from vitalkeep.hub.spans import Spans
from vitalkeep.keys.cipher import Aes256

_NICE = 10


class Task(NamedTuple):
    """A sector to decode: what the store has of it, and its chain key."""

    place: Place
    stored: Stored
    key: bytes


class Found(NamedTuple):
    """What is in it. `error` is why not all of it could be decoded, "" for all."""

    place: Place
    decoded: int
    spans: str
    rows: Rows
    blocks: list[Row]
    error: str


def decode_sector(task: Task, now_ms: int) -> Found:
    """Decode what the store has no rows of yet."""
    sector = Sector(task.place, task.stored)
    sector.reader = SectorReader(Aes256, task.key)
    sector.spans = Spans(task.place.cls)
    rows, error = decode(sector, task.stored.data, now_ms)
    blocks = [block_row(b, task.place, sector.day) for b in sector.blocks.take_changed()]
    return Found(task.place, sector.decoded, sector.spans.dump(), rows, blocks, error)


def decode_sectors(tasks: list[Task], now_ms: int) -> list[Found]:
    return [decode_sector(task, now_ms) for task in tasks]


def process() -> Executor:
    """Return a process of its own for decoding, which ends with this one."""
    return _Process(1, multiprocessing.get_context("spawn"), _begin_process)


class _Process(ProcessPoolExecutor):
    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End it, in the middle of its work when that is cancelled: nothing is lost by it."""
        children = list((self._processes or {}).values()) if cancel_futures else []
        super().shutdown(wait=wait, cancel_futures=cancel_futures)
        for child in children:
            child.kill()


def _begin_process() -> None:
    # Ctrl-C is the hub's to hear; and when it is killed, nobody else tells us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if hasattr(os, "nice"):
        os.nice(_NICE)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(0)
