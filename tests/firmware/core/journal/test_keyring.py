"""The key region: slots, their clearing, room for the next ones, and the spare block."""

import unittest

from micropython import heap_lock, heap_unlock

from bridge.core.errors import FormatError, KeyLost, MediumError
from bridge.core.journal.keyring import COPY_AT, SLOT_SIZE, SLOTS, SPARES, KeyRing
from bridge.core.journal.seal import FIRST_SEAL, epoch_key
from hil.virtual_board.nor import NorChip, Partition, PowerCut
from tests.support.epochs import lose_slots
from tests.support.gateway import CHAIN_KEYS, GATEWAY, LOG_ID, RECEIPT_KEY, SEEDS, SITE, Flash

_FIRSTS = (40, 7, 0)  # by class, of the epoch that the tests below begin


def fresh(key_blocks=3):
    flash = Flash(key_blocks=key_blocks)
    ring = KeyRing(flash.keys)
    ring.recover()
    return flash, ring


class Deaf:
    """A medium whose writes do nothing: what it costs to call them shows alone."""

    def __init__(self, medium):
        self.readblocks = medium.readblocks
        self.ioctl = medium.ioctl

    def writeblocks(self, block, data, offset):
        pass


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

    def test_finding_and_clearing_allocate_nothing(self):
        flash, _ = fresh()
        ring = KeyRing(Deaf(flash.keys))
        ring.recover()
        heap_lock()
        try:
            slot = ring.find(1, 0)
            newest = ring.newest(1)
            ring.clear(slot)
        finally:
            heap_unlock()
        self.assertTrue(newest is slot)
        self.assertIsNone(ring.find(1, 0))

    def test_slots_never_enter_the_spare_block(self):
        flash, ring = fresh(4)
        spare = bytes(flash.chip.store[3 * 4096 : 4 * 4096])
        for number in range(1, 3 * SLOTS):
            old = ring.newest(0)
            ring.put(0, 0, 0, number, key(number), seal(number))
            ring.clear(old)
            ring.tidy()
        self.assertEqual(bytes(flash.chip.store[3 * 4096 : 4 * 4096]), spare)
        self.assertEqual(flash.chip.wear[3], 0)


class TestSpares(unittest.TestCase):
    def after_loss(self, flash):
        """Boot and begin the epoch of every class without a slot; return the key ring."""
        ring = KeyRing(flash.keys)
        ring.recover()
        for cls, first in enumerate(_FIRSTS):
            if ring.newest(cls) is None:
                ring.begin_epoch(cls, first)
        ring.end_epoch()
        return ring

    def assertBegun(self, ring, epoch=1):
        for cls, first in enumerate(_FIRSTS):
            slot = ring.newest(cls)
            found = (slot.epoch, slot.first, slot.number, slot.previous_seal)
            self.assertEqual(found, (epoch, first, first, FIRST_SEAL))
            self.assertEqual(slot.key, epoch_key(SEEDS[epoch - 1], cls, first))

    def test_lost_block_of_identity_is_read_from_its_copy(self):
        flash, ring = fresh(4)
        self.assertFalse(ring.copied)
        flash.chip.store[:4096] = bytes(4096)
        again = KeyRing(flash.keys)
        self.assertEqual(again.recover(), 0)
        self.assertTrue(again.copied)
        self.assertEqual(again.identity.gateway, GATEWAY)
        self.assertEqual(again.identity.sites, [(SITE, RECEIPT_KEY)])
        self.assertEqual(again.newest(2).key, CHAIN_KEYS[2])
        flash.chip.store[3 * 4096 + COPY_AT + 30] ^= 1
        with self.assertRaises(FormatError):
            KeyRing(flash.keys)

    def test_nothing_lost_spends_no_seed(self):
        flash, ring = fresh(4)
        ring.end_epoch()
        self.assertEqual(ring.spares, SPARES)
        for spare in SEEDS:
            self.assertGreater(bytes(flash.chip.store).find(spare), 0)

    def test_all_classes_begin_with_one_seed_and_then_it_is_gone(self):
        for name, loss in (("erased", b"\xff"), ("zeros", b"\x00"), ("noise", b"\x5a\x13\x80")):
            with self.subTest(loss=name):
                flash, _ = fresh(4)
                flash.chip.store[4096 : 3 * 4096] = (loss * 8192)[:8192]
                ring = self.after_loss(flash)
                self.assertBegun(ring)
                self.assertEqual(ring.spares, SPARES - 1)
                self.assertEqual(bytes(flash.chip.store).find(SEEDS[0]), -1)
                again = KeyRing(flash.keys)
                self.assertEqual(again.recover(), 0)
                self.assertBegun(again)
                self.assertEqual(again.spares, SPARES - 1)

    def test_only_the_class_without_a_slot_changes_epoch(self):
        flash, _ = fresh(4)
        lose_slots(flash.keys, 1)
        ring = self.after_loss(flash)
        self.assertEqual([ring.newest(cls).epoch for cls in range(3)], [0, 1, 0])
        lose_slots(flash.keys, 0)
        ring = self.after_loss(flash)
        self.assertEqual([ring.newest(cls).epoch for cls in range(3)], [2, 1, 0])

    def test_seeds_run_out(self):
        flash, _ = fresh(4)
        for epoch in range(1, SPARES + 1):
            lose_slots(flash.keys)
            ring = self.after_loss(flash)
            self.assertBegun(ring, epoch)
        self.assertEqual(ring.spares, 0)
        lose_slots(flash.keys)
        with self.assertRaises(KeyLost):
            self.after_loss(flash)

    def test_region_of_three_blocks_has_no_spares(self):
        flash, ring = fresh(3)
        self.assertEqual(ring.spares, 0)
        lose_slots(flash.keys)
        with self.assertRaises(KeyLost):
            self.after_loss(flash)

    def test_damaged_seed_is_cleared_and_the_next_one_serves(self):
        flash, _ = fresh(4)
        flash.keys.writeblocks(3, b"\x00", 12)
        lose_slots(flash.keys)
        again = KeyRing(flash.keys)
        self.assertEqual(again.recover(), 1)
        self.assertEqual(again.spares, SPARES - 1)
        self.assertEqual(bytes(flash.chip.store).find(SEEDS[0][2:]), -1)
        self.assertBegun(self.after_loss(flash), 2)

    def test_cut_at_any_step_ends_in_the_same_keys_and_no_seed(self):
        for loss in (b"\xff", b"\x00"):
            flash, _ = fresh(4)
            flash.chip.store[4096 : 3 * 4096] = loss * 8192
            start = flash.chip.programs + flash.chip.erases
            self.after_loss(flash)
            steps = flash.chip.programs + flash.chip.erases - start
            self.assertGreater(steps, 3)
            for cut in range(1, steps + 1):
                for seed in range(8):
                    with self.subTest(loss=loss, cut=cut, seed=seed):
                        self.cut_at(loss, cut, seed)

    def cut_at(self, loss, cut, seed):
        flash, _ = fresh(4)
        flash.chip.store[4096 : 3 * 4096] = loss * 8192
        for operations in (cut, 1 + seed % 3):
            # The second cut may come in the boot behind the first, or not at all.
            flash.chip.cut_after(operations, 8 * cut + seed)
            try:
                self.after_loss(flash)
            except PowerCut:
                pass
            flash.chip.power_on()
        ring = self.after_loss(flash)
        self.assertBegun(ring)
        self.assertEqual(len(ring.slots), 3)
        self.assertEqual(ring.spares, SPARES - 1)
        spent = bytearray(SLOT_SIZE)
        flash.keys.readblocks(3, spent, 0)
        self.assertEqual(spent, bytes(SLOT_SIZE))
        self.assertEqual(flash.chip.violations, 0)


if __name__ == "__main__":
    unittest.main()
