"""The journal: recover, append, commit, seal, read, release (docs/formats/log.md).

One partition carries a log for each class. An append is on flash when `commit` returns. No
append starts an erase: `idle` keeps blank sectors ahead. Recovery erases nothing.
"""

from array import array

from micropython import const

from bridge.core.errors import KeyLost, MediumError
from bridge.core.journal import layout, records
from bridge.core.journal.class_log import ClassLog
from bridge.core.journal.flash import SectorFlash
from bridge.core.journal.layout import HEADER_SIZE, SEAL_AT
from bridge.core.journal.pool import BLANKS_AHEAD, Pool
from bridge.core.journal.seal import Counter, next_chain_key, resume_key, sector_key
from bridge.core.journal.writer import DEFINE_ROOM, SMALL_ROOM, TEXT_ROOM, RecordWriter

_SEALED_AFTER_MS = const(3600000)
_NO_END_MS = const(1 << 62)
_FORECAST_AFTER_MS = const(60000)
_RESUME_ROOM = const(256)  # an open sector with less behind its last page is not worth resuming
_SAMPLES_AT_ONCE = const(128)  # of a wave, in one record


class Journal:
    """The log of one gateway.

    medium  block device of the log partition
    keys    a recovered KeyRing
    cipher  AES-256 in ECB mode, see seal.py
    random  random(n) returns n fresh random bytes
    clock   has mono_ms(), utc_ms() (0 when unknown), state and boot

    commits, programmed  commits and their bytes since boot
    lost_parameters      values of observations that no commit can hold
    lost_commits         commits that the flash refused wherever they were tried
    """

    def __init__(self, medium, keys, cipher, random, clock, devices, extras):
        identity = keys.identity
        self.flash = SectorFlash(medium)
        self.pool = Pool(medium, self.flash, identity.gateway, identity.log_id)
        self.keys = keys
        self.clock = clock
        self.commits = 0
        self.programmed = 0
        self.lost_parameters = 0
        self.lost_commits = 0
        self._medium = medium
        self._cipher = cipher
        self._random = random
        self._part = array("h", bytes(2 * _SAMPLES_AT_ONCE))
        self._logs = []
        for cls in range(len(layout.CLASSES)):
            self._logs.append(ClassLog(cls, RecordWriter(devices, extras), self.flash))

    @property
    def worn(self):
        """Programs that did not read back as written, since boot."""
        return self.flash.worn

    # --- recovery ---

    def recover(self, latest_ms=_NO_END_MS):
        """Mount the log: finish what a power cut left half done, then go on where it ended.

        latest_ms  UTC in a header after this is not believed

        Erases nothing. A class whose keys are gone goes on in a new key epoch and says so; without
        a spare seed it stays shut: an append raises KeyLost.
        """
        self.pool.mount(latest_ms)
        renewed = self._renew_keys()
        for log in self._logs:
            slot = self.keys.newest(log.cls)
            if slot is not None and (
                self.pool.find(log.cls, slot.number) >= 0 or self.pool.ready or self.pool.prepare()
            ):
                self._recover_class(log, slot)
        for cls in renewed:
            if self._logs[cls].sector < 0:
                continue
            self.event(cls, records.KEYS_LOST, "new key epoch")
            self.commit(cls)

    def _renew_keys(self):
        renewed = []
        for log in self._logs:
            if self.keys.newest(log.cls) is None:
                try:
                    self.keys.begin_epoch(log.cls, self.pool.newest(log.cls) + 1)
                    renewed.append(log.cls)
                except KeyLost:
                    pass
        self.keys.end_epoch()
        return renewed

    def _recover_class(self, log, slot):
        before = self.keys.find(log.cls, slot.number - 1)
        if before is not None:
            # The change from one sector to the next was cut short: repeat it, each step of which
            # gives the same bytes again.
            sector = self.pool.find(log.cls, before.number)
            if sector >= 0:
                self._seal(sector, self.flash.used_end(sector), slot.previous_seal)
        sector = self.pool.find(log.cls, slot.number)
        if sector < 0:
            self._ensure_blank()
            self._open(log, slot)
        else:
            self._resume(log, slot, sector)
        if before is not None:
            self.keys.clear(before)

    def _resume(self, log, slot, sector):
        log.sector, log.slot, log.number = sector, slot, slot.number
        log.opened_ms = self.clock.mono_ms()
        log.end = self.flash.used_end(sector)
        at = layout.next_page(log.end - 1)
        if not self.flash.is_sealed(sector):
            while at + layout.RESUME_SIZE + _RESUME_ROOM <= SEAL_AT:
                if self._resume_at(log, at):
                    return
                at += layout.PAGE_SIZE
        self._roll(log)

    def _resume_at(self, log, at):
        random = self._random(8)
        clock = self.clock
        mono_ms = clock.mono_ms()
        frame = layout.pack_resume(random, clock.boot, mono_ms, clock.utc_ms(), clock.state)
        taken = self.flash.put(log.sector, at, frame)
        log.end = at + len(frame)
        if taken:
            key = sector_key(log.slot.key, self.flash.header(log.sector))
            log.counter = Counter(self._cipher, resume_key(key, random, at))
            log.restart(mono_ms)
        return taken

    # --- sectors ---

    def _open(self, log, slot):
        """Begin sector `slot.number` of a class in a blank sector."""
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
        while True:
            sector = self.pool.take()
            data = header.pack(self._random(layout.RANDOM_SIZE))
            if self.flash.put(sector, 0, data):
                break
            self.flash.void(sector, 0, HEADER_SIZE)
            self.pool.retire(sector)
            self._ensure_blank()
        self.pool.own(sector, log.cls, slot.number)
        self.pool.note_time(header.utc_ms, header.clock)
        log.sector, log.slot, log.number = sector, slot, slot.number
        log.end = HEADER_SIZE
        log.opened_ms = mono_ms
        log.counter = Counter(self._cipher, sector_key(slot.key, data))
        log.restart(mono_ms)

    def _ensure_blank(self):
        if self.pool.ready or self.pool.prepare():
            return
        self.pool.forced_erases += 1
        while not self.pool.ready:
            if not self._give_up():
                raise MediumError("log: no sector can be given up")

    def _seal(self, sector, end, tag):
        """Program a sector's seal, or repeat it: the same bytes may be programmed again."""
        self.flash.put(sector, SEAL_AT, layout.pack_seal(end, tag))

    def _roll(self, log):
        """Seal the open sector and begin the next. The order survives a cut at any step."""
        self._ensure_blank()
        slot, sector = log.slot, log.sector
        end = self.flash.used_end(sector)
        tag = self.flash.tag(sector, slot, end)
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

    def _reserve(self, log, room):
        """Get ready for a record that should take at most `room` bytes."""
        if log.writer.records and log.writer.room < room:
            self.commit(log.cls)
        log.writer.mark()

    def _kept(self, log):
        """Say whether the record at hand fits; if not, it is taken back and a sector begun.

        The records before it are committed first. The sector behind them stays unused: the coder's
        state is one that no reader of this sector would have.
        """
        writer = log.writer
        if not writer.is_full:
            if log.since_ms < 0:
                log.since_ms = self.clock.mono_ms()
            return True
        writer.undo()
        self.commit(log.cls)
        self._roll(log)
        return False

    def observation(self, cls, device, observation, mono_ms):
        """Add an observation of device number `device` to the next commit of its class."""
        log = self.log(cls)
        writer = log.writer
        shape = writer.shape_of(device, observation.group)
        if shape is None:
            self.lost_parameters += observation.count
            return
        self.lost_parameters += shape.match(observation)
        for _ in range(2):
            if self._define(log, shape):
                self._reserve(log, SMALL_ROOM + 5 * shape.count)
                writer.observation(shape, mono_ms)
                if self._kept(log):
                    return
        self.lost_parameters += observation.count

    def _define(self, log, shape):
        while not log.writer.knows(shape):
            self._reserve(log, DEFINE_ROOM)
            log.writer.define(shape)
            if not self._kept(log):
                return False
        return True

    def wave(self, cls, device, wave, mono_ms):
        """Add a stretch of a waveform to the next commits of its class."""
        log = self.log(cls)
        waveform = log.writer.waveform_of(device, wave)
        if waveform is None:
            self.lost_parameters += 1
            return
        done = 0
        while done < wave.count:
            count = min(_SAMPLES_AT_ONCE, wave.count - done)
            for index in range(count):
                self._part[index] = wave.samples[done + index]
            at_ms = mono_ms + done * wave.period_us // 1000
            for _ in range(2):
                if self._wave_part(log, waveform, count, at_ms):
                    break
            else:
                self.lost_parameters += 1
            done += count

    def _wave_part(self, log, waveform, count, mono_ms):
        writer = log.writer
        if waveform.index < 0:
            self._reserve(log, TEXT_ROOM)
            writer.define_waveform(waveform)
            if not self._kept(log):
                return False
        self._reserve(log, SMALL_ROOM + 3 * count)
        writer.wave(waveform, self._part, count, mono_ms)
        return self._kept(log)

    def alarm(self, cls, device, alarm, mono_ms):
        """Add an alarm; alarms are committed at once."""
        log = self.log(cls)
        for _ in range(2):
            self._reserve(log, 2 * TEXT_ROOM)
            log.writer.alarm(device, alarm, mono_ms)
            if self._kept(log):
                self.commit(cls)
                return

    def event(self, cls, event, text):
        """Add an event of the gateway itself to the next commit."""
        log = self.log(cls)
        for _ in range(2):
            self._reserve(log, TEXT_ROOM)
            log.writer.event(event, text, self.clock.mono_ms())
            if self._kept(log):
                return

    def clock_set(self, utc_ms, error_ms):
        """Tie this boot's monotonic time to UTC in every class's log, at once.

        A header tells it in clear, for the next boot: where none has for an hour, a sector begins.
        """
        clock = self.clock
        for log in self._logs:
            if log.sector < 0:
                continue
            for _ in range(2):
                self._reserve(log, SMALL_ROOM)
                log.writer.clock(clock.mono_ms(), utc_ms, error_ms, clock.state)
                if self._kept(log):
                    self.commit(log.cls)
                    break
        last = self._logs[-1]
        if last.sector >= 0 and clock.utc_ms() - self.pool.utc_ms > _SEALED_AFTER_MS:
            self._roll(last)

    def commit(self, cls):
        """Program what waits; it is on flash when this returns. Returns the bytes programmed.

        Raises MediumError when no part of the open sector takes it; the log goes on in the next.
        """
        log = self._logs[cls]
        if not log.writer.records:
            return 0
        total = log.commit()
        if not total:
            self.lost_commits += 1
            self._roll(log)
            raise MediumError("log %s: the flash took no commit" % layout.CLASSES[cls])
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

    def closed_end(self, cls, number):
        """Return the end of the bytes in use of a sector, -1 when it is not held."""
        sector = self.pool.find(cls, number)
        return self.flash.used_end(sector) if sector >= 0 else -1

    def is_orphan(self, cls, number):
        """Say whether a sector was closed without a seal: its key was lost."""
        sector = self.pool.find(cls, number)
        open_number = self._logs[cls].number
        return sector >= 0 and number < open_number and not self.flash.is_sealed(sector)

    def hours_left(self):
        """Return for how many hours the blank sectors last at the rate since boot, or None."""
        now_ms = self.clock.mono_ms()
        if now_ms < _FORECAST_AFTER_MS or not self.programmed:
            return None  # too early to tell
        blank = (self.pool.ready + self.pool.unknown) * (SEAL_AT - HEADER_SIZE)
        return blank * now_ms // self.programmed / 3600000

    def release(self, cls, number):
        """Say that a closed sector's receipts are in: it may be overwritten when need be."""
        sector = self._closed(cls, number)
        if sector >= 0:
            self.pool.release(sector)

    def copied(self, cls, number):
        """Say that one site has a closed sector, which is better lost than one that none has."""
        sector = self._closed(cls, number)
        if sector >= 0:
            self.pool.copied(sector)

    def is_copied(self, cls, number):
        """Say whether any site is known to have a sector."""
        sector = self.pool.find(cls, number)
        return sector >= 0 and self.pool.is_copied(sector)

    def _closed(self, cls, number):
        return self.pool.find(cls, number) if number != self._logs[cls].number else -1

    def _give_up(self):
        """Erase the sector that matters least; a gap record says so before. False when none."""
        numbers = [log.number for log in self._logs]
        sector = self.pool.victim(numbers)
        if sector < 0:
            return False
        owner = self.pool.owner(sector)
        if owner < len(self._logs) and not self.pool.is_copied(sector):
            if max(numbers) < 0:
                return False  # no log is open that could say so
            self._say_gap(owner, self.pool.number(sector))
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
        best.begin(0)
        best.writer.mark()
        best.writer.gap(cls, number, number, self.clock.mono_ms())
        self.commit(best.cls)

    # --- idle moments ---

    def idle(self):
        """Do one step of housekeeping; returns True when it erased. Call it between readings."""
        if self.pool.ready < BLANKS_AHEAD:
            if self.pool.prepare():
                return False
            return self._give_up()
        for log in self._logs:
            if log.sector >= 0 and self._is_due(log):
                self.commit(log.cls)
                self._roll(log)
                return False
        return self.keys.tidy()

    def _is_due(self, log):
        used = log.end > HEADER_SIZE or log.writer.records
        return used and self.clock.mono_ms() - log.opened_ms > _SEALED_AFTER_MS
