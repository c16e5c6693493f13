"""A gateway's flash in memory: provisioned keys, a log, and boots. Runs on both interpreters."""

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
from bridge.core.journal.ring import Journal
from bridge.core.journal.seal import FIRST_SEAL
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
COMMAND_KEY = b"c" * 32
RECEIPT_KEY = b"r" * 32
CHAIN_KEYS = (b"A" * 32, b"B" * 32, b"C" * 32)
SEEDS = tuple(bytes((0xE0 + epoch,)) * 31 + b"s" for epoch in range(1, 9))
EXTRAS = {0x8000: ("O2 supply", "kPa")}
DEVICES = (("vent", "draeger_medibus", 0), ("panel", "modbus_rtu", 17))


class HandClock:
    """A clock that is moved by hand."""

    def __init__(self, boot):
        self.boot = boot
        self.state = layout.CLOCK_UNKNOWN
        self.now_ms = 0

    def mono_ms(self):
        return self.now_ms

    def utc_ms(self):
        return 0


def provision(region, blocks, spent=0):
    """Write a key region.

    blocks  3, or 4 and more for one with spare seeds
    spent   slots that have served before, 0 to 61
    """
    identity = Identity(GATEWAY, LOG_ID, UPLINK_KEY, COMMAND_KEY, [(SITE, RECEIPT_KEY)])
    region.writeblocks(0, pack_identity(identity), 0)
    for place in range(spent):
        region.writeblocks(1, bytes(SLOT_SIZE), place * SLOT_SIZE)
    for cls, key in enumerate(CHAIN_KEYS):
        slot = pack_slot(cls, 0, 0, 0, key, FIRST_SEAL)
        region.writeblocks(1, slot, (spent + cls) * SLOT_SIZE)
    if blocks > 3:
        for index, spare in enumerate(SEEDS):
            region.writeblocks(blocks - 1, pack_seed(index + 1, spare), index * SLOT_SIZE)
        region.writeblocks(blocks - 1, pack_identity(identity), COPY_AT)


class Gateway:
    """One chip with a key region and a log; provisioned when made.

    sectors     of the log
    key_blocks  3, or 4 for one with spare seeds
    spent       key slots that have served before
    make_chip   makes the chip from (store, size)

    chip, keys, log  the NorChip, and the two Partitions on it
    medium           what the journal is given for its log: `log`, or what watches it
    cipher, random   what the journal is given
    boots            boots so far
    """

    def __init__(self, random, sectors=12, key_blocks=3, spent=0, make_chip=NorChip):
        size = (key_blocks + sectors) * layout.SECTOR_SIZE
        start = key_blocks * layout.SECTOR_SIZE
        self.chip = make_chip(bytearray(b"\xff" * size), size)
        self.keys = Partition(self.chip, 0, start)
        self.log = Partition(self.chip, start, sectors * layout.SECTOR_SIZE)
        self.medium = self.log
        self.sectors = sectors
        self.key_blocks = key_blocks
        self.cipher = cipher
        self.random = random
        self.boots = 0
        provision(self.keys, key_blocks, spent)

    def boot(self):
        """Return (journal, clock) after a power-on; raises PowerCut like any flash user."""
        self.boots += 1
        clock = HandClock(self.boots)
        ring = KeyRing(self.keys)
        ring.recover()
        devices = [records.Device(*device) for device in DEVICES]
        journal = Journal(self.medium, ring, self.cipher, self.random, clock, devices, EXTRAS)
        journal.recover()
        return journal, clock
