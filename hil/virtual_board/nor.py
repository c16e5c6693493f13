"""A strict NOR flash chip: bits go 1 to 0, an erase sets a sector to 1, power may be cut anywhere.

Runs on MicroPython (in the virtual board) and on CPython (in tests and the rig). What it allows is
what the data sheets of W25Q chips promise and no more: a program that wants a 1 where a 0 stands
does nothing on a real chip, and is refused here, because whoever asks for it is mistaken.
"""

import errno
import os
from array import array

ERASE_SIZE = 4096
PAGE_SIZE = 256


class PowerCut(BaseException):
    """The power is gone. No firmware survives that, so none may catch it as an Exception."""


class FileStore:
    """A chip's contents in a file; what was written survives a SIGKILL of the process."""

    def __init__(self, path, size):
        try:
            found = os.stat(path)[6]
        except OSError:
            _create(path, size)
            found = size
        if found != size:
            raise ValueError("%s: %d bytes, want a chip of %d" % (path, found, size))
        # Unbuffered: what the kernel has survives a kill, and MicroPython's flush() would wait
        # for the disk, which only protects against the host's own power cut.
        self._file = open(path, "r+b", 0)  # noqa: SIM115  open as long as the chip

    def read(self, offset, buffer):
        self._file.seek(offset)
        if self._file.readinto(buffer) != len(buffer):
            raise OSError(errno.EIO)

    def write(self, offset, data):
        self._file.seek(offset)
        if self._file.write(data) != len(data):
            raise OSError(errno.EIO)

    def close(self):
        self._file.close()


def _create(path, size):
    with open(path + ".new", "wb") as file:
        blank = b"\xff" * ERASE_SIZE
        for _ in range(size // ERASE_SIZE):
            file.write(blank)
    os.rename(path + ".new", path)


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
        self._state = (seed * 2654435761 + 2463534242) & 0xFFFFFFFF or 1

    def below(self, limit):
        """Return a number from 0 to `limit` - 1; `limit` is at most 65536."""
        state = self._state
        state ^= state << 13 & 0xFFFFFFFF
        state ^= state >> 17
        state ^= state << 5 & 0xFFFFFFFF
        self._state = state
        return (state >> 16) * limit >> 16


class Timing:
    """What operations take, in milliseconds, and how the board waits for them.

    Defaults are the typical values of the W25Q64JV (data sheet, AC characteristics: tPP, tSE);
    the worst are 3 and 400.
    """

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
    on_operation  None, or called with no argument before each program and erase
    """

    def __init__(
        self, store, size, program_unit=1, erase_size=ERASE_SIZE, timing=None, on_cut=None
    ):
        self.store = store
        self.size = size
        self.program_unit = program_unit
        self.erase_size = erase_size
        self.on_cut = on_cut
        self.on_operation = None
        self.wear = array("I", bytes(4 * (size // erase_size)))  # erases begun, by sector
        self.programs = 0
        self.erases = 0
        self.reads = 0
        self.bytes_programmed = 0
        self.bytes_read = 0
        self.violations = 0  # attempts to turn a 0 into a 1 without an erase
        self._io = RamStore(store) if isinstance(store, bytearray) else store
        self._timing = timing
        self._blank = b"\xff" * erase_size
        self._page = bytearray(PAGE_SIZE)
        self._old = memoryview(self._page)
        self._left = -1  # operations until the power is cut, -1 for never
        self._random = None
        self._off = False

    # --- power ---

    def cut_after(self, operations, seed):
        """Cut the power in the midst of the operation of that number from now, 1 for the next.

        `seed` decides how far that operation got.
        """
        self._left = operations
        self._random = Random(seed)

    def power_on(self):
        self._off = False
        self._left = -1

    def _is_torn(self):
        if self.on_operation is not None:
            self.on_operation()
        if self._left > 0:
            self._left -= 1
            self._off = self._left == 0
        return self._off

    def _die(self):
        if self.on_cut is not None:
            self.on_cut()
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
        """Clear the bits that are 0 in `data`.

        Raises OSError when one of its 1s is a 0 here. With pages, a byte of ones is padding and
        leaves what is there.
        """
        if self._off:
            raise PowerCut
        size = len(data)
        self._bounds(offset, size)
        if self.program_unit > 1 and (offset % self.program_unit or size % self.program_unit):
            raise OSError(errno.EINVAL)
        self._refuse_violations(offset, data)
        if self._is_torn():
            self._tear_program(offset, data)
            self._die()
        if self.program_unit == 1:
            self._io.write(offset, data)
        else:
            self._write_padded(offset, data)
        self.programs += 1
        self.bytes_programmed += size
        if self._timing is not None:
            pages = (offset + size - 1) // PAGE_SIZE - offset // PAGE_SIZE + 1
            self._timing.sleep_ms(round(self._timing.program_page_ms * pages))

    def _refuse_violations(self, offset, data):
        padded = self.program_unit > 1
        old = self._page
        size = len(data)
        for start in range(0, size, PAGE_SIZE):
            count = min(PAGE_SIZE, size - start)
            self._io.read(offset + start, self._old[:count])
            for index in range(count):
                new = data[start + index]
                if new & ~old[index] and not (padded and new == 0xFF):
                    self.violations += 1
                    raise OSError(errno.EIO)

    def _write_padded(self, offset, data):
        for start in range(0, len(data), PAGE_SIZE):
            self._io.read(offset + start, self._old)
            for index in range(PAGE_SIZE):
                self._page[index] &= data[start + index]
            self._io.write(offset + start, self._old)

    def _tear_program(self, offset, data):
        """Leave nothing, a prefix, a random part of the bits to be cleared, or all of them."""
        new = bytearray(len(data))
        self._io.read(offset, new)
        kind = self._random.below(4)
        stop = (0, self._random.below(len(data) + 1), len(data), len(data))[kind]
        for index in range(stop):
            kept = self._random.below(256) if kind == 2 else 0
            new[index] &= data[index] | kept
        self._io.write(offset, new)

    def erase(self, sector):
        """Set a sector to ones."""
        if self._off:
            raise PowerCut
        self._bounds(sector * self.erase_size, self.erase_size)
        self.wear[sector] += 1
        if self._is_torn():
            self._tear_erase(sector)
            self._die()
        self._io.write(sector * self.erase_size, self._blank)
        self.erases += 1
        if self._timing is not None:
            self._timing.sleep_ms(self._timing.erase_ms)

    def _tear_erase(self, sector):
        """Leave all as it was, a mixture, one part erased and the other not, or all erased.

        Chips program a sector to zeros before they erase it, so a byte caught midway may read as
        anything, not only as what was there with more ones.
        """
        data = bytearray(self.erase_size)
        self._io.read(sector * self.erase_size, data)
        kind = self._random.below(5)
        if kind == 4:
            line = self._random.below(self.erase_size)
            if self._random.below(2):
                data[:line] = self._blank[:line]
            else:
                data[line:] = self._blank[line:]
        for index in range(self.erase_size if 0 < kind < 4 else 0):
            draw = self._random.below(3) if kind < 3 else 0
            if draw == 0:
                data[index] = 0xFF
            elif draw == 1:
                data[index] = self._random.below(256)
        self._io.write(sector * self.erase_size, data)

    def _bounds(self, offset, size):
        if offset < 0 or offset + size > self.size:
            raise OSError(errno.EINVAL)


class Partition:
    """A part of a chip as MicroPython's block device, one block a sector (esp32.Partition)."""

    def __init__(self, chip, offset, size):
        if offset % chip.erase_size or size % chip.erase_size or offset + size > chip.size:
            raise ValueError("partition at 0x%x of 0x%x bytes" % (offset, size))
        self._chip = chip
        self._offset = offset
        self._size = size

    def _place(self, block, offset, size):
        start = block * self._chip.erase_size + offset
        if block < 0 or offset < 0 or start + size > self._size:
            raise OSError(errno.EINVAL)
        return self._offset + start

    def readblocks(self, block, buffer, offset=0):
        self._chip.read(self._place(block, offset, len(buffer)), buffer)

    def writeblocks(self, block, buffer, offset=None):
        """Program; without an offset the blocks are erased first, with one never."""
        place = self._place(block, offset or 0, len(buffer))
        if offset is None:
            if len(buffer) % self._chip.erase_size:
                raise OSError(errno.EINVAL)
            for index in range(len(buffer) // self._chip.erase_size):
                self._chip.erase(place // self._chip.erase_size + index)
        self._chip.program(place, buffer)

    def ioctl(self, operation, argument):
        if operation == 4:
            return self._size // self._chip.erase_size
        if operation == 5:
            return self._chip.erase_size
        if operation == 6:
            place = self._place(argument, 0, self._chip.erase_size)
            self._chip.erase(place // self._chip.erase_size)
            return 0
        return None
