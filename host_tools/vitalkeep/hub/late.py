"""What a process of its own does for the hub: decode sectors. Here is all that it imports."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import OrderedDict
from concurrent.futures import Executor, ProcessPoolExecutor
from typing import NamedTuple

from bridge.core.journal.layout import SECTOR_SIZE
from vitalkeep.hub.decode import RECENT, Found, SectorDecoder, block_row
from vitalkeep.hub.sectors import Place, Stored
from vitalkeep.keys.cipher import Aes256

KNOWN_MAX = 10_000  # sectors that grow; each takes some 30 KB
_MEMORY_MAX = 2 << 30  # bytes of addresses: what would need more is a bomb, and cannot be decoded


class Task(NamedTuple):
    """A sector to decode: what the store has of it, and its chain key."""

    place: Place
    stored: Stored
    key: bytes


class Decoders:
    """The decoders of sectors that grow, so that nothing is read from its beginning twice.

    recent  how many observations of a device and group are wanted one by one; None: all
    """

    def __init__(self, recent: int | None = None) -> None:
        self._recent = recent
        self._known: OrderedDict[Place, tuple[bytes, bytes, SectorDecoder]] = OrderedDict()

    def decode_all(self, tasks: list[Task], now_ms: int) -> list[Found]:
        """Decode what the store has no rows of yet."""
        return [self.decode(task, now_ms) for task in tasks]

    def decode(self, task: Task, now_ms: int) -> Found:
        """Decode one of these."""
        place, stored, data = task.place, task.stored, task.stored.data
        decoder = self._resume(task)
        rows, error = decoder.feed(data, now_ms, self._recent)
        blocks = [block_row(b, place, stored.day) for b in decoder.blocks.take_changed()]
        if len(data) < SECTOR_SIZE:
            self._known[place] = (task.key, data, decoder)
            while len(self._known) > KNOWN_MAX:
                self._known.popitem(last=False)
        spans = decoder.spans.dump()
        return Found(place, stored.decoded, decoder.decoded, spans, rows, blocks, error)

    def _resume(self, task: Task) -> SectorDecoder:
        """Return the decoder of what came of a sector before, unless that is not in the store."""
        key, data, decoder = self._known.pop(task.place, (b"", b"", None))
        same = key == task.key and task.stored.data.startswith(data)
        if decoder is not None and same and decoder.decoded == task.stored.decoded:
            return decoder
        return SectorDecoder(Aes256, task.place, task.key, task.stored.decoded)


_decoders = Decoders(RECENT)


def decode_sectors(tasks: list[Task], now_ms: int) -> list[Found]:
    """Decode in a process that remembers what it has decoded."""
    return _decoders.decode_all(tasks, now_ms)


def process(nice: int) -> Executor:
    """Return a process of its own for decoding, which ends with this one.

    nice  by how much it steps back behind the hub
    """
    return _Process(1, multiprocessing.get_context("spawn"), _begin_process, (nice,))


class _Process(ProcessPoolExecutor):
    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End it, in the middle of its work when that is cancelled: nothing is lost by it."""
        children = list((self._processes or {}).values()) if cancel_futures else []
        super().shutdown(wait=wait, cancel_futures=cancel_futures)
        for child in children:
            child.kill()


def _begin_process(nice: int) -> None:
    # Ctrl-C is the hub's to hear; and when it is killed, nobody else tells us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if hasattr(os, "nice"):
        os.nice(nice)
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # not on Windows

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_MAX, _MEMORY_MAX))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(0)
