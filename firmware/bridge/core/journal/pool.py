"""The sectors of a log partition: which are blank, whose is which, which to give up next.

A mount costs one header's read a sector, and memory of three bytes a sector.
"""

from array import array

from micropython import const

from bridge.core.errors import FormatError, MediumError
from bridge.core.journal import layout

# Owner of a sector: a class number, with _COPIED once a site has it and _RELEASED once as many
# have it as the policy wants, or one of these
UNKNOWN = const(0xFF)  # no header: blank, or an erase was cut short; read before use
SET_ASIDE = const(0xFE)  # not blank and not ours to read
READY = const(0xFD)  # verified blank
WORN = const(0xFC)  # it did not erase or did not take a header: not used again in this boot
_RELEASED = const(0x40)
_COPIED = const(0x80)
_CLASS = const(0x3F)

BLANKS_AHEAD = const(2)
_MINIMUM_SHARE = const(8)  # of the pool, for each class, is out of the others' reach


class Pool:
    """The medium as numbered sectors; `sector` below is a block number of the medium.

    set_aside      unreadable sectors found since mount
    worn           sectors that did not erase or did not take a header
    forced_erases  appends that had to wait for an erase
    ready, unknown sectors verified blank, and those that may be
    utc_ms         the last UTC in a header, 0 for none; site_utc_ms: the last by a site
    absurd_times   headers whose UTC nobody can believe
    """

    def __init__(self, medium, flash, gateway, log_id):
        if medium.ioctl(5, 0) != layout.SECTOR_SIZE:
            raise MediumError("log: blocks of %d bytes, want 4096" % medium.ioctl(5, 0))
        self.count = medium.ioctl(4, 0)
        if self.count < 8:
            raise MediumError("log: %d sectors, want at least 8" % self.count)
        self.set_aside = self.worn = self.forced_erases = 0
        self.ready = self.unknown = 0
        self.utc_ms = self.site_utc_ms = self.absurd_times = 0
        self.held = [0] * len(layout.CLASSES)  # sectors of each class
        self._medium = medium
        self._flash = flash
        self._gateway = gateway
        self._log_id = log_id
        self._owners = bytearray(self.count)
        self._low = array("H", bytes(2 * self.count))  # of the sector number, the low 16 bits
        self._newest = array("I", bytes(4 * len(layout.CLASSES)))
        self._oldest = array("I", bytes(4 * len(layout.CLASSES)))
        self._near = array("H", bytes(2 * len(layout.CLASSES)))  # where each class was last found
        self._cursor = 0  # sectors are taken in turn, which spreads the wear

    def mount(self, latest_ms):
        """Read every header; UTC after `latest_ms` is not believed. Erases nothing."""
        data = bytearray(layout.HEADER_SIZE)
        newest = -1
        for sector in range(self.count):
            self._medium.readblocks(sector, data, 0)
            self._owners[sector] = owner = self._owner(data, sector, latest_ms)
            if owner == SET_ASIDE:
                self.set_aside += 1
            elif owner == UNKNOWN:
                self.unknown += 1
            else:
                newest = sector
        self._cursor = (newest + 1) % self.count

    def _owner(self, data, sector, latest_ms):
        if all(byte == layout.BLANK for byte in data):
            return UNKNOWN
        try:
            header = layout.parse_header(data)
        except FormatError:
            return SET_ASIDE
        if header.gateway != self._gateway or header.log_id != self._log_id:
            return SET_ASIDE
        self._note(sector, header.cls, header.number)
        if header.utc_ms > latest_ms:
            self.absurd_times += 1
        else:
            self.note_time(header.utc_ms, header.clock)
        return header.cls | _flags(header)

    def note_time(self, utc_ms, clock):
        """Note that a header tells UTC, by a clock of that state."""
        if clock != layout.CLOCK_UNKNOWN:
            self.utc_ms = max(self.utc_ms, utc_ms)
        if clock == layout.CLOCK_SITE:
            self.site_utc_ms = max(self.site_utc_ms, utc_ms)

    def _note(self, sector, cls, number):
        self._low[sector] = number & 0xFFFF
        if not self.held[cls] or number < self._oldest[cls]:
            self._oldest[cls] = number
        self.held[cls] += 1
        if number > self._newest[cls]:
            self._newest[cls] = number

    # --- questions ---

    def owner(self, sector):
        """Return the class number of a sector, or one of the constants above."""
        owner = self._owners[sector]
        return owner if owner >= WORN else owner & _CLASS

    def is_released(self, sector):
        """Say whether as many sites have a sector as its class's policy wants."""
        return self._owners[sector] < WORN and self._owners[sector] & _RELEASED != 0

    def is_copied(self, sector):
        """Say whether any site has a sector."""
        return self._owners[sector] < WORN and self._owners[sector] & (_COPIED | _RELEASED) != 0

    def number(self, sector):
        """Return the full number of a sector that has an owner."""
        newest = self._newest[self._owners[sector] & _CLASS]
        return newest - (newest - self._low[sector] & 0xFFFF)

    def newest(self, cls):
        """Return the highest sector number ever seen of a class, or -1."""
        return self._newest[cls] if self.held[cls] else -1

    def find(self, cls, number):
        """Return the sector that holds number `number` of a class, or -1."""
        if not self.held[cls] or not 0 <= self._newest[cls] - number < 0x10000:
            return -1
        owners, low, count = self._owners, self._low, self.count
        near = self._near[cls]
        number &= 0xFFFF
        # Logs are read in order: the next is nearly always a step or two from the last.
        for step in range(count):
            sector = near + step
            if sector >= count:
                sector -= count
            if low[sector] == number and owners[sector] < WORN and owners[sector] & _CLASS == cls:
                self._near[cls] = sector
                return sector
        return -1

    def oldest(self, cls):
        """Return the lowest sector number held of a class, or -1."""
        return self._oldest[cls] if self.held[cls] else -1

    # --- taking and giving ---

    def take(self):
        """Return a blank sector for a new header, or -1 when none is ready."""
        return self._next(READY)

    def _next(self, owner):
        for step in range(self.count):
            sector = (self._cursor + step) % self.count
            if self._owners[sector] == owner:
                return sector
        return -1

    def own(self, sector, cls, number):
        """Note that a ready sector has its header."""
        self.ready -= 1
        self._owners[sector] = cls
        self._note(sector, cls, number)
        self._cursor = (sector + 1) % self.count

    def retire(self, sector):
        """Note that a ready sector did not take its header."""
        self.ready -= 1
        self.worn += 1
        self._owners[sector] = WORN
        self._cursor = (sector + 1) % self.count

    def release(self, sector):
        """Note on flash that a sector may be given up: its receipts are in."""
        if not self.is_released(sector):
            self._mark(sector, layout.RELEASED, _RELEASED)

    def copied(self, sector):
        """Note on flash that one site has a sector, and the policy wants more."""
        if not self.is_copied(sector):
            self._mark(sector, layout.COPIED, _COPIED)

    def _mark(self, sector, mark, flag):
        try:
            self._medium.writeblocks(sector, mark, layout.RELEASED_AT)
        except OSError:
            pass  # the mark is for the next boot; this one knows
        self._owners[sector] |= flag

    def forget_copies(self):
        """Take no sector for stored until a site says so again; the marks on flash stay."""
        for sector in range(self.count):
            if self._owners[sector] < WORN:
                self._owners[sector] &= _CLASS

    def prepare(self):
        """Make one more sector ready without an erase; return True when it did."""
        while self.unknown:
            sector = self._next(UNKNOWN)
            self.unknown -= 1
            if self._flash.is_blank(sector):
                self._owners[sector] = READY
                self.ready += 1
                return True
            self._owners[sector] = SET_ASIDE
            self.set_aside += 1
        return False

    def victim(self, open_numbers):
        """Return the sector to give up next, or -1.

        open_numbers  the open sector's number of each class, which stays

        First the oldest that its receipts allow, then what was unreadable, then the oldest that
        one site has, then the oldest of the lowest class with more than its guaranteed share.
        """
        best = self._first(_RELEASED, _RELEASED, open_numbers)
        if best < 0:
            best = self._next(SET_ASIDE)
        if best < 0:
            best = self._first(_COPIED, _COPIED, open_numbers)
        cls = len(open_numbers) - 1
        while best < 0 and cls >= 0:
            if self.held[cls] > max(1, self.count // _MINIMUM_SHARE):
                best = self._first(_CLASS, cls, open_numbers)
            cls -= 1
        return best

    def _first(self, mask, wanted, open_numbers):
        # The sector with the lowest number whose owner byte has the wanted bits.
        best = oldest = -1
        for sector in range(self.count):
            owner = self._owners[sector]
            if owner >= WORN or owner & mask != wanted:
                continue
            number = self.number(sector)
            if number < open_numbers[owner & _CLASS] and (best < 0 or number < oldest):
                best, oldest = sector, number
        return best

    def erase(self, sector):
        """Erase one sector and make it ready; False when it did not come out blank."""
        owner = self.owner(sector)
        if owner < WORN:
            self._give_up(sector, owner)
        elif owner == UNKNOWN:
            self.unknown -= 1
        try:
            self._medium.ioctl(6, sector)
            blank = self._flash.is_blank(sector)
        except OSError:
            blank = False
        self._owners[sector] = READY if blank else WORN
        if blank:
            self.ready += 1
        else:
            self.worn += 1
        return blank

    def _give_up(self, sector, cls):
        number = self.number(sector)
        self.held[cls] -= 1
        self._owners[sector] = UNKNOWN
        if number == self._oldest[cls] and self.held[cls]:
            oldest = self._newest[cls]
            for other in range(self.count):
                if self.owner(other) == cls:
                    oldest = min(oldest, self.number(other))
            self._oldest[cls] = oldest


def _flags(header):
    if header.released:
        return _RELEASED
    return _COPIED if header.copied else 0
