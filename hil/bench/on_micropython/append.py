"""Appends of one observation with a commit each: what each takes, of Python and of the chip.

The log is full when the counting begins, as it is for nearly all of a gateway's life, and its
closed sectors are released, as receipts do. The counting runs from one opening of a sector to
another, so that it covers whole sectors.
"""

from array import array

from hil.bench.on_micropython.chip import Meter, Totals
from hil.bench.on_micropython.gateway import CLASS
from hil.bench.on_micropython.job import Job, answer

_SECTORS = 16
_SECOND_MS = 1000
_HOUR_MS = 3600000
_IDLE_STEPS = 5  # a second, as the firmware's idle job takes
_SECTOR_MAX = 20000  # appends that a sector might hold: the run ends in any case


class Run:
    """A journal that takes an observation a second."""

    def __init__(self, job):
        self.job = job
        self.chip, gateway = job.gateway("append.bin", _SECTORS)
        self.journal, self.clock = gateway.boot()
        self.meter = Meter(self.chip)
        self.done = 0

    def step(self):
        """Append one observation and do a second's idle steps; the append is in the meter."""
        journal, clock, meter = self.journal, self.clock, self.meter
        clock.now_ms += _SECOND_MS
        made = self.job.observation(self.done)
        meter.start()
        journal.observation(CLASS, 0, made, clock.now_ms)
        journal.commit(CLASS)
        meter.stop()
        self.done += 1
        for _ in range(_IDLE_STEPS):
            journal.idle()

    def number(self):
        return self.journal.newest(CLASS)[0]

    def release(self):
        number = self.number()
        if number:
            self.journal.release(CLASS, number - 1)

    def fill(self):
        """Have every sector of the log used: one is closed when it is an hour old."""
        while self.number() < _SECTORS:
            self.step()
            self.clock.now_ms += _HOUR_MS
            for _ in range(_IDLE_STEPS):
                self.journal.idle()
            self.release()

    def align(self):
        """Go on to the opening of a sector."""
        number = self.number()
        while self.number() == number:
            self.step()
        self.release()


def main():
    job = Job()
    count = job.order["count"]
    run = Run(job)
    run.fill()
    run.align()
    took_us, pages, erases, opened = array("I"), array("H"), array("H"), array("I")
    totals = Totals(run.chip)
    number = run.number()
    counted = 0
    while counted < count + _SECTOR_MAX:
        run.step()
        counted += 1
        took_us.append(run.meter.us)
        pages.append(run.meter.pages)
        erases.append(run.meter.erases)
        if run.number() != number:
            number = run.number()
            opened.append(counted - 1)
            run.release()
            if counted >= count:
                break
    facts = totals.as_dict()
    facts["count"] = counted
    facts["us"] = list(took_us)
    facts["pages_of"] = list(pages)
    facts["erases_of"] = list(erases)
    facts["opened"] = list(opened)
    facts["forced_erases"] = run.journal.pool.forced_erases
    answer(facts)


main()
