"""The built-in time with simulated ticks."""

# ruff: noqa: F403
import sys

_path = sys.path[:]
sys.path.clear()
from time import *  # noqa: E402

sys.path.extend(_path)

from hil.bench.on_micropython.whole import world  # noqa: E402

# A run stays far from 2**30, where ticks wrap; arithmetic with that number would allocate here,
# which the built-in does not.


def ticks_ms():
    return world.now_ms


def ticks_us():
    return world.now_ms * 1000


def ticks_add(ticks, delta):
    return ticks + delta


def ticks_diff(end, start):
    return end - start


def sleep_ms(duration_ms):
    world.now_ms += duration_ms


def time():
    """Return seconds since 2000, where every power-on starts again."""
    return world.now_ms // 1000


def time_ns():
    return world.now_ms * 1000000
