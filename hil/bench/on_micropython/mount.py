"""What a mount reads, takes and keeps in memory, of full logs of several sizes."""

import gc

from hil.bench.on_micropython.chip import Meter
from hil.bench.on_micropython.gateway import CLASS
from hil.bench.on_micropython.job import Job, answer

_HOUR_MS = 3600001
_RECORDS = 40  # in the open sector, when the power goes


def _fill(job, gateway):
    """Use every sector of a log: each is closed when it is an hour old."""
    journal, clock = gateway.boot()
    number = 0
    while journal.pool.unknown:
        journal.observation(CLASS, 0, job.observation(number), clock.now_ms)
        clock.now_ms += _HOUR_MS
        journal.idle()
        journal.idle()
        number += 1
    for _ in range(_RECORDS):
        journal.observation(CLASS, 0, job.observation(number), clock.now_ms)
        journal.commit(CLASS)
        number += 1


def _mount(gateway, chip):
    gc.collect()
    held = gc.mem_alloc()
    began = chip.bytes_read
    meter = Meter(chip)
    meter.start()
    ring = gateway.unlock()
    unlocked = chip.bytes_read
    journal, _ = gateway.mount(ring)
    meter.stop()
    read = chip.bytes_read - unlocked
    gc.collect()
    held = gc.mem_alloc() - held
    return {
        "us": meter.us,
        "keys_read": unlocked - began,
        "log_read": read,
        "held": held,
        "number": journal.newest(CLASS)[0],
    }


def main():
    job = Job()
    found = []
    for sectors in job.order["sectors"]:
        chip, gateway = job.gateway("log%d.bin" % sectors, sectors)
        _fill(job, gateway)
        # The first still finds what the filling left in memory, and is not counted.
        mounts = [_mount(gateway, chip) for _ in range(job.order["repeats"] + 1)][1:]
        found.append({"sectors": sectors, "mounts": mounts})
    answer({"logs": found})


main()
