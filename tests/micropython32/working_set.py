"""What a log keeps in memory, in bytes, as one line of JSON.

mounted   after recovery
at_work   with a monitor of 18 parameters and one waveform
and_more  and a ventilator of 57 parameters

In steps, which the runner calls one by one: MicroPython on WebAssembly collects only between them.
"""

import gc
import json
import sys

from tests.support.heap import LargeFlash, Ward

_SECTORS = (256, 1024)
_REAL = 24

found = {"word_bits": 32 if sys.maxsize == 0x7FFFFFFF else 64}
held = []
_before = 0


def _settle():
    gc.collect()


def _make(sectors):
    held.clear()
    held.append(Ward(LargeFlash(sectors, _REAL)))


def _mark():
    global _before
    _before = gc.mem_alloc()


def _boot():
    held[0].boot()


def _monitor():
    for number in range(40):
        held[0].append_monitor(number)
        held[0].append_wave(number)


def _ventilator():
    for number in range(40):
        held[0].append_ventilator(number)


def _note(name):
    found[name] = gc.mem_alloc() - _before


phases = []
for _sectors in _SECTORS:
    phases += [lambda sectors=_sectors: _make(sectors), _settle, _mark]
    for _name, _step in (("mounted", _boot), ("at_work", _monitor), ("and_more", _ventilator)):
        phases += [_step, _settle, lambda name="%s_%d" % (_name, _sectors): _note(name)]
phases.append(lambda: print(json.dumps(found)))

if sys.platform != "webassembly":
    while phases:
        phases.pop(0)()
