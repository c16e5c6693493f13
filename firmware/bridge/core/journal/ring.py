"""The journal: recover, append, commit, seal, read, release (docs/formats/log.md).

One partition carries a log for each class. An append is on flash when `commit` returns. No
append starts an erase: `idle` keeps blank sectors ahead. Recovery erases nothing.
"""

from micropython import const

from bridge.core.errors import KeyLost, MediumError
from bridge.core.journal import layout
from bridge.core.journal.layout import COMMIT_MAX, HEADER_SIZE, SEAL_AT, SECTOR_SIZE
from bridge.core.journal.pool import BLANKS_AHEAD, Pool
from bridge.core.journal.seal import Counter, next_chain_key, resume_key, seal_tag, sector_key
from bridge.core.journal.writer import RecordWriter

_SEALED_AFTER_MS = const(3600000)
_FORECAST_AFTER_MS = const(60000)
_GAP_RESERVE = const(32)  # room every open sector keeps for one gap record


class ClassLog:
    """The open sector of one class and what waits for its next commit."""

    def __init__(self, cls, writer):
        self.cls = cls
        self.writer = writer
        self.sector = -1  # of the medium; -1 while this class has no open sector
        self.number = -1
        self.end = 0  # bytes programmed
        self.opened_ms = 0
        self.slot = None
        self.counter = None
        self.since_ms = -1  # when the oldest waiting record came, -1 when none waits


class Journal:
    """The log of one gateway.

    medium  block device of the log partition
    keys    a recovered KeyRing
    cipher  AES-256 in ECB mode, see seal.py
    random  random(n) returns n fresh random bytes
    clock   has mono_ms(), utc_ms() (0 when unknown), state and boot
    """

    def __init__(self, medium, keys, cipher, random, clock, devices, extras):
        identity = keys.identity
        self.pool = Pool(medium, identity.gateway, identity.log_id)
        self.keys = keys
        self.clock = clock
        self.commits = 0
        self.programmed = 0  # bytes of commits since boot
        self.lost_parameters = 0  # of observations with more parameters than a shape holds
        self._medium = medium
        self._cipher = cipher
        self._random = random
        self._frame = bytearray(COMMIT_MAX + layout.COMMIT_OVERHEAD)
        self._frame_view = memoryview(self._frame)
        self._sector = bytearray(SECTOR_SIZE)
        self._logs = []
        for cls in range(len(layout.CLASSES)):
            self._logs.append(ClassLog(cls, RecordWriter(devices, extras)))

    # --- recovery ---

    def recover(self):
        """Mount the log: finish what a power cut left half done, then go on where it ended.

        Erases nothing. A class whose keys are gone stays shut: an append raises KeyLost.
        """
        self.pool.mount()
        while self.pool.blanks()[0] < len(self._logs) and self.pool.prepare():
            pass
        for log in self._logs:
            slot = self.keys.newest(log.cls)
            if slot is not None and (
                self.pool.blanks()[0] or self.pool.find(log.cls, slot.number) >= 0
            ):
                self._recover_class(log, slot)

    def _recover_class(self, log, slot):
        before = self.keys.find(log.cls, slot.number - 1)
        if before is not None:
            # The change from one sector to the next was cut short: repeat it, each step of which
            # gives the same bytes again.
            sector = self.pool.find(log.cls, before.number)
            if sector >= 0:
                self._seal(sector, self._load(sector), slot.previous_seal)
        sector = self.pool.find(log.cls, slot.number)
        if sector < 0:
            self._ensure_blank()
            self._open(log, slot)
        else:
            self._resume(log, slot, sector)
        if before is not None:
            self.keys.clear(before)

    def _resume(self, log, slot, sector):
        used = self._load(sector)
        data = self._sector
        log.sector, log.slot, log.number = sector, slot, slot.number
        log.opened_ms = self.clock.mono_ms()
        at = layout.next_page(used - 1)
        log.end = used
        if layout.parse_seal(data) or at + layout.RESUME_SIZE + COMMIT_MAX // 4 > SEAL_AT:
            self._roll(log)
            return
        random = self._random(8)
        clock = self.clock
        mono_ms = clock.mono_ms()
        frame = layout.pack_resume(random, clock.boot, mono_ms, clock.utc_ms(), clock.state)
        self._medium.writeblocks(sector, frame, at)
        key = sector_key(slot.key, data[:HEADER_SIZE])
        log.counter = Counter(self._cipher, resume_key(key, random, at))
        log.end = at + len(frame)
        log.writer.restart(mono_ms)

    # --- sectors ---

    def _open(self, log, slot):
        """Begin sector `slot.number` of a class in a blank sector."""
        sector = self.pool.take()
        keys, clock = self.keys.identity, self.clock
        mono_ms = clock.mono_ms()
        header = layout.Header(
            log.cls,
            keys.gateway,
            keys.log_id,
            slot.number,
            slot.epoch,
            slot.first,
            layout.TABLE_VERSION,
            clock.boot,
            mono_ms,
            clock.utc_ms(),
            clock.state,
        )
        data = header.pack(self._random(layout.RANDOM_SIZE))
        self._medium.writeblocks(sector, data, 0)
        self.pool.own(sector, log.cls, slot.number)
        log.sector, log.slot, log.number = sector, slot, slot.number
        log.end = HEADER_SIZE
        log.opened_ms = mono_ms
        log.counter = Counter(self._cipher, sector_key(slot.key, data))
        log.writer.restart(mono_ms)

    def _ensure_blank(self):
        if self.pool.blanks()[0] or self.pool.prepare():
            return
        self.pool.forced_erases += 1
        if not self._give_up():
            raise MediumError("log: no sector can be given up")

    def _load(self, sector):
        """Read a sector into the sector buffer and return the end of its bytes in use."""
        self._medium.readblocks(sector, self._sector, 0)
        return layout.used_end(self._sector)

    def _seal(self, sector, end, tag):
        """Program a sector's seal, or repeat it: the same bytes may be programmed again."""
        self._medium.writeblocks(sector, layout.pack_seal(end, tag), SEAL_AT)

    def _roll(self, log):
        """Seal the open sector and begin the next. The order survives a cut at any step."""
        self._ensure_blank()
        slot, sector = log.slot, log.sector
        end = self._load(sector)
        data = memoryview(self._sector)
        tag = seal_tag(slot.key, data[:HEADER_SIZE], data[HEADER_SIZE:end], slot.previous_seal)
        key = next_chain_key(slot.key)
        following = self.keys.put(log.cls, slot.epoch, slot.first, slot.number + 1, key, tag)
        self._seal(sector, end, tag)
        self._open(log, following)
        self.keys.clear(slot)

    # --- appending ---

    def log(self, cls):
        """Return the ClassLog of a class, open; raises KeyLost when it has no key."""
        log = self._logs[cls]
        if log.sector < 0:
            slot = self.keys.newest(cls)
            if slot is None:
                raise KeyLost("log %s: no chain key: provision the gateway" % layout.CLASSES[cls])
            # No blank sector was ready at boot, and recovery does not erase: now it must be.
            self._recover_class(log, slot)
        return log

    def _room(self, log, size):
        """Make room for a record of at most `size` bytes, in the buffer and in the sector."""
        writer = log.writer
        limit = SEAL_AT - _GAP_RESERVE
        if writer.size + size > COMMIT_MAX:
            self.commit(log.cls)
        if log.end + layout.frame_size(writer.size + size) > limit:
            self.commit(log.cls)
            if log.end + layout.frame_size(size) > limit:
                self._roll(log)

    def _added(self, log):
        if log.since_ms < 0:
            log.since_ms = self.clock.mono_ms()

    def observation(self, cls, device, observation, mono_ms):
        """Add an observation of device number `device` to the next commit of its class."""
        log = self.log(cls)
        shape = log.writer.shape_of(device, observation.group)
        if shape is None:
            self.lost_parameters += observation.count
            return
        self.lost_parameters += shape.match(observation)
        number = log.number
        self._room(log, log.writer.bound(shape))
        if number != log.number:
            # The sector changed under us: its dictionary comes again and takes more.
            self._room(log, log.writer.bound(shape))
        if log.writer.bound(shape) > COMMIT_MAX:
            self.lost_parameters += observation.count
            return
        log.writer.observation(shape, observation, mono_ms)
        self._added(log)

    def alarm(self, cls, device, alarm, mono_ms):
        """Add an alarm; alarms are committed at once."""
        log = self.log(cls)
        self._room(log, log.writer.text_bound(device) + log.writer.name_bound(device))
        log.writer.alarm(device, alarm, mono_ms)
        self._added(log)
        self.commit(cls)

    def event(self, cls, event, text):
        """Add an event of the gateway itself to the next commit."""
        log = self.log(cls)
        self._room(log, log.writer.text_bound(None))
        log.writer.event(event, text, self.clock.mono_ms())
        self._added(log)

    def clock_set(self, utc_ms, error_ms):
        """Tie this boot's monotonic time to UTC in every class's log, at once."""
        clock = self.clock
        for log in self._logs:
            if log.sector >= 0:
                self._room(log, log.writer.text_bound(None))
                log.writer.clock(clock.mono_ms(), utc_ms, error_ms, clock.state)
                self._added(log)
                self.commit(log.cls)

    def commit(self, cls):
        """Program what waits; it is on flash when this returns. Returns the bytes programmed."""
        log = self._logs[cls]
        writer = log.writer
        size = writer.size
        if not size:
            return 0
        frame = self._frame
        start = layout.put_length(frame, size)
        frame[start : start + size] = memoryview(writer.data)[:size]
        log.counter.apply(frame, start, start + size, log.end + start)
        total = layout.put_check(frame, start + size)
        self._medium.writeblocks(log.sector, self._frame_view[:total], log.end)
        log.end += total
        writer.size = 0
        log.since_ms = -1
        self.commits += 1
        self.programmed += total
        return total

    # --- reading and giving up ---

    def newest(self, cls):
        """Return (number, bytes programmed) of the open sector, (-1, 0) when there is none."""
        log = self._logs[cls]
        return (log.number, log.end) if log.sector >= 0 else (-1, 0)

    def waiting_ms(self, cls, now_ms):
        """Return how long the oldest record that waits for a commit has waited, -1 for none."""
        since = self._logs[cls].since_ms
        return -1 if since < 0 else now_ms - since

    def read(self, cls, number, offset, buffer):
        """Fill `buffer` with a sector's bytes from `offset`; False when the sector is not held."""
        sector = self.pool.find(cls, number)
        if sector < 0:
            return False
        self._medium.readblocks(sector, buffer, offset)
        return True

    def sealed_end(self, cls, number):
        """Return the end of the bytes in use of a closed sector, -1 when it is not held."""
        sector = self.pool.find(cls, number)
        if sector < 0:
            return -1
        seal = bytearray(layout.SEAL_SIZE)
        self._medium.readblocks(sector, seal, SEAL_AT)
        sealed = layout.parse_seal(seal, 0)
        return sealed[0] if sealed else -1

    def hours_left(self):
        """Return for how many hours the blank sectors last at the rate since boot, or None."""
        now_ms = self.clock.mono_ms()
        if now_ms < _FORECAST_AFTER_MS or not self.programmed:
            return None  # too early to tell
        blank = sum(self.pool.blanks()) * (SEAL_AT - HEADER_SIZE)
        return blank * now_ms // self.programmed / 3600000

    def release(self, cls, number):
        """Say that a closed sector's receipts are in: it may be overwritten when need be."""
        sector = self.pool.find(cls, number)
        if sector >= 0 and number != self._logs[cls].number:
            self.pool.release(sector)

    def _give_up(self):
        """Erase the sector that matters least; a gap record says so before. False when none."""
        newest = [log.number for log in self._logs]
        sector = self.pool.victim(newest)
        if sector < 0 or max(newest) < 0:
            return False  # without an open log there is nothing to make room for
        owner = self.pool.owners[sector]
        if owner < len(self._logs) and not self.pool.released[sector]:
            self._say_gap(owner, self.pool.numbers[sector])
        self.pool.erase(sector)
        return True

    def _say_gap(self, cls, number):
        # Into the log with the most room: every open sector keeps room for one such record, and
        # each erase follows a sector's opening, so one never has to be opened for this.
        best = None
        for log in self._logs:
            if log.counter is not None and (best is None or log.end < best.end):
                best = log
        self.commit(best.cls)
        best.writer.gap(cls, number, number, self.clock.mono_ms())
        self.commit(best.cls)

    # --- idle moments ---

    def idle(self):
        """Do one step of housekeeping; returns True when it erased. Call it between readings."""
        ready, unknown = self.pool.blanks()
        if ready < BLANKS_AHEAD:
            if unknown and self.pool.prepare():
                return False
            return self._give_up()
        for log in self._logs:
            if log.sector >= 0 and self._is_due(log):
                self.commit(log.cls)
                self._roll(log)
                return False
        return self.keys.tidy()

    def _is_due(self, log):
        used = log.end > HEADER_SIZE or log.writer.size
        return used and self.clock.mono_ms() - log.opened_ms > _SEALED_AFTER_MS
