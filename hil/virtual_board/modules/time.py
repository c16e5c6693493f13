"""The built-in `time`, as on a board: ticks wrap at 2**30, the clock starts in 2000.

`asyncio` was imported before this shadow and keeps the built-in ticks, which its scheduler needs.
Epoch, field count and UTC are those of the ESP32 port (ports/esp32/modtime.c).
"""

import sys

_path = list(sys.path)
sys.path[:] = []
from time import *  # noqa: E402, F403

sys.path[:] = _path

import vboard  # noqa: E402

_PERIOD = 1 << 30
_HALF = 1 << 29
_EPOCH_2000 = 946684800  # seconds from 1970, the epoch of the unix port, to that of ESP32

_real_ticks_ms = ticks_ms  # noqa: F405
_real_ticks_us = ticks_us  # noqa: F405
_real_gmtime = gmtime  # noqa: F405
_real_mktime = mktime  # noqa: F405
_power_on_ms = _real_ticks_ms()
_start_ms = vboard.settings["ticks_start_ms"]
_rtc_ms = 0  # what machine.RTC added to the time since power-on
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
    """Return seconds since 2000-01-01, where every power-on starts again."""
    return _now_ms() // 1000


def time_ns():
    return _now_ms() * 1000000


def gmtime(seconds=None):
    return _real_gmtime((time() if seconds is None else seconds) + _EPOCH_2000)[:8]


localtime = gmtime


def mktime(fields):
    # The rig starts the board in UTC, so the built-in's local time is UTC as well.
    return int(_real_mktime(fields)) - _EPOCH_2000


def set_rtc(seconds):
    """What machine.RTC does: the time since 2000 is now `seconds`."""
    global _rtc_ms
    _rtc_ms += seconds * 1000 - _now_ms()


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
