"""What the media of our own share: MicroPython's block device over pages that are staged in RAM.

One block is one erase sector. A chip programs within a page, and some ports take whole pages only:
what is to be programmed is laid into a page of ones, because programming a one changes nothing.
"""

import errno

from micropython import const

from bridge.core.errors import MediumError

BLOCK_SIZE = const(4096)
PAGE_SIZE = const(256)

_PAGE_MASK = const(PAGE_SIZE - 1)
_BLOCK_COUNT = const(4)  # operations of ioctl, as vfs.AbstractBlockDev numbers them
_BLOCK_SIZE = const(5)
_BLOCK_ERASE = const(6)


class Blocks:
    """A part of a NOR medium as a block device; `readblocks` and `writeblocks` allocate nothing.

    start, size  bytes, multiples of BLOCK_SIZE; raises MediumError when they are not

    A medium provides three methods, whose addresses count from its own first byte:

    _read(address, buffer)             fill `buffer`
    _program(address, at, count)       program page[at : at + count], which belongs to
                                       address + at; `address` is that of a page
    _erase(address)                    erase one block

    Each raises OSError, and has done its work when it returns.
    """

    def __init__(self, start, size):
        if start < 0 or size <= 0 or start % BLOCK_SIZE or size % BLOCK_SIZE:
            raise MediumError(
                "medium: %d bytes at %d, want multiples of %d" % (size, start, BLOCK_SIZE)
            )
        self.page = bytearray(b"\xff" * PAGE_SIZE)  # all ones between two programs
        self._start = start
        self._size = size

    def readblocks(self, block, buffer, offset=0):
        self._read(self._address(block, offset, len(buffer)), buffer)

    def writeblocks(self, block, buffer, offset=None):
        """Program `buffer`. With an offset nothing is erased, without one its blocks are first.

        Bytes may be programmed again as long as bits are only cleared. A byte of 0xFF
        changes nothing.
        """
        size = len(buffer)
        if offset is None:
            address = self._address(block, 0, size)
            if size % BLOCK_SIZE:
                raise OSError(errno.EINVAL)
            for done in range(0, size, BLOCK_SIZE):
                self._erase(address + done)
        else:
            address = self._address(block, offset, size)
        done = 0
        while done < size:
            at = address + done & _PAGE_MASK
            count = min(PAGE_SIZE - at, size - done)
            self._write_page(address + done - at, at, buffer, done, count)
            done += count

    def _write_page(self, address, at, buffer, first, count):
        # Callers pad with ones, up to into the next page: what holds nothing else is not sent.
        while count and buffer[first] == 0xFF:
            first += 1
            at += 1
            count -= 1
        if not count:
            return
        page = self.page
        for index in range(count):
            page[at + index] = buffer[first + index]
        try:
            self._program(address, at, count)
        finally:
            for index in range(at, at + count):
                page[index] = 0xFF

    def ioctl(self, operation, argument):
        """Answer BLOCK_COUNT (4) and BLOCK_SIZE (5), erase a block (6); None to anything else."""
        if operation == _BLOCK_COUNT:
            return self._size // BLOCK_SIZE
        if operation == _BLOCK_SIZE:
            return BLOCK_SIZE
        if operation == _BLOCK_ERASE:
            self._erase(self._address(argument, 0, BLOCK_SIZE))
            return 0
        return None

    def _address(self, block, offset, size):
        # The ports do not look: an address outside would reach another part of the chip.
        place = block * BLOCK_SIZE + offset
        if block < 0 or offset < 0 or place + size > self._size:
            raise OSError(errno.EINVAL)
        return self._start + place
