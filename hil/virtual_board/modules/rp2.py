"""`rp2` on the virtual board: the flash chip (hil/virtual_board/rp2_flash.py) and DMA of a UART.

Interrupts are off during a program and an erase: meanwhile nothing but DMA empties the UARTs'
FIFOs.
"""

import uart
import uctypes
import vflash

from hil.virtual_board import nor, rp2_flash

_FIFO = 32  # RP2040 data sheet, UART


def _sleep_ms(duration_ms):
    uart.stand_still_ms(duration_ms, _FIFO)


_chip = vflash.open_chip(nor.PAGE_SIZE, nor.Timing(_sleep_ms))


class Flash(rp2_flash.Rp2Flash):
    """rp2.Flash(start=, len=)"""

    def __init__(self, *, start=-1, len=-1):
        super().__init__(_chip, start, len)


# treq_sel: UART (DREQ tables of the RP2040 and RP2350 data sheets)
_RECEIVE_REQUESTS = {21: 0, 23: 1, 29: 0, 31: 1}


class DMA:
    """rp2.DMA, as far as it moves a UART's characters, 16 bits each, into a ring in memory."""

    channels = []

    def __init__(self):
        self.channel = len(self.channels)
        self.channels.append(self)
        self._left = 0
        self._busy = False

    @property
    def count(self):
        uart.pump()
        return self._left

    def pack_ctrl(self, **fields):
        """Return the fields themselves; on the chip they are one word."""
        return fields

    def config(self, *, read, write, count, ctrl):
        assert ctrl["size"] == 1
        assert ctrl["inc_write"]
        assert ctrl["ring_sel"]
        assert not ctrl["inc_read"]
        size = 1 << ctrl["ring_size"]
        assert write % size == 0, "a ring lies at a multiple of its size"
        assert count % (size // 2) == 0, "the other channel begins at the ring's start"
        self._ring = uctypes.bytearray_at(write, size)
        self._reload = count
        self._ctrl = ctrl

    def active(self, value=None):
        if value:
            self._start()
            uart.by_dma(_RECEIVE_REQUESTS[self._ctrl["treq_sel"]], self.take)
        return self._busy

    def _start(self):
        self._left = self._reload
        self._at = 0
        self._busy = True

    def take(self, data, flags=0):
        """Put characters into the ring; the last of the count starts the other channel."""
        for index in range(len(data)):
            if not self._busy:
                return self.channels[self._ctrl["chain_to"]].take(data[index:], flags)
            self._ring[self._at] = data[index]
            self._ring[self._at + 1] = flags
            self._at = (self._at + 2) % len(self._ring)
            self._left -= 1
            if not self._left:
                self._busy = False
                self.channels[self._ctrl["chain_to"]]._start()
