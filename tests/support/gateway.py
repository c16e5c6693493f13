"""A gateway's flash, keys and journal in memory, for tests on both interpreters."""

import os

from bridge.core.events import NO_VALUE, VALID, Observation
from bridge.core.journal import layout, records
from bridge.core.journal.reader import SectorReader
from bridge.core.journal.seal import next_chain_key
from hil.power_cuts.gateway import (  # noqa: F401  for tests to import from here
    CHAIN_KEYS,
    DEVICES,
    EXTRAS,
    GATEWAY,
    LOG_ID,
    RECEIPT_KEY,
    SEEDS,
    SITE,
    UPLINK_KEY,
    Gateway,
    HandClock,
    cipher,
)
from hil.virtual_board.nor import NorChip

KEY_BLOCKS = 3


class Flash(Gateway):
    """A Gateway with fresh random bytes; key_blocks is 4 for one with spare seeds."""

    def __init__(self, sectors=12, key_blocks=KEY_BLOCKS, make_chip=NorChip):
        super().__init__(os.urandom, sectors, key_blocks, 0, make_chip)


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
