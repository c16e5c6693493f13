"""Which appends allocate, and how much a journal at work holds.

The medium is plain memory that allocates nothing itself, and the collector is off, so what the
heap has gained is what the append took. An append that opens a sector is not counted: it makes
the objects of that sector.
"""

import gc
import os
import sys

from hil.bench.on_micropython.chip import PlainChip
from hil.bench.on_micropython.gateway import CLASS, KEY_BLOCKS, Gateway
from hil.bench.on_micropython.job import Job, answer
from hil.virtual_board.nor import ERASE_SIZE

_SECTORS = 24
_SECOND_MS = 1000
_WARM = 50


class _Run:
    def __init__(self, job):
        self._job = job
        chip = PlainChip((KEY_BLOCKS + _SECTORS) * ERASE_SIZE)
        gateway = Gateway(chip, os.urandom, job.extras)
        gateway.provision()
        gc.collect()
        before = gc.mem_alloc()
        self.journal, self.clock = gateway.boot()
        for number in range(_WARM):
            self.append(number)
        gc.collect()
        self.held = gc.mem_alloc() - before

    def append(self, number):
        """Append an observation and return the bytes that the heap has gained."""
        clock, journal = self.clock, self.journal
        clock.now_ms += _SECOND_MS
        made = self._job.observation(number)
        before = gc.mem_alloc()
        journal.observation(CLASS, 0, made, clock.now_ms)
        journal.commit(CLASS)
        return gc.mem_alloc() - before

    def number(self):
        return self.journal.newest(CLASS)[0]


def _control():
    """Return what the meter says of an allocation of 1000 bytes: it must not miss it."""
    before = gc.mem_alloc()
    kept = bytearray(1000)
    return gc.mem_alloc() - before if kept is not None else 0


def _word_bits():
    bits, left = 1, sys.maxsize
    while left:
        bits += 1
        left >>= 1
    return bits


def main():
    job = Job()
    run = _Run(job)
    counted = allocating = gained = largest = opening = 0
    while counted < job.order["count"]:
        number = run.number()
        gc.collect()
        gc.disable()
        took = run.append(_WARM + counted)
        gc.enable()
        if run.number() != number:
            opening = max(opening, took)
        else:
            counted += 1
            allocating += 1 if took else 0
            gained += took
            largest = max(largest, took)
        for _ in range(5):
            run.journal.idle()
    answer(
        {
            "appends": counted,
            "allocating": allocating,
            "bytes": gained,
            "largest": largest,
            "opening": opening,
            "held": run.held,
            "word_bits": _word_bits(),
            "control": _control(),
        }
    )


main()
