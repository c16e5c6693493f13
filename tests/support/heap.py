"""A log at work in memory, on a flash and with a cipher that allocate nothing themselves."""

from bridge.core.events import VALID, Observation, Wave
from bridge.core.journal import layout, records
from bridge.core.journal.keyring import KeyRing
from bridge.core.journal.ring import Journal
from hil.power_cuts.gateway import DEVICES, HandClock, provision

_KEY_BLOCKS = 4
_HOUR_MS = 3600000
_MONITOR = 18  # parameters
_VENTILATOR = 57


class PlainFlash:
    """A block device in memory that allocates nothing, and does not look at NOR's rules."""

    def __init__(self, blocks):
        self._data = bytearray(b"\xff" * (blocks * layout.SECTOR_SIZE))
        self._blocks = blocks

    def readblocks(self, block, buffer, offset=0):
        at = block * layout.SECTOR_SIZE + offset
        for index in range(len(buffer)):
            buffer[index] = self._data[at + index]

    def writeblocks(self, block, buffer, offset=None):
        at = block * layout.SECTOR_SIZE + offset
        for index in range(len(buffer)):
            self._data[at + index] &= buffer[index]

    def ioctl(self, operation, argument):
        if operation == 4:
            return self._blocks
        if operation == 5:
            return layout.SECTOR_SIZE
        at = argument * layout.SECTOR_SIZE
        for index in range(layout.SECTOR_SIZE):
            self._data[at + index] = 0xFF
        return 0


class LargeFlash(PlainFlash):
    """As many blocks as are asked for, most of them blank and not in memory."""

    def __init__(self, blocks, real):
        super().__init__(real)
        self._real = real
        self._blocks = blocks

    def readblocks(self, block, buffer, offset=0):
        if block < self._real:
            super().readblocks(block, buffer, offset)
            return
        for index in range(len(buffer)):
            buffer[index] = 0xFF


class PlainCipher:
    """Stands in for AES, whose built-in object is the port's: it allocates nothing."""

    def __init__(self, key):
        self._key = key[0]

    def encrypt(self, block, out):
        for index in range(16):
            out[index] = block[index] ^ self._key


class Ward:
    """A gateway with a monitor in class A, a ventilator in class B and one waveform in class C."""

    def __init__(self, log):
        self._log = log
        self._keys = PlainFlash(_KEY_BLOCKS)
        provision(self._keys, _KEY_BLOCKS)
        self.monitor = Observation(_MONITOR)
        self.ventilator = Observation(_VENTILATOR)
        self.wave = Wave(64)
        self.clock = HandClock(1)

    def boot(self):
        ring = KeyRing(self._keys)
        ring.recover()
        devices = [records.Device(*device) for device in DEVICES]
        self.journal = Journal(self._log, ring, PlainCipher, bytes, self.clock, devices, {})
        self.journal.recover()

    def fill(self, observation, group, number):
        observation.begin(0, group)
        for index in range(len(observation.values)):
            observation.add(index + 1, 100 * index + number * (index + 3) % 41, index % 2, VALID)

    def append_monitor(self, number):
        self.clock.now_ms += 1000
        self.fill(self.monitor, 1, number)
        self.journal.observation(0, 0, self.monitor, self.clock.now_ms)
        self.journal.commit(0)

    def append_ventilator(self, number):
        self.fill(self.ventilator, 2, number)
        self.journal.observation(1, 1, self.ventilator, self.clock.now_ms)
        self.journal.commit(1)

    def append_wave(self, number):
        wave = self.wave
        wave.parameter, wave.decimals, wave.period_us, wave.count = 30, 0, 4000, 64
        for index in range(64):
            wave.samples[index] = index * number % 50
        self.journal.wave(2, 1, wave, self.clock.now_ms)
        self.journal.commit(2)

    def next_sector(self):
        """Have every open sector sealed, as the hour does, and blanks kept ahead."""
        number = self.journal.newest(0)[0]
        self.clock.now_ms += _HOUR_MS + 1000
        while self.journal.newest(0)[0] == number or self.journal.idle():
            self.journal.idle()
