"""`machine.SPI` and the chip on it that the board's wiring names: a W25Q flash, an SX1276 radio.

The chip works at its own pace (hil/virtual_board); a transfer takes no time here. The radio is in
the air where the rig has one, and otherwise its place on the bus is empty.
"""

import time

import vboard
import vflash

from hil.virtual_board.nor import PAGE_SIZE
from hil.virtual_board.w25q import W25q

_chips = {}  # by bus and select pin


class _Microseconds:
    """A count that never goes back, from ticks that wrap every 18 minutes."""

    def __init__(self):
        self._ticks = time.ticks_us()
        self._total = 0

    def now(self):
        ticks = time.ticks_us()
        self._total += max(0, time.ticks_diff(ticks, self._ticks))
        self._ticks = ticks
        return self._total


def _solder(bus):
    """Connect the chip that the wiring names, if there is one on this bus; return it."""
    import wiring  # which a board has that was provisioned

    for place in (wiring.JOURNAL, wiring.KEYS):
        if place["medium"] == "spi_nor" and place["spi"] == bus:
            key = (bus, place["cs"])
            if key not in _chips:
                chip = vflash.open_chip(PAGE_SIZE, None)
                _chips[key] = W25q(chip, _Microseconds().now)
                vboard.pins[place["cs"]] = _chips[key].select
            return _chips[key]
    place = getattr(wiring, "RADIO", None)
    if place is not None and place["spi"] == bus and "radio" in vboard.settings:
        key = (bus, place["cs"])
        if key not in _chips:
            from hil.virtual_board.antenna import Antenna
            from hil.virtual_board.sx1276 import Sx1276

            settings = vboard.settings["radio"]
            antenna = Antenna(settings["port"], settings["name"])
            _chips[key] = Sx1276(antenna, _Microseconds().now)
            vboard.pins[place["cs"]] = _chips[key].select
            vboard.pins[place["reset"]] = _chips[key].reset
        return _chips[key]
    return None


class SPI:
    """machine.SPI, controller side, mode 0, first bit first."""

    MSB = 0

    def __init__(self, id, baudrate=1000000, **options):
        if options.get("polarity", 0) or options.get("phase", 0):
            raise ValueError("only mode 0")
        self._device = _solder(id)

    def init(self, **options):
        pass

    def deinit(self):
        pass

    def write(self, data):
        if self._device is not None:
            self._device.write(data)

    def readinto(self, buffer, write=0x00):
        if self._device is not None:
            self._device.readinto(buffer, write)
        else:
            for index in range(len(buffer)):
                buffer[index] = 0xFF

    def read(self, size, write=0x00):
        data = bytearray(size)
        self.readinto(data, write)
        return bytes(data)
