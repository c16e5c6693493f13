"""A gateway's flash, keys and journal in memory, for tests on both interpreters."""

import os

from bridge.core.events import NO_VALUE, VALID, Observation
from bridge.core.journal import layout, records
from bridge.core.journal.keyring import (
    COPY_AT,
    SLOT_SIZE,
    Identity,
    KeyRing,
    pack_identity,
    pack_seed,
    pack_slot,
)
from bridge.core.journal.reader import SectorReader
from bridge.core.journal.ring import Journal
from bridge.core.journal.seal import FIRST_SEAL, next_chain_key
from hil.virtual_board.nor import NorChip, Partition

try:
    from cryptolib import aes

    def cipher(key):
        return aes(key, 1)

except ImportError:
    from vitalkeep.keys.cipher import Aes256 as cipher

GATEWAY = b"gateway1"
LOG_ID = b"logid--1"
SITE = b"site---1"
UPLINK_KEY = b"u" * 32
RECEIPT_KEY = b"r" * 32
CHAIN_KEYS = (b"A" * 32, b"B" * 32, b"C" * 32)
SEEDS = tuple(bytes((0xE0 + epoch,)) * 31 + b"s" for epoch in range(1, 9))
KEY_BLOCKS = 3
EXTRAS = {0x8000: ("O2 supply", "kPa")}
DEVICES = (("vent", "draeger_medibus", 0), ("panel", "modbus_rtu", 17))


class HandClock:
    """A clock that a test moves by hand."""

    def __init__(self, boot):
        self.boot = boot
        self.state = layout.CLOCK_UNKNOWN
        self.now_ms = 0

    def mono_ms(self):
        return self.now_ms

    def utc_ms(self):
        return 0


class Flash:
    """One chip with a key region and a log of `sectors`; provisioned when made.

    key_blocks  3, or 4 for one with spare seeds
    """

    def __init__(self, sectors=12, seed=1, key_blocks=KEY_BLOCKS):
        size = (key_blocks + sectors) * layout.SECTOR_SIZE
        self.chip = NorChip(bytearray(b"\xff" * size), size)
        start = key_blocks * layout.SECTOR_SIZE
        self.keys = Partition(self.chip, 0, start)
        self.log = Partition(self.chip, start, sectors * layout.SECTOR_SIZE)
        self._seed = seed
        self._boots = 0
        sites = [(SITE, RECEIPT_KEY)]
        identity = Identity(GATEWAY, LOG_ID, UPLINK_KEY, b"c" * 32, sites)
        self.keys.writeblocks(0, pack_identity(identity), 0)
        for cls, key in enumerate(CHAIN_KEYS):
            slot = pack_slot(cls, 0, 0, 0, key, FIRST_SEAL)
            self.keys.writeblocks(1, slot, cls * SLOT_SIZE)
        if key_blocks > 3:
            for index, spare in enumerate(SEEDS):
                self.keys.writeblocks(3, pack_seed(index + 1, spare), index * SLOT_SIZE)
            self.keys.writeblocks(3, pack_identity(identity), COPY_AT)

    def boot(self):
        """Return (journal, clock) after a power-on; raises PowerCut like any flash user."""
        self._boots += 1
        clock = HandClock(self._boots)
        ring = KeyRing(self.keys)
        ring.recover()
        devices = [records.Device(*device) for device in DEVICES]
        journal = Journal(self.log, ring, cipher, os.urandom, clock, devices, EXTRAS)
        journal.recover()
        return journal, clock


def observation(step, count=12):
    """Return an observation whose values are told by `step`, and the list they should read as."""
    made = Observation(16)
    made.begin(0, 0x24)
    expected = []
    for index in range(count):
        parameter = index + 1 if index else 0x8000
        value = step * (index + 3) * 7919 % 30011 - 15000
        state = NO_VALUE if (step + index) % 11 == 0 else VALID
        made.add(parameter, value if state == VALID else 0, index % 2, state)
        expected.append(value if state == VALID else None)
    return made, expected


def read_all(journal, cls, kind=records.OBSERVATION):
    """Return every record of one kind in the sectors that a journal holds of a class."""
    found = []
    key = CHAIN_KEYS[cls]
    sector = bytearray(layout.SECTOR_SIZE)
    for number in range(journal.newest(cls)[0] + 1):
        if journal.read(cls, number, 0, sector):
            for record in SectorReader(cipher, key).feed(sector):
                if record.kind == kind:
                    found.append(record)
        key = next_chain_key(key)
    return found


def values_of(record):
    return [value.value for value in record.values]
