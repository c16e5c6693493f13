"""The sectors of a log partition: which are blank, whose is which, which to give up next.

What a mount costs is one header's read a sector, and memory of six bytes a sector.
"""

from array import array

from micropython import const

from bridge.core.errors import FormatError, MediumError
from bridge.core.journal import layout

# Owner of a sector: a class number, or one of these
UNKNOWN = const(0xFF)  # no header: blank, or an erase was cut short; read before use
SET_ASIDE = const(0xFE)  # not blank and not ours to read
READY = const(0xFD)  # verified blank

BLANKS_AHEAD = const(2)


class Pool:
    """The medium as numbered sectors; `sector` below is a block number of the medium."""

    def __init__(self, medium, gateway, log_id):
        if medium.ioctl(5, 0) != layout.SECTOR_SIZE:
            raise MediumError("log: blocks of %d bytes, want 4096" % medium.ioctl(5, 0))
        self.medium = medium
        self.count = medium.ioctl(4, 0)
        if self.count < 8:
            raise MediumError("log: %d sectors, want at least 8" % self.count)
        self.owners = bytearray(self.count)
        self.numbers = array("I", bytes(4 * self.count))
        self.released = bytearray(self.count)
        self.set_aside = 0  # unreadable sectors found at mount
        self.forced_erases = 0  # appends that had to wait for an erase
        self._gateway = gateway
        self._log_id = log_id
        self._cursor = 0  # sectors are taken in turn, which spreads the wear
        self._page = bytearray(layout.PAGE_SIZE)

    def mount(self):
        """Read every header. Erases nothing."""
        data = bytearray(layout.HEADER_SIZE)
        newest = -1
        self.set_aside = 0
        for sector in range(self.count):
            self.medium.readblocks(sector, data, 0)
            self.owners[sector] = self._owner(data, sector)
            if self.owners[sector] == SET_ASIDE:
                self.set_aside += 1
            elif self.owners[sector] < len(layout.CLASSES) and sector > newest:
                newest = sector
        self._cursor = (newest + 1) % self.count

    def _owner(self, data, sector):
        if all(byte == layout.BLANK for byte in data):
            return UNKNOWN
        try:
            header = layout.parse_header(data)
        except FormatError:
            return SET_ASIDE
        if header.gateway != self._gateway or header.log_id != self._log_id:
            return SET_ASIDE
        self.numbers[sector] = header.number
        self.released[sector] = 1 if header.released else 0
        return header.cls

    # --- questions ---

    def find(self, cls, number):
        """Return the sector that holds number `number` of a class, or -1."""
        owners, numbers = self.owners, self.numbers
        for sector in range(self.count):
            if owners[sector] == cls and numbers[sector] == number:
                return sector
        return -1

    def oldest(self, cls):
        """Return the lowest sector number held of a class, or -1."""
        best = -1
        for sector in range(self.count):
            if self.owners[sector] == cls and (best < 0 or self.numbers[sector] < best):
                best = self.numbers[sector]
        return best

    def blanks(self):
        """Return (ready, possibly blank) sectors."""
        ready = unknown = 0
        for owner in self.owners:
            ready += owner == READY
            unknown += owner == UNKNOWN
        return ready, unknown

    # --- taking and giving ---

    def take(self):
        """Return a blank sector for a new header, or -1 when none is ready."""
        for step in range(self.count):
            sector = (self._cursor + step) % self.count
            if self.owners[sector] == READY:
                self._cursor = (sector + 1) % self.count
                return sector
        return -1

    def own(self, sector, cls, number):
        self.owners[sector] = cls
        self.numbers[sector] = number
        self.released[sector] = 0

    def release(self, sector):
        """Note on flash that a sector may be given up: its receipts are in."""
        if not self.released[sector]:
            self.medium.writeblocks(sector, b"\x00", layout.RELEASED_AT)
            self.released[sector] = 1

    def prepare(self):
        """Make one more sector ready without an erase; return True when it did."""
        for step in range(self.count):
            sector = (self._cursor + step) % self.count
            if self.owners[sector] == UNKNOWN:
                if self.is_blank(sector):
                    self.owners[sector] = READY
                    return True
                self.owners[sector] = SET_ASIDE
                self.set_aside += 1
        return False

    def is_blank(self, sector):
        page = self._page
        for offset in range(0, layout.SECTOR_SIZE, layout.PAGE_SIZE):
            self.medium.readblocks(sector, page, offset)
            for byte in page:
                if byte != layout.BLANK:
                    return False
        return True

    def victim(self, newest):
        """Return the sector to give up next, or -1.

        newest  the newest number of each class, which stays

        First the oldest that its receipts allow, then what was unreadable at mount, then the
        oldest of the lowest class that has more than one sector.
        """
        best = self._oldest_where(newest, True, range(len(newest)))
        if best >= 0:
            return best
        for step in range(self.count):
            sector = (self._cursor + step) % self.count
            if self.owners[sector] == SET_ASIDE:
                return sector
        for cls in range(len(newest) - 1, -1, -1):
            best = self._oldest_where(newest, False, (cls,))
            if best >= 0:
                return best
        return -1

    def _oldest_where(self, newest, released, classes):
        best = -1
        for sector in range(self.count):
            owner = self.owners[sector]
            if owner not in classes or self.numbers[sector] >= newest[owner]:
                continue
            if released and not self.released[sector]:
                continue
            if best < 0 or self.numbers[sector] < self.numbers[best]:
                best = sector
        return best

    def erase(self, sector):
        """Erase one sector and make it ready."""
        self.medium.ioctl(6, sector)
        self.owners[sector] = READY
        self.released[sector] = 0
