"""A virtual transceiver for CPython: what Adafruit's driver asks of `busio` and `digitalio`."""

import time
from collections.abc import Callable
from typing import Any

from hil.virtual_board.antenna import Antenna
from hil.virtual_board.sx1276 import Sx1276


class Bus:
    """busio.SPI with one chip on it."""

    def __init__(self, chip: Sx1276) -> None:
        self._chip = chip

    def try_lock(self) -> bool:
        return True

    def unlock(self) -> None:
        pass

    def configure(self, baudrate: int, polarity: int, phase: int) -> None:
        if polarity or phase:
            raise ValueError("only mode 0")

    def write(self, buffer: Any, start: int = 0, end: int | None = None) -> None:
        self._chip.write(memoryview(buffer)[start : len(buffer) if end is None else end])

    def readinto(self, buffer: Any, start: int = 0, end: int | None = None) -> None:
        self._chip.readinto(memoryview(buffer)[start : len(buffer) if end is None else end])


class Wire:
    """digitalio.DigitalInOut as an output that one line of the chip listens to."""

    def __init__(self, listener: Callable[[int], None]) -> None:
        self._listener = listener
        self._value = True

    def switch_to_output(self, value: bool = False) -> None:
        self.value = value

    @property
    def value(self) -> bool:
        return self._value

    @value.setter
    def value(self, level: bool) -> None:
        self._value = level
        self._listener(int(level))


class RadioPlug:
    """One transceiver in the rig's air: `bus`, `select` and `reset` are the driver's arguments."""

    def __init__(self, port: int, name: str) -> None:
        self._antenna = Antenna(port, name)
        self.chip = Sx1276(self._antenna, lambda: time.monotonic_ns() // 1000)
        self.bus = Bus(self.chip)
        self.select = Wire(self.chip.select)
        self.reset = Wire(self.chip.reset)

    def close(self) -> None:
        self._antenna.close()
