"""`rp2.Flash` as the RP2 port has it (ports/rp2/rp2_flash.c), on a strict NOR chip.

The port hands on what it is given: the boot ROM rounds a length up and reads past the buffer, and
addresses are not looked at. What would program stray bytes or reach outside its part on a board
raises ValueError here, which no firmware expects.
"""

from hil.virtual_board.nor import ERASE_SIZE, PAGE_SIZE


class Rp2Flash:
    """A part of the storage area.

    chip   a NorChip with program_unit 256: the storage area
    start  bytes, -1 for 0
    size   bytes, -1 for all behind `start`

    Raises ValueError where the port does: a part outside, or not of whole sectors
    """

    def __init__(self, chip, start=-1, size=-1):
        if start == -1:
            start = 0
        elif not 0 <= start < chip.size or start % ERASE_SIZE:
            raise ValueError
        if size == -1:
            size = chip.size - start
        elif size <= 0 or start + size > chip.size or size % ERASE_SIZE:
            raise ValueError
        self._chip = chip
        self._start = start
        self._size = size

    def readblocks(self, block, buffer, offset=0):
        self._chip.read(self._place(block, offset, len(buffer)), buffer)

    def writeblocks(self, block, buffer, offset=None):
        """Program whole pages from RAM; without an offset, erase whole sectors first."""
        size = len(buffer)
        place = self._place(block, offset or 0, size)
        if place % PAGE_SIZE or size % PAGE_SIZE:
            raise ValueError("program of %d bytes at 0x%x, want whole pages" % (size, place))
        try:
            buffer[0] = buffer[0]
        except TypeError:
            raise ValueError("program from a buffer that may lie in flash, want one in RAM")
        if offset is None:
            if size % ERASE_SIZE:
                raise ValueError("erase of %d bytes, want whole sectors" % size)
            for done in range(0, size, ERASE_SIZE):
                self._chip.erase((place + done) // ERASE_SIZE)
        self._chip.program(place, buffer)

    def ioctl(self, operation, argument):
        if operation in (1, 2, 3):  # there is nothing to begin, end or flush
            return 0
        if operation == 4:
            return self._size // ERASE_SIZE
        if operation == 5:
            return ERASE_SIZE
        if operation == 6:
            self._chip.erase(self._place(argument, 0, ERASE_SIZE) // ERASE_SIZE)
            return 0
        return None

    def _place(self, block, offset, size):
        place = block * ERASE_SIZE + offset
        if block < 0 or offset < 0 or place + size > self._size:
            raise ValueError("%d bytes at 0x%x, this part has 0x%x" % (size, place, self._size))
        return self._start + place
