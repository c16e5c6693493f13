"""The peer: the same observations as JSON lines, appended to a file on littlefs and flushed.

The same chip, and the file system's settings of MicroPython's ESP32 boards (its defaults).
"""

import json
from array import array

from vfs import VfsLfs2

from hil.bench.on_micropython.chip import Meter, MeteredPartition, Totals
from hil.bench.on_micropython.gateway import DEVICE
from hil.bench.on_micropython.job import Job, answer

_SECTORS = 1024
_SECOND_MS = 1000
_EPOCH_MS = 1790000000000


def _message(job, number):
    labels, decimals = job.order["labels"], job.order["decimals"]
    row = job.rows[number % len(job.rows)]
    message = {"t": _EPOCH_MS + number * _SECOND_MS, "dev": DEVICE}
    for index in range(len(row)):
        value = row[index]
        if value is not None:
            scale = 10 ** decimals[index]
            message[labels[index]] = value / scale if value % scale else value // scale
    return message


def main():
    job = Job()
    chip = job.chip("littlefs.bin", _SECTORS)
    medium = MeteredPartition(chip, 0, chip.size)
    VfsLfs2.mkfs(medium)
    files = VfsLfs2(medium)
    log = files.open("/vitals.jsonl", "ab")
    meter = Meter(chip)
    totals = Totals(chip)
    took_us, pages, erases = array("I"), array("H"), array("H")
    for number in range(job.order["count"]):
        meter.start()
        log.write(json.dumps(_message(job, number), separators=(",", ":")))
        log.write("\n")
        log.flush()
        meter.stop()
        took_us.append(meter.us)
        pages.append(meter.pages)
        erases.append(meter.erases)
    facts = totals.as_dict()
    facts["count"] = len(took_us)
    facts["us"] = list(took_us)
    facts["pages_of"] = list(pages)
    facts["erases_of"] = list(erases)
    log.close()
    facts["stored"] = files.stat("/vitals.jsonl")[6]
    answer(facts)


main()
