"""Chips for measurements on MicroPython: the emulated one with meters, and plain memory."""

import time

from hil.virtual_board.nor import ERASE_SIZE, PAGE_SIZE, NorChip, Partition


class MeteredChip(NorChip):
    """Counts the pages that programs touch, and the time that emulation takes.

    pages     each takes one page program of the data sheet
    model_us  spent in the emulation, which no board spends: to be taken off what was measured
    """

    def __init__(self, store, size):
        super().__init__(store, size)
        self.pages = 0
        self.model_us = 0

    def program(self, offset, data):
        super().program(offset, data)
        self.pages += (offset + len(data) - 1) // PAGE_SIZE - offset // PAGE_SIZE + 1


class MeteredPartition(Partition):
    """A part of a MeteredChip; on boards a block device is not Python either."""

    def readblocks(self, block, buffer, offset=0):
        start = time.ticks_us()
        super().readblocks(block, buffer, offset)
        self._chip.model_us += time.ticks_diff(time.ticks_us(), start)

    def writeblocks(self, block, buffer, offset=None):
        start = time.ticks_us()
        super().writeblocks(block, buffer, offset)
        self._chip.model_us += time.ticks_diff(time.ticks_us(), start)

    def ioctl(self, operation, argument):
        start = time.ticks_us()
        answer = super().ioctl(operation, argument)
        self._chip.model_us += time.ticks_diff(time.ticks_us(), start)
        return answer


class Meter:
    """What one stretch of work cost: call `start` before, `stop` behind it.

    us              of Python, the emulation taken off
    pages, erases   of the chip
    """

    def __init__(self, chip):
        self._chip = chip
        self.us = self.pages = self.erases = 0

    def start(self):
        chip = self._chip
        self.pages = chip.pages
        self.erases = chip.erases
        self.us = chip.model_us
        self._began = time.ticks_us()

    def stop(self):
        took = time.ticks_diff(time.ticks_us(), self._began)
        chip = self._chip
        self.us = took - (chip.model_us - self.us)
        self.pages = chip.pages - self.pages
        self.erases = chip.erases - self.erases


class Totals:
    """What a chip has done since this was made."""

    def __init__(self, chip):
        self._chip = chip
        self._pages = chip.pages
        self._erases = chip.erases
        self._bytes = chip.bytes_programmed

    def as_dict(self):
        chip = self._chip
        return {
            "pages": chip.pages - self._pages,
            "erases": chip.erases - self._erases,
            "bytes": chip.bytes_programmed - self._bytes,
        }


class PlainChip:
    """Bytes without NOR's rules, which are checked elsewhere; no operation allocates."""

    def __init__(self, size):
        self.erase_size = ERASE_SIZE
        self.size = size
        self._data = bytearray(size)
        for index in range(size):
            self._data[index] = 0xFF

    def read(self, offset, buffer):
        data = self._data
        for index in range(len(buffer)):
            buffer[index] = data[offset + index]

    def program(self, offset, new):
        data = self._data
        for index in range(len(new)):
            data[offset + index] &= new[index]

    def erase(self, sector):
        data = self._data
        start = sector * ERASE_SIZE
        for index in range(start, start + ERASE_SIZE):
            data[index] = 0xFF
