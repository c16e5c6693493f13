"""A NOR chip that has grown old: bits that stick, sectors that no longer program or erase.

Runs on MicroPython and on CPython, like the strict chip it builds on.
"""

import errno

from hil.virtual_board.nor import NorChip, Random

# How a worn sector fails
PROGRAM_WEAK = 1  # a program says nothing and leaves bits uncleared
PROGRAM_REFUSED = 2  # a program raises OSError
ERASE_WEAK = 4  # an erase says nothing and leaves bytes of zeros
ERASE_REFUSED = 8  # an erase raises OSError


class WornChip(NorChip):
    """A NorChip with faults, which a test sets.

    sectors  dictionary: sector of the chip -> one or more of the constants above
    stuck    dictionary: byte of the chip -> (bits that read as 1, bits that read as 0)
    weak     out of 65536 programs anywhere, how many leave bits uncleared
    failed   programs and erases that did not do what they were asked
    """

    def __init__(self, store, size, **options):
        super().__init__(store, size, **options)
        self.sectors = {}
        self.stuck = {}
        self.weak = 0
        self.failed = 0
        self._dice = Random(size)

    def read(self, offset, buffer):
        super().read(offset, buffer)
        for place in self.stuck:
            if offset <= place < offset + len(buffer):
                ones, zeros = self.stuck[place]
                buffer[place - offset] = (buffer[place - offset] | ones) & ~zeros & 0xFF

    def program(self, offset, data):
        fault = self.sectors.get(offset // self.erase_size, 0)
        if fault & PROGRAM_REFUSED:
            self.failed += 1
            raise OSError(errno.EIO)
        if fault & PROGRAM_WEAK or self._dice.below(65536) < self.weak:
            self.failed += 1
            weak = bytearray(len(data))
            self._io.read(offset, weak)
            for index in range(len(data)):
                weak[index] &= data[index] | self._dice.below(256)
            data = weak
        super().program(offset, data)

    def erase(self, sector):
        fault = self.sectors.get(sector, 0)
        if fault & ERASE_REFUSED:
            self.failed += 1
            raise OSError(errno.EIO)
        super().erase(sector)
        if fault & ERASE_WEAK:
            self.failed += 1
            for _ in range(3):
                place = sector * self.erase_size + self._dice.below(self.erase_size)
                self._io.write(place, b"\x00")
