"""Flash that has grown old, or that held something else: nothing acknowledged is lost."""

import unittest

from bridge.core.errors import MediumError
from bridge.core.journal import layout, records
from bridge.core.journal.keyring import SLOT_SIZE, SLOTS
from hil.power_cuts.judge import COUNTERS, INVENTED, MISSING, ORDER, POSITIONS, Judge
from hil.virtual_board.nor import NorChip, Partition, Random
from hil.virtual_board.wear import (
    ERASE_REFUSED,
    ERASE_WEAK,
    PROGRAM_REFUSED,
    PROGRAM_WEAK,
    WornChip,
)
from tests.support.gateway import KEY_BLOCKS, Flash, observation

try:
    from vfs import VfsLfs2
except ImportError:
    VfsLfs2 = None

SIZE = layout.SECTOR_SIZE
_PROMISES = (MISSING, INVENTED, ORDER, POSITIONS, COUNTERS)


class Ward:
    """A gateway on a worn chip, with its judge."""

    def __init__(self, sectors=12, make_chip=WornChip):
        self.flash = Flash(sectors, make_chip=make_chip)
        self.chip = self.flash.chip
        self.judge = Judge(self.flash)
        self.refused = 0
        self.boot()

    def boot(self):
        self.judge.booted()
        self.journal, self.clock = self.flash.boot()

    def fill(self, steps, first=0):
        """Append one observation a second to class A; count commits that the flash refused."""
        for step in range(first, first + steps):
            self.clock.now_ms += 1000
            made, _ = observation(step, 16)
            values = tuple(
                (made.parameters[index], made.values[index], made.decimals[index])
                for index in range(made.count)
                if made.states[index] == 0
            )
            entry = (records.OBSERVATION, self.clock.boot, self.clock.now_ms, "vent", 0x24, values)
            self.judge.handed(0, entry)
            try:
                self.journal.observation(0, 0, made, self.clock.now_ms)
                self.journal.commit(0)
                self.judge.acknowledged(0)
            except MediumError:
                self.refused += 1
                self.judge.booted()
            self.journal.idle()

    def broken(self):
        """Return the promises that do not hold."""
        self.judge.check(self.journal)
        return [failure for failure in self.judge.failures if failure[0] in _PROMISES]


def log_sector(block):
    """Return the chip's number of a sector of the log."""
    return KEY_BLOCKS + block


class TestWornSectors(unittest.TestCase):
    def test_programs_that_fail_now_and_then_lose_nothing(self):
        ward = Ward(sectors=24)
        ward.chip.weak = 2000  # 3 %
        worn = 0
        for boot in range(4):
            ward.fill(200, 200 * boot)
            worn += ward.journal.worn
            ward.boot()
        self.assertGreater(worn, 10)
        self.assertEqual(ward.broken(), [])

    def test_sector_that_takes_no_program_is_passed_over(self):
        for fault in (PROGRAM_WEAK, PROGRAM_REFUSED):
            with self.subTest(fault=fault):
                ward = Ward()
                ward.chip.sectors[log_sector(4)] = fault
                ward.fill(500)
                self.assertEqual(ward.journal.pool.worn, 1)
                self.assertEqual(ward.refused, 0)
                self.assertEqual(ward.broken(), [])

    def test_open_sector_that_goes_bad_costs_one_commit_and_says_so(self):
        ward = Ward()
        ward.fill(20)
        newest = ward.journal.newest(0)[0]
        ward.chip.sectors[log_sector(ward.journal.pool.find(0, newest))] = PROGRAM_REFUSED
        ward.fill(200, 20)
        self.assertEqual(ward.refused, 1)
        self.assertEqual(ward.journal.lost_commits, 1)
        self.assertEqual(ward.broken(), [])

    def test_sector_that_does_not_erase_is_not_taken_again(self):
        for fault in (ERASE_WEAK, ERASE_REFUSED):
            with self.subTest(fault=fault):
                ward = Ward(sectors=9)
                ward.fill(20)
                ward.chip.sectors[log_sector(3)] = fault
                ward.chip.sectors[log_sector(5)] = fault
                ward.fill(1500, 20)
                self.assertEqual(ward.journal.pool.worn, 2)
                self.assertLessEqual(ward.chip.failed, 2)
                self.assertEqual(ward.refused, 0)
                self.assertEqual(ward.broken(), [])

    def test_stuck_bits_are_written_around(self):
        ward = Ward()
        random = Random(7)
        # So many that some ask for the other bit, whatever the sealed bytes are.
        for stuck in range(60):
            block = stuck % 12
            place = log_sector(block) * SIZE + 300 + random.below(3000)
            ones = 1 << random.below(8)
            ward.chip.stuck[place] = (ones, 0) if stuck % 2 else (0, ones)
        ward.fill(400)
        self.assertGreater(ward.journal.worn, 0)
        self.assertEqual(ward.broken(), [])

    def test_frame_that_failed_at_its_length_is_no_other_frame(self):
        # With bit 0 stuck, a cleared length byte says 1: one byte, and a check that fits it.
        ward = Ward()
        start = log_sector(0) * SIZE
        for place in (700, 1019, layout.SEAL_AT - 6):
            ward.chip.stuck[start + place] = (1, 0)
            frame = b"\x02\xff\x07\x00\x00"
            self.assertFalse(ward.journal.flash.put(0, place, frame))
            end = min(layout.next_page(place), layout.SEAL_AT)
            ward.journal.flash.void(0, place, end)
            data = bytearray(SIZE)
            ward.chip.read(start, data)
            self.assertEqual(data[place], 1)
            self.assertEqual(layout.look(data, place, SIZE)[0], layout.END)
            self.assertEqual(data[end:], b"\xff" * (SIZE - end))

    def test_key_slot_that_does_not_hold_is_not_relied_on(self):
        ward = Ward()
        ward.fill(10)
        # The next slots of block 1, which hold the next chain keys.
        for place in range(3, 6):
            ward.chip.stuck[SIZE + place * SLOT_SIZE + 20] = (0xFF, 0)
        ward.fill(300, 10)
        self.assertEqual(ward.journal.keys.worn, 3)
        ward.boot()
        ward.fill(20, 310)
        self.assertEqual(ward.broken(), [])
        self.assertEqual(ward.journal.keys.newest(0).epoch, 0)

    def test_key_region_that_takes_nothing_is_an_error_not_a_loop(self):
        ward = Ward()
        ward.chip.sectors[1] = ward.chip.sectors[2] = PROGRAM_REFUSED
        ward.fill(300)
        self.assertGreater(ward.refused, 0)
        self.assertGreater(ward.journal.keys.worn, SLOTS)
        self.assertEqual(ward.broken(), [])


class TestForeignContent(unittest.TestCase):
    def ward_on(self, content):
        """Return a ward whose log partition held `content`, mounted."""

        def make_chip(store, size):
            start = KEY_BLOCKS * SIZE
            store[start:] = content(size - start)
            return NorChip(store, size)

        ward = Ward(9, make_chip)
        self.assertEqual(ward.chip.erases, 0)
        return ward

    def check(self, content):
        ward = self.ward_on(content)
        self.assertEqual(ward.journal.pool.ready, 0)
        ward.fill(300)
        self.assertEqual(ward.refused, 0)
        self.assertEqual(ward.journal.pool.forced_erases, 1)
        ward.boot()
        ward.fill(50, 300)
        self.assertEqual(ward.broken(), [])

    def test_random_bytes(self):
        random = Random(3)
        self.check(lambda size: bytes(random.below(256) for _ in range(size)))

    def test_littlefs(self):
        def content(size):
            chip = NorChip(bytearray(b"\xff" * size), size)
            VfsLfs2.mkfs(Partition(chip, 0, size))
            return chip.store

        if VfsLfs2 is None:
            self.skipTest("no littlefs on this interpreter")
        ward = self.ward_on(content)
        self.assertGreater(ward.journal.pool.set_aside, 0)
        ward.fill(300)
        self.assertEqual(ward.broken(), [])

    def test_zeros(self):
        self.check(bytes)

    def test_sector_of_random_bytes_among_ours(self):
        ward = Ward(12, NorChip)
        ward.fill(10)
        random = Random(5)
        noise = bytes(random.below(256) for _ in range(SIZE))
        ward.flash.log.writeblocks(8, noise, 0)
        ward.boot()
        self.assertEqual(ward.journal.pool.set_aside, 1)
        ward.fill(500, 10)
        self.assertEqual(ward.broken(), [])


if __name__ == "__main__":
    unittest.main()
