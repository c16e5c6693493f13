"""The key region: slots, their clearing, and room for the next ones."""

import unittest

from bridge.core.errors import FormatError, MediumError
from bridge.core.journal.keyring import SLOTS, KeyRing
from hil.virtual_board.nor import NorChip, Partition
from tests.support.gateway import CHAIN_KEYS, GATEWAY, LOG_ID, RECEIPT_KEY, SITE, Flash


def fresh():
    flash = Flash()
    ring = KeyRing(flash.keys)
    ring.recover()
    return flash, ring


def seal(number):
    return bytes((number & 0xFF,)) * 16


def key(number):
    return bytes((number & 0xFF,)) * 31 + b"k"


class TestKeyRing(unittest.TestCase):
    def test_provisioned_region_tells_who_the_gateway_is(self):
        _, ring = fresh()
        self.assertEqual(ring.identity.gateway, GATEWAY)
        self.assertEqual(ring.identity.log_id, LOG_ID)
        self.assertEqual(ring.identity.sites, [(SITE, RECEIPT_KEY)])
        self.assertEqual([slot.key for slot in ring.slots], list(CHAIN_KEYS))

    def test_blank_or_damaged_region_is_refused(self):
        size = 3 * 4096
        blank = Partition(NorChip(bytearray(b"\xff" * size), size), 0, size)
        with self.assertRaises(FormatError):
            KeyRing(blank)
        flash = Flash()
        flash.chip.store[50] &= 0x10
        with self.assertRaises(FormatError):
            KeyRing(flash.keys)
        with self.assertRaises(MediumError):
            KeyRing(Partition(flash.chip, 0, 2 * 4096))

    def test_next_key_is_found_again_and_the_old_one_is_gone(self):
        flash, ring = fresh()
        old = ring.newest(0)
        ring.put(0, 0, 0, 1, key(1), seal(1))
        ring.clear(old)
        again = KeyRing(flash.keys)
        again.recover()
        slot = again.newest(0)
        self.assertEqual((slot.number, slot.key, slot.previous_seal), (1, key(1), seal(1)))
        self.assertIsNone(again.find(0, 0))
        self.assertEqual(bytes(flash.chip.store).find(CHAIN_KEYS[0]), -1)

    def test_slot_that_was_half_cleared_is_cleared_at_boot(self):
        flash, ring = fresh()
        place = ring.newest(0).place
        flash.keys.writeblocks(place // SLOTS, bytes(9), place % SLOTS * 64)
        again = KeyRing(flash.keys)
        self.assertEqual(again.recover(), 1)
        self.assertIsNone(again.newest(0))
        self.assertEqual(bytes(flash.chip.store).find(CHAIN_KEYS[0][:20]), -1)

    def test_blocks_are_used_in_turn_and_erased_only_when_tidied(self):
        flash, ring = fresh()
        for number in range(1, 400):
            old = ring.newest(1)
            ring.put(1, 0, 0, number, key(number), seal(number))
            ring.clear(old)
            if number % 10 == 0:
                ring.tidy()
        self.assertGreater(flash.chip.erases, 4)
        again = KeyRing(flash.keys)
        again.recover()
        self.assertEqual(again.newest(1).number, 399)
        self.assertEqual(again.newest(0).key, CHAIN_KEYS[0])
        self.assertEqual(again.newest(2).key, CHAIN_KEYS[2])

    def test_full_region_erases_what_is_spent_when_nobody_tidied(self):
        flash, ring = fresh()
        for number in range(1, 2 * SLOTS + 20):
            old = ring.newest(0)
            ring.put(0, 0, 0, number, key(number), seal(number))
            ring.clear(old)
            if number == SLOTS:
                self.assertEqual(flash.chip.erases, 0)
        self.assertEqual(flash.chip.erases, 1)
        again = KeyRing(flash.keys)
        again.recover()
        self.assertEqual(again.newest(0).number, 2 * SLOTS + 19)
        self.assertEqual(again.newest(2).key, CHAIN_KEYS[2])


if __name__ == "__main__":
    unittest.main()
