"""The built-in `machine` and what boards add: resets, watchdog, clock, pins, buses."""

import sys

_path = list(sys.path)
sys.path[:] = []
from machine import *  # noqa: E402, F403

sys.path[:] = _path

import os  # noqa: E402
import time  # noqa: E402

import vboard  # noqa: E402
from spi import SPI  # noqa: E402, F401
from uart import UART  # noqa: E402, F401

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5

_CAUSES = {
    "power-on": PWRON_RESET,
    "hard": HARD_RESET,
    "watchdog": WDT_RESET,
    "deep-sleep": DEEPSLEEP_RESET,
    "soft": SOFT_RESET,
}


def _end(cause):
    """End this boot at once: no `finally` and no `except` of the firmware runs after a reset."""
    vboard.tell("reset", cause)
    os.system("kill -KILL $PPID")
    while True:
        time.sleep(1)


def reset_cause():
    return _CAUSES[vboard.settings["reset_cause"]]


def reset():
    _end("hard")


def soft_reset():
    _end("soft")


def bootloader(timeout=0):
    _end("bootloader")


def unique_id():
    return bytes.fromhex(vboard.settings["unique_id"])


def freq(hertz=None):
    return 240000000


class Pin:
    """machine.Pin: a value, told to what is connected to the pin, if anything is.

    The switch `pin-<number>` is what the rig has put on an input.
    """

    IN = 0
    OUT = 1
    OPEN_DRAIN = 2
    PULL_DOWN = 1
    PULL_UP = 2

    def __init__(self, id, mode=-1, pull=-1, value=None):
        self.id = id
        self._is_input = mode == self.IN
        pulled = 1 if self._is_input and pull == self.PULL_UP else 0
        self._set(pulled if value is None else value)

    def init(self, mode=-1, pull=-1, value=None):
        self.value(value)

    def value(self, value=None):
        if value is None:
            put = vboard.read_switch("pin-%s" % self.id) if self._is_input else ""
            return int(put) if put else self._value
        self._set(value)

    __call__ = value

    def on(self):
        self._set(1)

    def off(self):
        self._set(0)

    def _set(self, value):
        self._value = 1 if value else 0
        if self.id in vboard.pins:
            vboard.pins[self.id](self._value)


class _Registers:
    """machine.mem32 of the chip: what was written last, and nothing of this computer's memory."""

    def __init__(self):
        self._words = {}

    def __getitem__(self, address):
        return self._words.get(address, 0)

    def __setitem__(self, address, word):
        self._words[address] = word


mem32 = _Registers()


class WDT:
    """machine.WDT; it cannot be stopped.

    A late feed bites, and so does the first look at time.ticks_ms() after the time is over. A
    firmware that hangs without either is not reset here, as it would be on a board.
    """

    def __init__(self, id=0, timeout=5000):
        self._timeout = timeout
        time.set_watchdog(timeout, _bite)

    def feed(self):
        time.ticks_ms()
        time.set_watchdog(self._timeout, _bite)


def _bite():
    _end("watchdog")


class RTC:
    """machine.RTC: (year, month, day, weekday, hours, minutes, seconds, microseconds)."""

    def datetime(self, fields=None):
        if fields is None:
            year, month, day, hour, minute, second, weekday, _ = time.gmtime()
            return year, month, day, weekday, hour, minute, second, 0
        year, month, day, _, hour, minute, second, _ = fields
        time.set_rtc(time.mktime((year, month, day, hour, minute, second, 0, 0, 0)))
