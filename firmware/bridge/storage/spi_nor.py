"""An external SPI NOR chip of the W25Q kind as a block device.

Commands, status bits and times are those of the Winbond W25Q80DV to W25Q128JV data sheets; other
makers' chips of 1 to 16 MB that know the same commands work alike. Larger chips need addresses of
four bytes and are refused. The bus is the chip's own: nobody else may use it in mid-command.

Interrupts stay on. Every call returns when the chip is done: a program is waited for up to 3 ms a
page, an erase up to 400 ms (45 ms typical). Nothing is suspended: a read has to wait its turn.
"""

import errno

from micropython import const

from bridge.core.errors import MediumError
from bridge.storage.blocks import PAGE_SIZE, Blocks

_READ = const(0x03)  # up to 50 MHz
_PROGRAM = const(0x02)
_ERASE = const(0x20)  # 4 KB
_READ_ID = b"\x9f"
_READ_STATUS = b"\x05"
_READ_STATUS_2 = b"\x35"
_ENABLE_WRITE = b"\x06"
_CLEAR_STATUS = b"\x01\x00"
_CLEAR_BOTH = b"\x01\x00\x00"
_WAKE = b"\xab"

_BUSY = const(0x01)
_ENABLED = const(0x02)
_PROTECTED = const(0x1C)  # BP0 to BP2
_COMPLEMENT = const(0x40)  # of status 2: the protected part is all that BP0 to BP2 do not name
_WITH_STATUS_2 = (0xEF, 0xC8)  # Winbond, GigaDevice; to others 0x35 may mean something else

_PROGRAM_MS = const(3)  # the worst, as are the next two
_ERASE_MS = const(400)
_STATUS_MS = const(15)

_SIZE_CODE_MIN = const(20)  # the third byte of the id is the power of two: 1 MB
_SIZE_CODE_MAX = const(24)  # 16 MB
_LINE = const(16)  # what is sent to be programmed comes in multiples


class SpiNor(Blocks):
    """A part of a chip.

    spi     machine.SPI in mode 0, or what works like it
    select  machine.Pin of the chip-select line, an output at 1
    time    the module `time`, or an object with its ticks_ms, ticks_diff and sleep_ms
    start   bytes, where this part begins
    size    bytes, None for all behind `start`

    chip_size  bytes of the whole chip
    Raises MediumError when no such chip answers or it is write-protected.
    """

    def __init__(self, spi, select, time, start=0, size=None):
        self._spi = spi
        self._select = select
        self._time = time
        self._command = bytearray(4)
        self._status = bytearray(1)
        self._maker = 0
        self.chip_size = self._identify()
        if size is None:
            size = self.chip_size - start
        super().__init__(start, size)
        if start + size > self.chip_size:
            raise MediumError(
                "flash chip: %d bytes at %d, it has %d" % (size, start, self.chip_size)
            )
        view = memoryview(self.page)
        self._lines = [view[at : at + _LINE] for at in range(0, PAGE_SIZE, _LINE)]

    def _identify(self):
        self._send(_WAKE)
        self._time.sleep_ms(1)
        try:
            self._wait(_ERASE_MS)  # a reset of the board does not stop an erase under way
        except OSError:
            raise MediumError(
                "flash chip: busy for %d ms, or not there: check its power and wires" % _ERASE_MS
            )
        id = bytearray(3)
        self._ask(_READ_ID, id)
        code = id[2]
        if id[0] in (0x00, 0xFF):
            raise MediumError("flash chip: none answers: check its power, wires and select pin")
        if not _SIZE_CODE_MIN <= code <= _SIZE_CODE_MAX:
            raise MediumError(
                "flash chip: id %02x%02x%02x, want a SPI NOR chip of 1 to 16 MB" % tuple(id)
            )
        self._maker = id[0]
        return 1 << code

    def check_protection(self):
        """Raise MediumError when the chip would not take programs and erases."""
        self._ask(_READ_STATUS, self._status)
        found = self._status[0] & _PROTECTED
        if not found and self._maker in _WITH_STATUS_2:
            self._ask(_READ_STATUS_2, self._status)
            found = self._status[0] & _COMPLEMENT
        if found:
            raise MediumError(
                "flash chip: write-protected (0x%02x): call bridge.storage.medium.unprotect"
                % found
            )

    def unprotect(self):
        """Clear the chip's block protection for good; raises MediumError when it stays."""
        self._send(_ENABLE_WRITE)
        self._send(_CLEAR_BOTH if self._maker in _WITH_STATUS_2 else _CLEAR_STATUS)
        self._wait(_STATUS_MS)
        self.check_protection()

    # --- what Blocks asks for ---

    def _read(self, address, buffer):
        # A chip that was given up, or is not there any more, would answer with ones.
        self._wait(_PROGRAM_MS)
        try:
            self._begin(_READ, address)
            self._spi.readinto(buffer)
        finally:
            self._select(1)

    def _program(self, address, at, count):
        self._enable_write()
        # Whole lines: the ones around the new bytes change nothing, and a line ends with its page.
        line = at // _LINE
        try:
            self._begin(_PROGRAM, address + line * _LINE)
            while line * _LINE < at + count:
                self._spi.write(self._lines[line])
                line += 1
        finally:
            self._select(1)
        self._wait(_PROGRAM_MS)
        self._confirm()

    def _erase(self, address):
        self._enable_write()
        try:
            self._begin(_ERASE, address)
        finally:
            self._select(1)
        self._wait(_ERASE_MS)
        self._confirm()

    # --- commands ---

    def _send(self, command):
        self._select(0)
        try:
            self._spi.write(command)
        finally:
            self._select(1)

    def _ask(self, command, answer):
        self._select(0)
        try:
            self._spi.write(command)
            self._spi.readinto(answer)
        finally:
            self._select(1)

    def _begin(self, code, address):
        """Select the chip and send a command with its address; data may follow."""
        command = self._command
        command[0] = code
        command[1] = address >> 16
        command[2] = address >> 8 & 0xFF
        command[3] = address & 0xFF
        self._select(0)
        self._spi.write(command)

    def _enable_write(self):
        self._wait(_PROGRAM_MS)
        self._send(_ENABLE_WRITE)
        self._ask(_READ_STATUS, self._status)
        status = self._status[0]
        if not status & _ENABLED:
            raise OSError(
                errno.EIO, "flash chip: it does not let us write, status 0x%02x" % status
            )
        if status & _PROTECTED:
            raise OSError(errno.EACCES, "flash chip: write-protected, status 0x%02x" % status)

    def _confirm(self):
        # The chip drops the bit at the end of its work; one that ignored the command keeps it.
        if self._status[0] & _ENABLED:
            raise OSError(errno.EIO, "flash chip: it ignored a program or an erase")

    def _wait(self, limit_ms):
        """Wait until the chip is done; raises OSError(ETIMEDOUT) after `limit_ms`."""
        clock = self._time
        start = clock.ticks_ms()
        while True:
            # In this order: whatever held us up, the chip is asked once more when time is over.
            late = clock.ticks_diff(clock.ticks_ms(), start) > limit_ms
            self._ask(_READ_STATUS, self._status)
            if not self._status[0] & _BUSY:
                return
            if late:
                raise OSError(errno.ETIMEDOUT, "flash chip: busy after %d ms" % limit_ms)
            if limit_ms > _PROGRAM_MS:
                clock.sleep_ms(1)
