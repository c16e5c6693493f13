"""The RP2's own flash (`rp2.Flash`) as a block device that takes writes of any length.

The port programs whole pages of 256 bytes, does not check what it is given, and reads on past the
end of a buffer that is too short (docs/decisions/0006-media.md). So each program is one whole
page, at a page's start, from a buffer in RAM. Interrupts are off for as long as a program (0.7 to
3 ms) or an erase (45 to 400 ms) takes, and the other core stands still: only DMA goes on.
"""

from bridge.storage.blocks import BLOCK_SIZE, Blocks


class PageFlash(Blocks):
    """A part of the storage area of an RP2.

    flash  rp2.Flash(start=..., len=...), of which every byte is ours
    size   its bytes
    """

    def __init__(self, flash, size):
        super().__init__(0, size)
        self._flash = flash

    def _read(self, address, buffer):
        self._flash.readblocks(address // BLOCK_SIZE, buffer, address % BLOCK_SIZE)

    def _program(self, address, at, count):
        self._flash.writeblocks(address // BLOCK_SIZE, self.page, address % BLOCK_SIZE)

    def _erase(self, address):
        self._flash.ioctl(6, address // BLOCK_SIZE)
