"""A strict NOR flash chip: bits go 1 to 0, an erase sets a sector to 1, power may be cut anywhere.

Runs on MicroPython (in the virtual board) and on CPython (in tests and the rig).
"""

import errno
from array import array

ERASE_SIZE = 4096
PAGE_SIZE = 256

_EIO = 5


class PowerCut(BaseException):
    """The power is gone. No firmware survives that, so none may catch it as an Exception."""


class FileStore:
    """A chip's contents in a file; what was written survives a SIGKILL of the process."""

    def __init__(self, path, size):
        try:
            self._file = open(path, "r+b")
        except OSError:
            with open(path, "wb") as file:
                for _ in range(size // ERASE_SIZE):
                    file.write(b"\xff" * ERASE_SIZE)
            self._file = open(path, "r+b")

    def read(self, offset, buffer):
        self._file.seek(offset)
        self._file.readinto(buffer)

    def write(self, offset, data):
        self._file.seek(offset)
        self._file.write(data)
        self._file.flush()


class RamStore:
    """A chip's contents in memory."""

    def __init__(self, data):
        self._view = memoryview(data)

    def read(self, offset, buffer):
        buffer[:] = self._view[offset : offset + len(buffer)]

    def write(self, offset, data):
        self._view[offset : offset + len(data)] = data


class Random:
    """A small repeatable generator, the same on both interpreters (xorshift, 32 bits)."""

    def __init__(self, seed):
        self._state = (seed * 2654435761 + 88172645463325252) & 0xFFFFFFFF or 1

    def below(self, limit):
        state = self._state
        state ^= state << 13 & 0xFFFFFFFF
        state ^= state >> 17
        state ^= state << 5 & 0xFFFFFFFF
        self._state = state
        return state % limit


class Timing:
    """What operations take, in milliseconds, and how the board waits for them (W25Q64JV)."""

    def __init__(self, sleep_ms, program_page_ms=0.7, erase_ms=45):
        self.sleep_ms = sleep_ms
        self.program_page_ms = program_page_ms
        self.erase_ms = erase_ms


class NorChip:
    """One chip.

    store         bytearray of `size` bytes, or a FileStore
    program_unit  1 (byte-granular, as ESP32) or 256 (whole pages only, as RP2)
    timing        a Timing, or None for an instant chip
    on_cut        called with no argument at the instant the power goes, before PowerCut
    """

    def __init__(self, store, size, program_unit=1, timing=None, on_cut=None):
        self.store = store
        self.size = size
        self.program_unit = program_unit
        self.wear = array("I", bytes(4 * (size // ERASE_SIZE)))
        self.programs = 0
        self.erases = 0
        self.reads = 0
        self.bytes_programmed = 0
        self.bytes_read = 0
        self.violations = 0  # attempts to turn a 0 into a 1 without an erase
        self._io = RamStore(store) if isinstance(store, bytearray) else store
        self._timing = timing
        self._on_cut = on_cut
        self._left = -1  # operations until the power is cut, -1 for never
        self._random = None
        self._off = False

    # --- power ---

    def cut_after(self, operations, seed):
        """Cut the power in the midst of the operation of that number from now, 1 for the next."""
        self._left = operations
        self._random = Random(seed)

    def power_on(self):
        self._off = False
        self._left = -1

    def _torn(self):
        if self._off:
            raise PowerCut
        if self._left > 0:
            self._left -= 1
            if self._left == 0:
                self._off = True
                return True
        return False

    def _die(self):
        if self._on_cut is not None:
            self._on_cut()
        raise PowerCut

    # --- operations ---

    def read(self, offset, buffer):
        if self._off:
            raise PowerCut
        self._bounds(offset, len(buffer))
        self.reads += 1
        self.bytes_read += len(buffer)
        self._io.read(offset, buffer)

    def program(self, offset, data):
        """Clear the bits that are 0 in `data`; raises OSError when one of its 1s is a 0 here."""
        self._bounds(offset, len(data))
        if self.program_unit > 1 and (offset % PAGE_SIZE or len(data) % PAGE_SIZE):
            raise OSError(errno.EINVAL)
        torn = self._torn()
        old = bytearray(len(data))
        self._io.read(offset, old)
        new = bytearray(data)
        for index in range(len(new)):
            if new[index] & ~old[index] & 0xFF:
                self.violations += 1
                raise OSError(_EIO)
        if torn:
            self._tear_program(old, new)
        self._io.write(offset, new)
        if torn:
            self._die()
        self.programs += 1
        self.bytes_programmed += len(new)
        if self._timing is not None:
            pages = (offset + len(new) - 1) // PAGE_SIZE - offset // PAGE_SIZE + 1
            self._timing.sleep_ms(round(self._timing.program_page_ms * pages))

    def _tear_program(self, old, new):
        kind = self._random.below(4)
        stop = self._random.below(len(new) + 1) if kind == 1 else 0
        for index in range(len(new)):
            if kind == 3:
                continue  # every bit made it, and then the power went
            if kind == 2:
                # A random subset of the bits that were to be cleared.
                new[index] |= old[index] & self._random.below(256)
            elif index >= stop:
                new[index] = old[index]

    def erase(self, sector):
        """Set a sector to ones."""
        self._bounds(sector * ERASE_SIZE, ERASE_SIZE)
        torn = self._torn()
        data = bytearray(b"\xff" * ERASE_SIZE)
        if torn:
            self._tear_erase(sector, data)
        self._io.write(sector * ERASE_SIZE, data)
        if torn:
            self._die()
        self.erases += 1
        self.wear[sector] += 1
        if self._timing is not None:
            self._timing.sleep_ms(self._timing.erase_ms)

    def _tear_erase(self, sector, data):
        old = bytearray(ERASE_SIZE)
        self._io.read(sector * ERASE_SIZE, old)
        kind = self._random.below(4)
        if kind == 0:
            data[:] = old
        elif kind != 3:
            for index in range(ERASE_SIZE):
                draw = self._random.below(3)
                if draw == 0:
                    data[index] = old[index]
                elif draw == 1:
                    data[index] = old[index] | self._random.below(256)

    def _bounds(self, offset, size):
        if offset < 0 or offset + size > self.size:
            raise OSError(errno.EINVAL)


class Partition:
    """A part of a chip as MicroPython's block device of 4096-byte blocks (esp32.Partition)."""

    def __init__(self, chip, offset, size):
        self._chip = chip
        self._offset = offset
        self._blocks = size // ERASE_SIZE

    def _place(self, block, offset, size):
        start = block * ERASE_SIZE + offset
        if block < 0 or start + size > self._blocks * ERASE_SIZE:
            raise OSError(errno.EINVAL)
        return self._offset + start

    def readblocks(self, block, buffer, offset=0):
        self._chip.read(self._place(block, offset, len(buffer)), buffer)

    def writeblocks(self, block, buffer, offset=None):
        """Program; without an offset the blocks are erased first, with one never."""
        place = self._place(block, offset or 0, len(buffer))
        if offset is None:
            if len(buffer) % ERASE_SIZE:
                raise OSError(errno.EINVAL)
            for index in range(len(buffer) // ERASE_SIZE):
                self._chip.erase(place // ERASE_SIZE + index)
        self._chip.program(place, buffer)

    def ioctl(self, operation, argument):
        if operation == 4:
            return self._blocks
        if operation == 5:
            return ERASE_SIZE
        if operation == 6:
            self._chip.erase(self._place(argument, 0, ERASE_SIZE) // ERASE_SIZE)
            return 0
        return None
