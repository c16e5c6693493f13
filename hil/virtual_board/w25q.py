"""A W25Q chip as its bus sees it: the bytes between two edges of chip-select are one command.

Commands, status bits and times are those of the W25Q64JV data sheet. What the array does (bits
that only clear, wear, torn operations, power cuts) is NorChip's, which is stricter than a chip:
a program that wants a 1 where a 0 stands raises OSError at the rising edge.

Not modelled: dual and quad reads, suspend, block erases, one-time pages, individual block locks.
"""

from hil.virtual_board.nor import ERASE_SIZE, PAGE_SIZE

_WRITE_STATUS = 0x01
_PROGRAM = 0x02
_READ = 0x03
_DISABLE_WRITE = 0x04
_READ_STATUS = 0x05
_ENABLE_WRITE = 0x06
_FAST_READ = 0x0B
_ERASE = 0x20
_READ_STATUS_2 = 0x35
_READ_ID = 0x9F
_WAKE = 0xAB
_POWER_DOWN = 0xB9

_BUSY = 0x01
_ENABLED = 0x02
_OF_BOTTOM = 0x20  # TB
_SMALL = 0x40  # SEC
_COMPLEMENT = 0x40  # CMP, in status 2
_SRP = 0x80

_HEAD = 4  # code and address
_HEADS = {_READ: _HEAD, _FAST_READ: _HEAD + 1}  # with a dummy byte
_CHANGES = (_WRITE_STATUS, _PROGRAM, _ERASE)
_KNOWN = (
    _WRITE_STATUS,
    _PROGRAM,
    _ERASE,
    _READ,
    _DISABLE_WRITE,
    _READ_STATUS,
    _ENABLE_WRITE,
    _FAST_READ,
    _READ_STATUS_2,
    _READ_ID,
    _WAKE,
    _POWER_DOWN,
)
_WINBOND = 0xEF
_WAKE_US = 3


class W25q:
    """The bus side of a chip: `write` and `readinto` are those of machine.SPI in mode 0.

    chip     a NorChip with program_unit 256 and no timing; its size is a power of two
    now_us   returns a count of microseconds that only grows

    program_us, erase_us, status_us  how long the chip is busy: typical values
    status, status_2                 non-volatile bits, as set by command 0x01
    protected_pin                    whether the WP pin is low: SRP then keeps the status as it is
    ignored  commands not carried out: busy, powered down, protected, not enabled, of a wrong size
    unknown  commands that this model has not
    """

    def __init__(self, chip, now_us):
        if chip.program_unit != PAGE_SIZE or chip.size & (chip.size - 1):
            raise ValueError("want a chip of pages whose size is a power of two")
        self.chip = chip
        self.program_us = 700
        self.erase_us = 45000
        self.status_us = 10000
        self.status = 0
        self.status_2 = 0
        self.ignored = 0
        self.unknown = 0
        self.powered_down = False
        self.protected_pin = False
        self._now_us = now_us
        self._enabled = False
        self._busy_until = None
        self._selected = False
        self._frame = bytearray()
        self._told = 0  # bytes since the chip began to answer
        self._refused = False
        self._id = bytes((_WINBOND, 0x40, _power_of_two(chip.size)))
        self._page = bytearray(PAGE_SIZE)
        self._awake_at = 0

    def restart(self):
        """What a power-on does to the bus side: nothing is under way, nothing is enabled."""
        self._enabled = self._selected = self.powered_down = False
        self._busy_until = None

    # --- the wires ---

    def select(self, level):
        """The chip-select line: 0 begins a command, 1 ends it and carries it out."""
        if level and self._selected:
            self._selected = False
            self._finish()
        elif not level and not self._selected:
            self._selected = True
            self._frame = bytearray()
            self._told = 0
            self._refused = False

    def write(self, data):
        if self._selected:
            self._take(data)

    def readinto(self, buffer, write=0x00):
        """Clock bytes out of the chip, with `write` going in."""
        size = len(buffer)
        view = memoryview(buffer)
        code = self._frame[0] if self._frame else None
        if not self._selected or self._refused or code is None:
            answer = None
        elif code == _READ_STATUS:
            answer = bytes((self._status(),)) * size
        elif code == _READ_STATUS_2:
            answer = bytes((self.status_2,)) * size
        elif code == _READ_ID:
            answer = bytes([self._id[(self._told + index) % 3] for index in range(size)])
        elif code in _HEADS and len(self._frame) == _HEADS[code]:
            self._stream(view)
            return
        else:
            answer = None
        # Where the chip says nothing a pull-up holds the line.
        view[:] = b"\xff" * size if answer is None else answer
        if answer is None:
            self._take(bytes((write,)) * size)
        self._told += size

    def _stream(self, view):
        size = self.chip.size
        at = (self._address() + self._told) % size
        self._told += len(view)
        done = 0
        while done < len(view):
            count = min(len(view) - done, size - at)
            self.chip.read(at, view[done : done + count])
            done += count
            at = 0

    def _take(self, data):
        if not self._selected or not len(data):
            return
        if not self._frame:
            self._refused = self._is_refused(data[0])
        self._frame.extend(data)

    def _is_refused(self, code):
        # What a busy chip or one in power-down hears, it forgets.
        if code not in _KNOWN:
            self.unknown += 1
            return True
        if self.is_busy():
            refused = code not in (_READ_STATUS, _READ_STATUS_2)
        elif self.powered_down or self._now_us() < self._awake_at:
            refused = code != _WAKE
        else:
            refused = code in _CHANGES and not self._enabled
        self.ignored += refused
        return refused

    # --- what it is ---

    def is_busy(self):
        """Say whether a program, an erase or a status write is under way."""
        if self._busy_until is not None and self._now_us() >= self._busy_until:
            self._busy_until = None
            self._enabled = False
        return self._busy_until is not None

    def _status(self):
        busy = _BUSY if self.is_busy() else 0
        return self.status | busy | (_ENABLED if self._enabled else 0)

    def _address(self):
        frame = self._frame
        return (frame[1] << 16 | frame[2] << 8 | frame[3]) % self.chip.size

    def _is_protected(self, address):
        level = self.status >> 2 & 7
        size = self.chip.size
        if level == 0:
            part = 0
        elif level == 7:
            part = size
        elif self.status & _SMALL:
            part = min(ERASE_SIZE << level - 1, 8 * ERASE_SIZE)
        else:
            part = size >> 7 - level
        inside = address < part if self.status & _OF_BOTTOM else address >= size - part
        return inside != bool(self.status_2 & _COMPLEMENT)

    # --- the rising edge ---

    def _finish(self):
        if self._refused or not self._frame:
            return
        code = self._frame[0]
        if code == _ENABLE_WRITE:
            self._enabled = True
        elif code == _DISABLE_WRITE:
            self._enabled = False
        elif code == _POWER_DOWN:
            self.powered_down = True
        elif code == _WAKE:
            if self.powered_down:
                self._awake_at = self._now_us() + _WAKE_US
            self.powered_down = False
        elif code in _CHANGES:
            self._change(code)

    def _change(self, code):
        data = self._frame[1:] if code == _WRITE_STATUS else self._frame[_HEAD:]
        if code == _PROGRAM:
            whole = len(self._frame) > _HEAD
        elif code == _ERASE:
            whole = len(self._frame) == _HEAD
        else:
            whole = len(data) in (1, 2) and not (self.protected_pin and self.status & _SRP)
        if not whole or (code != _WRITE_STATUS and self._is_protected(self._address())):
            self.ignored += 1
            return
        if code == _PROGRAM:
            self._program(self._address(), data)
            self._start(self.program_us)
        elif code == _ERASE:
            self.chip.erase(self._address() // ERASE_SIZE)
            self._start(self.erase_us)
        else:
            self.status = data[0] & ~(_BUSY | _ENABLED)
            if len(data) == 2:
                self.status_2 = data[1]
            self._start(self.status_us)

    def _program(self, address, data):
        page = self._page
        for index in range(PAGE_SIZE):
            page[index] = 0xFF
        # Past the end of its page a program goes on at the start: the last 256 bytes stay.
        at = address % PAGE_SIZE
        for index in range(len(data)):
            page[(at + index) % PAGE_SIZE] = data[index]
        self.chip.program(address - at, page)

    def _start(self, duration_us):
        self._busy_until = self._now_us() + duration_us


def _power_of_two(size):
    power = 0
    while 1 << power < size:
        power += 1
    return power
