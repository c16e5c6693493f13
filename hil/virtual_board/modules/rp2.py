"""`rp2.Flash` on the virtual board's flash chip (hil/virtual_board/rp2_flash.py).

Interrupts are off during a program and an erase: meanwhile nothing empties the UARTs' FIFOs.
"""

import uart
import vflash

from hil.virtual_board import nor, rp2_flash

_FIFO = 32  # RP2040 data sheet, UART


def _sleep_ms(duration_ms):
    uart.sleep_masked_ms(duration_ms, _FIFO)


_chip = vflash.open_chip(nor.PAGE_SIZE, nor.Timing(_sleep_ms))


class Flash(rp2_flash.Rp2Flash):
    """rp2.Flash(start=, len=)"""

    def __init__(self, *, start=-1, len=-1):
        super().__init__(_chip, start, len)
