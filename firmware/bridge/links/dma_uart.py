"""A UART of RP2040 or RP2350 whose bytes go to memory by DMA: a flash erase costs none of them.

Interrupts are off during each program and erase of the flash, and the UART's own FIFO holds 32
bytes: 2.8 ms at 115200 bit/s. DMA needs neither interrupts nor flash. Two channels fill one ring,
16 bits for each character, so that the UART's error flags come with it: when the count of one
ends, at the ring's start, the other goes on.

From the sources of the port and the RP2040 data sheet (UARTDR, UARTIMSC, chain_to); runs on the
virtual board, has not been tried on a real one.
"""

import machine
import rp2
import uctypes
from micropython import const

_RING_BITS_MAX = const(15)  # the chip's limit: 16384 characters, 1.4 s at 115200 bit/s
_RUN = const(1 << 27)  # characters of one channel: whole rings, and within RP2350's 28 bits

# chip: addresses of its UARTs, their receive requests to DMA
_CHIPS = {
    "rp2040": ((0x40034000, 0x40038000), (21, 23)),
    "rp2350": ((0x40070000, 0x40078000), (29, 31)),
}

_UARTDR = const(0x00)
_UARTIMSC_CLEAR = const(0x3038)  # UARTIMSC through the alias that clears bits
_RECEIVE_INTERRUPTS = const(0x50)  # RXIM and RTIM: the port's handler would take the bytes

_FRAMING = const(0x1)  # in the byte above the character
_PARITY = const(0x2)
_BREAK = const(0x4)
_OVERRUN = const(0x8)


class DmaUart:
    """What UartLine needs of a machine.UART; `read` and `any` of that UART are not to be used.

    stall  characters that come during the longest stall; the ring takes four bytes of heap for
           each, rounded up to a power of two
    overruns, framing, parity, breaks  characters so far: lost, without stop bit, of wrong parity,
                                       and lines held low
    """

    def __init__(self, chip, number, uart, stall):
        self.overruns = self.framing = self.parity = self.breaks = 0
        self._uart = uart
        bases, requests = _CHIPS[chip]
        base = bases[number]
        bits = 6
        while bits < _RING_BITS_MAX and 1 << bits < 2 * stall:
            bits += 1
        size = 1 << bits
        # A ring must lie at a multiple of its size: take twice as much and use the right half.
        self._memory = bytearray(2 * size)
        address = uctypes.addressof(self._memory)
        start = -address % size
        self._ring = memoryview(self._memory)[start : start + size]
        self._channels = (rp2.DMA(), rp2.DMA())
        self._taken = 0  # characters since the start, modulo _RUN, which whole rings divide
        machine.mem32[base + _UARTIMSC_CLEAR] = _RECEIVE_INTERRUPTS
        for index in range(2):
            channel = self._channels[index]
            channel.config(
                read=base + _UARTDR,
                write=address + start,
                count=_RUN,
                ctrl=channel.pack_ctrl(
                    size=1,
                    inc_read=False,
                    inc_write=True,
                    ring_size=bits,
                    ring_sel=True,
                    treq_sel=requests[number],
                    chain_to=self._channels[1 - index].channel,
                    irq_quiet=True,
                ),
            )
        self._channels[0].active(1)

    def _arrived(self):
        """Return how many characters came since the start, modulo _RUN."""
        first, second = self._channels
        left = (second if second.active() else first).count
        return (_RUN - left) & (_RUN - 1)

    def readinto(self, buffer):
        """Return the number of characters put into `buffer`, None when nothing has come."""
        waiting = (self._arrived() - self._taken) & (_RUN - 1)
        if not waiting:
            return None
        ring = self._ring
        size = len(ring)
        if waiting > size >> 1:
            lost = waiting - (size >> 1)
            self.overruns += lost
            self._taken = (self._taken + lost) & (_RUN - 1)
            waiting = size >> 1
        count = min(waiting, len(buffer))
        at = 2 * self._taken & (size - 1)
        for index in range(count):
            buffer[index] = ring[at]
            if ring[at + 1]:
                self._count_errors(ring[at + 1])
            at = (at + 2) & (size - 1)
        self._taken = (self._taken + count) & (_RUN - 1)
        return count

    def _count_errors(self, flags):
        if flags & _OVERRUN:
            self.overruns += 1
        if flags & _BREAK:
            self.breaks += 1  # a break has no stop bit either
        elif flags & _FRAMING:
            self.framing += 1
        if flags & _PARITY:
            self.parity += 1

    def write(self, data):
        return self._uart.write(data)

    def flush(self):
        self._uart.flush()
