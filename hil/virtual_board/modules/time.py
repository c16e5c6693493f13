"""The built-in `time`, as on a board: ticks wrap at 2**30, the clock starts years ago.

`asyncio` was imported before this shadow and keeps the built-in ticks, which its scheduler needs.
Epoch and first date are those of the board's port; field count and UTC are the same on all
(ports/esp32/modtime.c).
"""

import sys

_path = list(sys.path)
sys.path[:] = []
from time import *  # noqa: E402, F403

sys.path[:] = _path

import vboard  # noqa: E402

_PERIOD = 1 << 30
_HALF = 1 << 29
_EPOCH_S = vboard.settings["epoch_s"]  # the port's, in seconds since 1970, as all here with _s

_real_ticks_ms = ticks_ms  # noqa: F405
_real_ticks_us = ticks_us  # noqa: F405
_real_gmtime = gmtime  # noqa: F405
_real_mktime = mktime  # noqa: F405
_power_on_ms = _real_ticks_ms()
_start_ms = vboard.settings["ticks_start_ms"]
_rtc_ms = (vboard.settings["power_on_s"] - _EPOCH_S) * 1000  # what the clock showed at power-on
_bite = None  # the watchdog's reset, once there is one
_bite_at_ms = 0
_pause = None  # what stops Python now and then
_pause_each_ms = 0
_pause_at_ms = 0


def ticks_ms():
    global _pause_at_ms
    now = _real_ticks_ms()
    if _pause is not None and now >= _pause_at_ms:
        _pause_at_ms = now + _pause_each_ms
        _pause()
        now = _real_ticks_ms()
    if _bite is not None and now > _bite_at_ms:
        _bite()
    return (now - _power_on_ms + _start_ms) % _PERIOD


def ticks_us():
    return (_real_ticks_us() - _power_on_ms * 1000 + _start_ms * 1000) % _PERIOD


def ticks_add(ticks, delta):
    return (ticks + delta) % _PERIOD


def ticks_diff(end, start):
    return (end - start + _HALF) % _PERIOD - _HALF


def _now_ms():
    return _real_ticks_ms() - _power_on_ms + _rtc_ms


def time():
    """Return seconds since the port's epoch; every power-on starts at the same date again."""
    return _now_ms() // 1000


def time_ns():
    return _now_ms() * 1000000


def gmtime(seconds=None):
    return _real_gmtime((time() if seconds is None else seconds) + _EPOCH_S)[:8]


localtime = gmtime


def mktime(fields):
    # The rig starts the board in UTC, so the built-in's local time is UTC as well.
    return int(_real_mktime(fields)) - _EPOCH_S


def set_rtc(seconds):
    """What machine.RTC does: the time since the epoch is now `seconds`."""
    global _rtc_ms
    _rtc_ms += seconds * 1000 - _now_ms()


def utc_s():
    """Return what the board takes for UTC, in seconds since 1970."""
    return time() + _EPOCH_S


def set_watchdog(timeout_ms, bite):
    """What machine.WDT does at each feed: the first look at the time after it calls `bite()`."""
    global _bite, _bite_at_ms
    _bite_at_ms = _real_ticks_ms() + timeout_ms
    _bite = bite


def set_pause(each_ms, pause):
    """Have `pause()` called by looks at the time, as a collection comes in the midst of Python."""
    global _pause, _pause_each_ms
    _pause = pause
    _pause_each_ms = each_ms
