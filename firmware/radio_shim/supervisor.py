"""`supervisor` for the radio's driver: the one clock it asks for."""

from time import ticks_ms as _ticks_ms

_PERIOD = 1 << 29  # of CircuitPython's ticks; boards wrap theirs at 2**30, a multiple


def ticks_ms():
    return _ticks_ms() % _PERIOD
