"""One driver on its own traffic: its heap, what it allocates for a frame, and its speed.

Runs on the unix port and, for the heap, on 32 bits. An order has `name`, `options`, `turns` (the
milliseconds of each turn of a line and the bytes that it found, in hexadecimal) and `repeats`.
"""

import gc
import json
import time

from bridge.core.events import Damage
from bridge.core.protocols import PROTOCOLS, make_decoder

_WARM = 4  # of so many parts the first is not counted: sessions begin there
_COUNTED = 400  # turns whose allocations are counted: each needs looks at the whole heap


class Pass:
    """The traffic, as a line hands it to a driver; each pass has a driver that starts anew."""

    def __init__(self, turns):
        self._turns = turns
        self._decoder = None
        self.frames = self.size = self.damaged = self.us = 0

    def begin(self, decoder):
        self._decoder = decoder

    def run(self, first, last):
        """Go through some of the turns."""
        decoder = self._decoder
        start_us = time.ticks_us()
        for now_ms, data in self._turns[first:last]:
            self._feed(data)
            decoder.next_request(now_ms)
        self.us += time.ticks_diff(time.ticks_us(), start_us)

    def _feed(self, data):
        rx = self._decoder.rx
        self.size += len(data)
        taken = rx.feed(data)
        while True:
            self.drain()
            if taken == len(data):
                return
            data = data[taken:]
            taken = rx.feed(data)

    def drain(self):
        next_event = self._decoder.next_event
        event = next_event()
        while event is not None:
            if isinstance(event, Damage):
                self.damaged += event.count
            else:
                self.frames += 1
            event = next_event()

    def count_allocated(self, first, last):
        """Return the bytes that the driver allocates in some turns, and their frames."""
        decoder = self._decoder
        meter, request_meter = self._meters()
        before_frames = self.frames
        total = 0
        for now_ms, data in self._turns[first:last]:
            for start in range(0, len(data), 64):
                decoder.rx.feed(data[start : start + 64])
                gc.disable()
                before = gc.mem_alloc()
                self.drain()
                total += gc.mem_alloc() - before - meter
                gc.enable()
            gc.disable()
            before = gc.mem_alloc()
            decoder.next_request(now_ms)
            total += gc.mem_alloc() - before - request_meter
            gc.enable()
        return total, self.frames - before_frames

    def _meters(self):
        """Return what the meter itself allocates: around events, around a request."""
        gc.disable()
        before = gc.mem_alloc()
        self.drain()
        events = gc.mem_alloc() - before
        before = gc.mem_alloc()
        self._nothing(1)
        request = gc.mem_alloc() - before
        gc.enable()
        return events, request

    def _nothing(self, now_ms):
        pass


def main(order):
    """Print what was found as a line of JSON."""
    name = order["name"]
    __import__(PROTOCOLS[name][0])
    make_decoder(name, order["options"])  # its code has been run once
    gc.collect()
    before = gc.mem_alloc()
    decoder = make_decoder(name, order["options"])
    heap = gc.mem_alloc() - before
    turns = [(now_ms, bytes.fromhex(data)) for now_ms, data in order["turns"]]
    count = len(turns)
    warm = count // _WARM
    work = Pass(turns)
    work.begin(decoder)
    work.run(0, warm)
    allocated, frames = work.count_allocated(warm, warm + _COUNTED)
    work.size = work.us = 0
    for _ in range(order["repeats"]):
        work.begin(make_decoder(name, order["options"]))
        work.run(0, count)
    print(
        json.dumps(
            {
                "heap": heap,
                "allocated": allocated,
                "frames": frames,
                "size": work.size,
                "us": work.us,
                "damaged": work.damaged,
                "all_frames": work.frames,
            }
        )
    )
