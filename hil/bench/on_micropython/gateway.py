"""A gateway's flash, keys, clock and journal for the bench; runs on both interpreters."""

from bridge.core.events import NO_VALUE, VALID, Observation
from bridge.core.journal import records
from bridge.core.journal.keyring import Identity, KeyRing, pack_identity, pack_slot
from bridge.core.journal.ring import Journal
from bridge.core.journal.seal import FIRST_SEAL
from hil.power_cuts.gateway import CHAIN_KEYS, HandClock, cipher
from hil.virtual_board.nor import Partition

CLASS = 0
KEY_BLOCKS = 4  # as boards have
DEVICE = "monitor"
_GROUP = 1


class Gateway:
    """One provisioned gateway on one chip: the key region, and behind it the log.

    chip    a NorChip of KEY_BLOCKS sectors and those of the log
    random  random(n) returns n bytes
    extras  {id: (label, unit)} of the parameters that the common table lacks
    part    what makes a block device of a part of the chip
    """

    def __init__(self, chip, random, extras, part=Partition):
        size = KEY_BLOCKS * chip.erase_size
        self.keys = part(chip, 0, size)
        self.log = part(chip, size, chip.size - size)
        self._random = random
        self._extras = extras
        self._boots = 0

    def provision(self):
        identity = Identity(b"gateway1", b"logid--1", b"u" * 32, b"c" * 32, [])
        self.keys.writeblocks(0, pack_identity(identity), 0)
        for cls, key in enumerate(CHAIN_KEYS):
            self.keys.writeblocks(1, pack_slot(cls, 0, 0, 0, key, FIRST_SEAL), cls * 64)

    def boot(self):
        """Return (journal, clock) after a power-on."""
        return self.mount(self.unlock())

    def unlock(self):
        """Return the recovered key ring."""
        ring = KeyRing(self.keys)
        ring.recover()
        return ring

    def mount(self, ring):
        """Return (journal, clock), the log recovered."""
        self._boots += 1
        clock = HandClock(self._boots)
        device = records.Device(DEVICE, "bench", 0)
        journal = Journal(self.log, ring, cipher, self._random, clock, [device], self._extras)
        journal.recover()
        return journal, clock


class Source:
    """Fills one Observation from rows of integers, None where there is no value."""

    def __init__(self, parameters, decimals):
        self.observation = Observation(len(parameters))
        self._parameters = parameters
        self._decimals = decimals

    def observe(self, row):
        made = self.observation
        made.begin(0, _GROUP)
        for index in range(len(row)):
            value = row[index]
            state = VALID
            if value is None:
                value, state = 0, NO_VALUE
            made.add(self._parameters[index], value, self._decimals[index], state)
        return made
