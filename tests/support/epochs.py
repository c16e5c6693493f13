"""How a gateway loses its chain keys, for tests on both interpreters."""

from bridge.core.journal.keyring import SLOT_SIZE, SLOTS


def lose_slots(medium, cls=None):
    """Program the key slots of one class, or of all, to zeros.

    medium  block device of a key region whose slots are in blocks 1 and 2
    """
    data = bytearray(SLOT_SIZE)
    for block in (1, 2):
        for place in range(SLOTS):
            medium.readblocks(block, data, place * SLOT_SIZE)
            if cls is None or data[1] == cls:
                medium.writeblocks(block, bytes(SLOT_SIZE), place * SLOT_SIZE)
