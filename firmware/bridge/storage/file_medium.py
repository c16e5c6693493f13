"""A plain file as a NOR medium: for dumps of a chip, and for boards that have nothing else.

Rules are those of NOR, so that whatever works here works on a chip. A file on a board's file
system is no place for keys: what is overwritten stays in flash behind it.
"""

import errno
import os

from bridge.core.errors import MediumError
from bridge.storage.blocks import BLOCK_SIZE, PAGE_SIZE, Blocks


class FileMedium(Blocks):
    """A file that already exists.

    path   of the file; its size is a multiple of BLOCK_SIZE
    start  bytes, where this part begins
    size   bytes, None for all behind `start`

    Raises MediumError when there is no such file or it is too short.
    """

    def __init__(self, path, start=0, size=None):
        try:
            found = os.stat(path)[6]
        except OSError:
            raise MediumError("file %s: there is none; make one of 0xFF bytes" % path)
        super().__init__(start, found - start if size is None else size)
        if start + self._size > found:
            raise MediumError("file %s: %d bytes, want %d" % (path, found, start + self._size))
        # Unbuffered: a program is in the file when it returns.
        self._file = open(path, "r+b", 0)  # noqa: SIM115  open as long as the medium
        self._old = bytearray(PAGE_SIZE)
        self._blank = b"\xff" * PAGE_SIZE

    def _read(self, address, buffer):
        self._file.seek(address)
        if self._file.readinto(buffer) != len(buffer):
            raise OSError(errno.EIO)

    def _write(self, address, data):
        self._file.seek(address)
        if self._file.write(data) != len(data):
            raise OSError(errno.EIO)

    def _program(self, address, at, count):
        old = self._old
        self._read(address, old)
        for index in range(at, at + count):
            old[index] &= self.page[index]
        self._write(address, old)
        self._file.flush()

    def _erase(self, address):
        for done in range(0, BLOCK_SIZE, PAGE_SIZE):
            self._write(address + done, self._blank)
        self._file.flush()

    def close(self):
        self._file.close()
