"""The built-in `machine` and what an ESP32 adds: UART, Pin, WDT, RTC, resets.

A UART is a pseudo-terminal of the rig. What the port buffers is bounded as on a board: bytes that
come while the firmware's Python stands still fill the ring of `rxbuf` bytes, and those beyond it
are dropped without a word to the firmware. The rig is told how many.
"""

import sys

_path = list(sys.path)
sys.path[:] = []
from machine import *  # noqa: E402, F403

sys.path[:] = _path

import io  # noqa: E402
import termios  # noqa: E402
import time  # noqa: E402

import vboard  # noqa: E402

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5

WDT_EXIT = 70  # exit code of a board that its watchdog reset
RESET_EXIT = 71

_CAUSES = {
    "power-on": PWRON_RESET,
    "hard": HARD_RESET,
    "watchdog": WDT_RESET,
    "soft": SOFT_RESET,
}
_FIFO = 128
_VMIN = 6
_VTIME = 5
_POLL = 3
_FILENO = 10


def reset_cause():
    return _CAUSES[vboard.settings["reset_cause"]]


def reset():
    sys.exit(RESET_EXIT)


def unique_id():
    return bytes.fromhex(vboard.settings["unique_id"])


class UART(io.IOBase):
    """machine.UART over a pseudo-terminal; timeout=0 is assumed, as the firmware asks for."""

    INV_TX = 1
    INV_RX = 2

    def __init__(self, id, baudrate=9600, bits=8, parity=None, stop=1, **options):
        self._file = open(vboard.settings["uarts"][str(id)], "r+b", 0)
        fd = self._file.fileno()
        termios.setraw(fd)
        attributes = termios.tcgetattr(fd)
        attributes[6][_VMIN] = 0
        attributes[6][_VTIME] = 0
        termios.tcsetattr(fd, termios.TCSANOW, attributes)
        self._character_us = 1000000 * (1 + bits + (parity is not None) + stop) // baudrate
        self._ring = bytearray(options.get("rxbuf", 256) + _FIFO)
        self._view = memoryview(self._ring)
        self._count = 0
        self._spare = bytearray(256)
        self.overruns = 0
        # What came before the port was opened was never received.
        while self._file.readinto(self._spare):
            pass

    def _pump(self):
        spare = self._spare
        while True:
            count = self._file.readinto(spare)
            if not count:
                return
            room = min(count, len(self._ring) - self._count)
            self._view[self._count : self._count + room] = memoryview(spare)[:room]
            self._count += room
            if room < count:
                self.overruns += count - room
                vboard.tell("overruns", str(self.overruns))

    def any(self):
        self._pump()
        return self._count

    def readinto(self, buffer, size=None):
        """Return the bytes taken, None when nothing has come."""
        self._pump()
        count = min(len(buffer) if size is None else size, self._count)
        if not count:
            return None
        memoryview(buffer)[:count] = self._view[:count]
        self._count -= count
        self._view[: self._count] = self._view[count : count + self._count]
        return count

    def read(self, size=None):
        self._pump()
        data = bytearray(self._count if size is None else min(size, self._count))
        return bytes(data) if data and self.readinto(data) else None

    def write(self, data):
        self._wire_us = self._character_us * len(data)
        return self._file.write(data)

    def flush(self):
        """Wait until the last bit of what was written has left, as the port does."""
        time.sleep_us(self._wire_us)

    def deinit(self):
        self._file.close()

    def ioctl(self, operation, argument):
        if operation == _FILENO:
            return self._file.fileno()
        if operation == _POLL:
            self._pump()
            return argument & (5 if self._count else 4)
        return 0


class Pin:
    """machine.Pin: a value; nothing is connected to it."""

    IN = 0
    OUT = 1
    PULL_UP = 2
    PULL_DOWN = 1

    def __init__(self, id, mode=-1, pull=-1, value=0):
        self.id = id
        self._value = value

    def value(self, value=None):
        if value is None:
            return self._value
        self._value = 1 if value else 0

    __call__ = value

    def on(self):
        self._value = 1

    def off(self):
        self._value = 0


class WDT:
    """machine.WDT; it bites when it is fed too late. A loop that hangs for ever is not seen."""

    def __init__(self, id=0, timeout=5000):
        self._timeout = timeout
        self._fed = time.ticks_ms()

    def feed(self):
        now = time.ticks_ms()
        if time.ticks_diff(now, self._fed) > self._timeout:
            sys.exit(WDT_EXIT)
        self._fed = now


class RTC:
    """machine.RTC: (year, month, day, weekday, hours, minutes, seconds, subseconds)."""

    def datetime(self, fields=None):
        if fields is None:
            year, month, day, hour, minute, second, weekday, _ = time.gmtime()
            return year, month, day, weekday, hour, minute, second, 0
        year, month, day, _, hour, minute, second, _ = fields
        seconds = time.mktime((year, month, day, hour, minute, second, 0, 0))
        time.set_rtc(seconds - 946684800)
