"""What carrying one run of the log from flash to a socket allocates, and whether it is copied.

The real forwarder sends the sectors of a real journal. The medium and the session allocate
nothing themselves, and the collector is off, so what the heap has gained is what a run took. Were
the log's bytes copied anywhere, a long run would take more than a short one.
"""

import asyncio
import gc
import os

from bridge.core import mqtt
from bridge.core.journal.layout import SECTOR_SIZE
from bridge.core.wire import RUN_BYTES_MAX
from bridge.uplink.forward import Forwarder, Site
from hil.bench.on_micropython.chip import PlainChip
from hil.bench.on_micropython.gateway import CLASS, KEY_BLOCKS, Gateway
from hil.bench.on_micropython.job import Job, answer

_SECTORS = 12
_CLOSED = 6
_SECOND_MS = 1000
_SHORT = 64  # bytes of a run that is compared with one of RUN_BYTES_MAX


class _Config:
    window_bytes = 16384
    heartbeat_ms = 2000
    receipt_wait_ms = 3500
    peer_silent_ms = 5000


class _World:
    """What a forwarder is given; here it is asked for the journal alone."""

    def __init__(self, journal, identity, clock):
        self.journal = journal
        self.identity = identity
        self.clock = clock
        self.counters = self.links = None

    def stored(self, cls, number):
        pass


class _Session:
    """Takes every packet at once, as a socket with room does."""

    def __init__(self):
        self.packet = None
        self.sent = 0
        self._id = 0

    async def next_id(self):
        self._id = self._id % mqtt.WINDOW + 1
        return self._id

    async def write(self, packet):
        self.packet = packet
        self.sent += 1


def _fill(job):
    chip = PlainChip((KEY_BLOCKS + _SECTORS) * SECTOR_SIZE)
    gateway = Gateway(chip, os.urandom, job.extras)
    gateway.provision()
    ring = gateway.unlock()
    journal, clock = gateway.mount(ring)
    number = 0
    while journal.newest(CLASS)[0] < _CLOSED:
        clock.now_ms += _SECOND_MS
        journal.observation(CLASS, 0, job.observation(number), clock.now_ms)
        journal.commit(CLASS)
        journal.idle()
        number += 1
    return journal, ring.identity, clock


async def _send(forwarder, session, count):
    """Send `count` bytes from many places; returns what each run of them allocated."""
    runs = []
    for number in range(_CLOSED):
        for offset in range(0, SECTOR_SIZE, RUN_BYTES_MAX):
            runs.append((CLASS, number, offset, count))
    took = []
    for run in runs:
        forwarder.sender.flights.clear()
        gc.collect()
        gc.disable()
        before = gc.mem_alloc()
        await forwarder._send_run(session, run)
        took.append(gc.mem_alloc() - before)
        gc.enable()
    return took


def main():
    job = Job()
    journal, identity, clock = _fill(job)
    site = Site(0, "primary", "127.0.0.1", 1883, b"site---1", b"k" * 32, None)
    forwarder = Forwarder(site, _Config, _World(journal, identity, clock))
    session = _Session()
    long = asyncio.run(_send(forwarder, session, RUN_BYTES_MAX))
    short = asyncio.run(_send(forwarder, session, _SHORT))
    # What the session was given is the forwarder's one buffer, if a change there shows here.
    was = session.packet[0]
    forwarder._packet[0] ^= 0xFF
    shared = session.packet[0] != was
    answer({"runs": len(long), "long": max(long), "short": max(short), "shared": shared})


main()
