"""A pin with a contact on it, as if it were a UART that sends a sample every 20 ms."""

import time

from micropython import const

from bridge.core.protocols.nurse_call import SAMPLE_MS

_ZERO = const(0x30)


class ContactPin:
    """What UartLine needs of a UART; samples that were missed in a stall are those of its end.

    pin  a machine.Pin with a pull-up: a closed contact reads 0
    """

    def __init__(self, pin):
        self._pin = pin
        self._then_ms = time.ticks_ms()

    def readinto(self, buffer):
        """Return the number of samples put into `buffer`, None when none is due."""
        due = time.ticks_diff(time.ticks_ms(), self._then_ms) // SAMPLE_MS
        count = min(due, len(buffer))
        if count <= 0:
            return None
        self._then_ms = time.ticks_add(self._then_ms, count * SAMPLE_MS)
        sample = _ZERO + (1 - self._pin.value())
        for index in range(count):
            buffer[index] = sample
        return count

    def write(self, data):
        """Send nothing: there is nobody to hear it."""
        return len(data)
