"""`machine` as far as the firmware asks: UARTs with the world's lines, pins, a watchdog."""

from hil.bench.on_micropython.whole import world

PWRON_RESET = 1


def reset_cause():
    return PWRON_RESET


def reset():
    raise RuntimeError("machine.reset")


class Pin:
    IN = 0
    OUT = 1
    PULL_UP = 2

    def __init__(self, id, mode=-1, pull=-1, value=0):
        self._value = value

    def on(self):
        self._value = 1

    def off(self):
        self._value = 0

    def value(self, value=None):
        if value is None:
            return self._value
        self._value = value


class UART:
    """A UART with the world's device. Its receive buffer is the port's, as on ESP32."""

    def __init__(self, id, rxbuf=256, **options):
        self._line = world.lines[id]

    def readinto(self, window):
        return self._line.readinto(window)

    def write(self, data):
        self._line.hear(data)
        return len(data)

    def flush(self):
        pass


class WDT:
    """A watchdog that does not bite: here time jumps."""

    def __init__(self, id=0, timeout=5000):
        self._timeout = timeout

    def feed(self):
        pass


class RTC:
    def datetime(self, fields=None):
        return (2000, 1, 1, 5, 0, 0, 0, 0)
