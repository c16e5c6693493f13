"""What must hold for a log whatever happened to its power. Runs on both interpreters."""

from bridge.core.errors import BridgeError
from bridge.core.journal import layout, records
from bridge.core.journal.reader import SectorReader, verify_seal
from bridge.core.journal.seal import FIRST_SEAL, next_chain_key
from hil.power_cuts.gateway import CHAIN_KEYS, GATEWAY, LOG_ID
from hil.power_cuts.workload import signature

MISSING = "nothing acknowledged is missing"
INVENTED = "nothing is invented or doubled"
ORDER = "the order holds"
NOTICE = "nothing is given up without a receipt or a gap record"
POSITIONS = "positions never repeat"
COUNTERS = "counter blocks never repeat"
APPENDS = "appending works"
RECOVERY = "recovery erases nothing"
SEALS = "seals chain"
BITS = "no bit is set without an erase"
READABLE = "every sector reads"
KEYS = "keys survive"
RATCHET = "keys of closed sectors are gone"

INVARIANTS = (
    MISSING, INVENTED, ORDER, NOTICE, POSITIONS, COUNTERS,
    APPENDS, RECOVERY, SEALS, BITS, READABLE, KEYS, RATCHET,
)  # fmt: skip


class _Sector:
    """A sector read as it grows."""

    def __init__(self, block, header):
        self.block = block
        self.header = header
        self.data = bytearray(layout.SECTOR_SIZE)
        self.records = []
        self.reader = None


class _WatchedCipher:
    """A cipher that tells the judge by which key a keystream was made."""

    def __init__(self, judge, make, key):
        self._judge = judge
        self._key = bytes(key)
        self._cipher = make(key)

    def encrypt(self, *blocks):
        self._judge.key = self._key
        return self._cipher.encrypt(*blocks)


class Judge:
    """Watches one gateway's log, as its medium and its cipher, and keeps its own ledger.

    gateway   a Gateway, whose medium and cipher it takes the place of
    failures  list of (invariant, what)
    key       of the keystream that was made last, None once its commit was programmed
    """

    def __init__(self, gateway):
        self.failures = []
        self.key = None
        self._gateway = gateway
        self._log = gateway.log
        self._make_cipher = gateway.cipher
        gateway.medium = self
        gateway.cipher = self._cipher
        classes = range(len(layout.CLASSES))
        self._handed = [[] for _ in classes]
        self._waiting = [[] for _ in classes]
        self._acknowledged = [set() for _ in classes]
        self._gone = [set() for _ in classes]
        self._receipts = set()
        self._erased = set()  # places given up; an erase that was cut short may leave some of it
        self._headers = {}
        self._streams = {}
        self._sectors = {}
        self._chain = [[key] for key in CHAIN_KEYS]
        self._sealed = {}

    def fail(self, invariant, what):
        self.failures.append((invariant, what))

    # --- what the log is told ---

    def handed(self, cls, record):
        self._handed[cls].append(record)
        self._waiting[cls].append(record)

    def acknowledged(self, cls):
        """Note that a commit of all that waits in a class has returned."""
        self._acknowledged[cls].update(self._waiting[cls])
        self._waiting[cls] = []

    def booted(self):
        """Note that what waited for a commit before this boot is gone, as it may be."""
        self._waiting = [[] for _ in self._handed]

    def receipted(self, cls, number):
        self._receipts.add((cls, number))

    # --- as the medium and the cipher ---

    def _cipher(self, key):
        return _WatchedCipher(self, self._make_cipher, key)

    def readblocks(self, block, buffer, offset=0):
        self._log.readblocks(block, buffer, offset)

    def writeblocks(self, block, buffer, offset=None):
        data = bytes(buffer)
        if offset == 0 and len(data) >= layout.HEADER_SIZE:
            self._open(data[: layout.HEADER_SIZE])
        elif self.key is not None:
            self._stream(block, offset, data.rstrip(b"\xff"))
        self.key = None
        self._log.writeblocks(block, buffer, offset)

    def ioctl(self, operation, argument):
        if operation == 6:
            self._erase(argument)
        return self._log.ioctl(operation, argument)

    def _open(self, data):
        header = layout.parse_header(data)
        place = (header.cls, header.number)
        # [the bytes, whether anything was ever committed behind them]
        before = self._headers.get(place)
        if before is None:
            self._headers[place] = [data, False]
        elif before[0] != data:
            if before[1]:
                self.fail(POSITIONS, "%s%d was opened twice" % self._named(place))
            self._headers[place] = [data, False]

    def _stream(self, block, at, data):
        header = self._header(block)
        if header is not None:
            self._headers[(header.cls, header.number)][1] = True
        parts = self._streams.setdefault(self.key, [])
        for start, other in parts:
            first, last = max(start, at), min(start + len(other), at + len(data))
            size = last - first
            if size > 0 and other[first - start :][:size] != data[first - at :][:size]:
                self.fail(COUNTERS, "at %d of sector %d" % (first, block))
        parts.append((at, data))

    def _erase(self, block):
        header = self._header(block)
        if header is None:
            return
        place = (header.cls, header.number)
        sector = self._read(block, header)
        self._gone[header.cls].update(signature(record) for record in sector.records)
        self._erased.add(place)
        if place not in self._receipts and not self._is_excused(place):
            self.fail(NOTICE, "%s%d" % self._named(place))

    def _is_excused(self, place):
        cls, number = place
        for sector in self.sectors():
            for record in sector.records:
                is_gap = record.kind == records.GAP and record.cls == cls
                if is_gap and record.first <= number <= record.last:
                    return True
        return False

    def _named(self, place):
        return (layout.CLASSES[place[0]], place[1])

    # --- reading ---

    def _header(self, block):
        data = bytearray(layout.HEADER_SIZE)
        self._log.readblocks(block, data, 0)
        try:
            header = layout.parse_header(data)
        except BridgeError:
            return None
        mine = header.gateway == GATEWAY and header.log_id == LOG_ID
        return header if mine else None

    def sectors(self):
        """Return every sector of this gateway, read, in order of class and number."""
        found = []
        for block in range(self._gateway.sectors):
            header = self._header(block)
            if header is not None:
                found.append(self._read(block, header))
        found.sort(key=lambda sector: (sector.header.cls, sector.header.number))
        return found

    def _read(self, block, header):
        data = bytearray(layout.SECTOR_SIZE)
        self._log.readblocks(block, data, 0)
        sector = self._sectors.get(block)
        if sector is None or not self._grew(sector.data, data):
            sector = self._sectors[block] = _Sector(block, header)
            key = self._chain_key(header.cls, header.number)
            sector.reader = SectorReader(self._make_cipher, key)
        if sector.data != data:
            sector.data = data
            try:
                sector.records += sector.reader.feed(data)
            except BridgeError as error:
                if (header.cls, header.number) not in self._erased:
                    self.fail(READABLE, "sector %d: %s" % (block, error))
        return sector

    def _grew(self, old, new):
        # The mark of a release may come at any time; it is outside of what is read here.
        if old == new:
            return True
        used = len(bytes(old[: layout.SEAL_AT]).rstrip(b"\xff"))
        after = layout.RELEASED_AT + 1
        return old[: after - 1] == new[: after - 1] and old[after:used] == new[after:used]

    def _chain_key(self, cls, number):
        chain = self._chain[cls]
        while len(chain) <= number:
            chain.append(next_chain_key(chain[-1]))
        return chain[number]

    # --- the verdict ---

    def check(self, journal):
        """Compare all that is on flash with the ledger. The journal is one after a recovery."""
        sectors = self.sectors()
        for cls in range(len(layout.CLASSES)):
            mine = [sector for sector in sectors if sector.header.cls == cls]
            self._check_numbers(cls, mine, journal.newest(cls)[0])
            self._check_records(cls, mine)
            self._check_seals(cls, mine)
            self._check_ratchet(cls, journal.newest(cls)[0])
        if self._gateway.chip.violations:
            self.fail(BITS, "%d programs asked for it" % self._gateway.chip.violations)
        for name in ("worn", "lost_commits", "lost_parameters"):
            if getattr(journal, name):
                self.fail(APPENDS, "%s: %d" % (name, getattr(journal, name)))

    def _check_numbers(self, cls, sectors, newest):
        numbers = [sector.header.number for sector in sectors]
        if len(set(numbers)) != len(numbers):
            self.fail(POSITIONS, "%s: two sectors with one number" % layout.CLASSES[cls])
        if not numbers or numbers[-1] != newest:
            self.fail(APPENDS, "%s: open is %d" % (layout.CLASSES[cls], newest))
        if any(sector.header.epoch for sector in sectors):
            self.fail(KEYS, "%s: a new key epoch was needed" % layout.CLASSES[cls])

    def _check_ratchet(self, cls, newest):
        region = bytearray(self._gateway.key_blocks * layout.SECTOR_SIZE)
        self._gateway.keys.readblocks(0, region, 0)
        for number in range(newest):
            if self._chain_key(cls, number) in region:
                self.fail(RATCHET, "%s%d" % (layout.CLASSES[cls], number))

    def _check_records(self, cls, sectors):
        handed, found = self._handed[cls], set()
        name = layout.CLASSES[cls]
        at = 0
        for sector in sectors:
            for record in sector.records:
                if record.kind == records.GAP:
                    if (record.cls, record.last) not in self._headers:
                        self.fail(INVENTED, "%s: a gap of a sector that never was" % name)
                    continue
                entry = signature(record)
                here = at
                while here < len(handed) and handed[here] != entry:
                    here += 1
                if here < len(handed):
                    at = here + 1
                else:
                    known = entry in handed and entry not in found
                    self.fail(ORDER if known else INVENTED, "%s: %r" % (name, entry))
                found.add(entry)
        lost = self._acknowledged[cls] - found - self._gone[cls]
        if lost:
            self.fail(MISSING, "%s: %d, as %r" % (name, len(lost), min(lost)))

    def _check_seals(self, cls, sectors):
        tag, expected = FIRST_SEAL, 0
        for sector in sectors[:-1]:
            number = sector.header.number
            if (cls, number) in self._erased:
                continue
            seal = layout.parse_seal(sector.data)
            if seal is None:
                self.fail(SEALS, "%s%d has none" % (layout.CLASSES[cls], number))
                return
            known = self._sealed.get((cls, number))
            state = (bytes(sector.data[:7]), bytes(sector.data[8:]), tag)
            if number == expected and known != state:
                try:
                    verify_seal(sector.data, self._chain_key(cls, number), tag)
                    self._sealed[(cls, number)] = state
                except BridgeError as error:
                    self.fail(SEALS, "%s%d: %s" % (layout.CLASSES[cls], number, error))
            tag, expected = seal[1], number + 1
