"""The chip is as strict as its data sheet, and tears what a power cut tears."""

# ruff: noqa: PT009, PT027, UP031  plain unittest in MicroPython's Python

import os
import unittest

from hil.virtual_board.nor import ERASE_SIZE, FileStore, NorChip, Partition, PowerCut, Timing

_SIZE = 4 * ERASE_SIZE
_FILE = "/tmp/vitalkeep_nor_test_%s.bin" % "".join("%02x" % byte for byte in os.urandom(4))


def blank_chip(**options):
    return NorChip(bytearray(b"\xff" * _SIZE), _SIZE, **options)


def read(chip, offset, size):
    buffer = bytearray(size)
    chip.read(offset, buffer)
    return bytes(buffer)


class TestProgram(unittest.TestCase):
    def test_a_blank_byte_takes_any_value(self):
        chip = blank_chip()
        chip.program(10, bytes(range(256)) * 3)
        self.assertEqual(read(chip, 10, 768), bytes(range(256)) * 3)
        self.assertEqual(read(chip, 778, 1), b"\xff")
        self.assertEqual((chip.programs, chip.bytes_programmed), (1, 768))
        self.assertEqual((chip.reads, chip.bytes_read), (2, 769))

    def test_bits_may_be_cleared_and_repeated(self):
        chip = blank_chip()
        for value in (0xF0, 0xF0, 0x30, 0x00, 0x00):
            chip.program(5, bytes([value]))
            self.assertEqual(read(chip, 5, 1), bytes([value]))
        self.assertEqual(chip.violations, 0)

    def test_a_zero_never_becomes_a_one(self):
        chip = blank_chip()
        chip.program(300, b"\x0f")
        with self.assertRaises(OSError):
            chip.program(0, b"\x00" * 300 + b"\x1f")
        self.assertEqual(chip.violations, 1)
        # Refused as a whole: a real chip would have programmed half of a mistake.
        self.assertEqual(read(chip, 0, 301), b"\xff" * 300 + b"\x0f")

    def test_nothing_outside_the_chip_is_touched(self):
        chip = blank_chip()
        for call in (
            lambda: chip.program(_SIZE - 1, b"ab"),
            lambda: chip.program(-1, b"a"),
            lambda: chip.read(_SIZE, bytearray(1)),
            lambda: chip.erase(4),
            lambda: chip.erase(-1),
        ):
            self.assertRaises(OSError, call)

    def test_a_page_chip_refuses_parts_of_pages(self):
        chip = blank_chip(program_unit=256)
        for offset, size in ((1, 256), (0, 255), (128, 256), (0, 300)):
            with self.assertRaises(OSError) as caught:
                chip.program(offset, bytes(size))
            self.assertEqual(caught.exception.args[0], 22)

    def test_a_page_is_programmed_twice_with_padding(self):
        chip = blank_chip(program_unit=256)
        chip.program(256, b"ab" + b"\xff" * 254)
        chip.program(256, b"\xff\xffcd" + b"\xff" * 252)
        self.assertEqual(read(chip, 256, 5), b"abcd\xff")
        with self.assertRaises(OSError):
            chip.program(256, b"\xfe" * 256)
        self.assertEqual(chip.violations, 1)


class TestErase(unittest.TestCase):
    def test_an_erase_sets_one_sector_and_counts_its_wear(self):
        chip = blank_chip()
        chip.program(0, bytes(_SIZE))
        chip.erase(1)
        chip.erase(1)
        chip.erase(3)
        self.assertEqual(list(chip.wear), [0, 2, 0, 1])
        self.assertEqual(chip.erases, 3)
        self.assertEqual(read(chip, ERASE_SIZE - 1, 2), b"\x00\xff")
        self.assertEqual(read(chip, 2 * ERASE_SIZE - 1, 2), b"\xff\x00")

    def test_operations_take_the_modelled_time(self):
        slept = []
        chip = blank_chip(timing=Timing(slept.append))
        chip.erase(0)
        chip.program(250, bytes(10))
        self.assertEqual(slept, [45, 1])


class TestPowerCut(unittest.TestCase):
    def cut(self, seed, operation, old=b"\xff"):
        """Return what a sector of `old` holds after a torn operation."""
        chip = NorChip(bytearray(old * ERASE_SIZE), ERASE_SIZE)
        chip.cut_after(1, seed)
        self.assertRaises(PowerCut, operation, chip)
        chip.power_on()
        return read(chip, 0, ERASE_SIZE)

    def test_a_torn_program_clears_no_bit_that_was_not_asked_for(self):
        data = bytes(range(64))
        kinds = set()
        for seed in range(60):
            left = self.cut(seed, lambda chip: chip.program(0, data))
            self.assertEqual(left[64:], b"\xff" * (ERASE_SIZE - 64))
            for index in range(64):
                self.assertEqual(left[index] & data[index], data[index])
            if left[:64] == data:
                kinds.add("all")
            elif left == b"\xff" * ERASE_SIZE:
                kinds.add("nothing")
            elif left[0] == 0 and left[63] == 0xFF:
                kinds.add("prefix")
            else:
                kinds.add("bits")
        self.assertEqual(sorted(kinds), ["all", "bits", "nothing", "prefix"])

    def test_a_torn_erase_leaves_old_blank_a_part_and_garbage(self):
        kinds = set()
        for seed in range(60):
            left = self.cut(seed, lambda chip: chip.erase(0), b"\x5a")
            if left == b"\xff" * ERASE_SIZE:
                kinds.add("all")
            elif left == b"\x5a" * ERASE_SIZE:
                kinds.add("nothing")
            elif left.lstrip(b"\xff") == b"\x5a" * left.count(b"\x5a"):
                kinds.add("front")
            elif left.rstrip(b"\xff") == b"\x5a" * left.count(b"\x5a"):
                kinds.add("back")
            else:
                self.assertGreater(len(set(left)), 50)
                kinds.add("mixture")
        self.assertEqual(sorted(kinds), ["all", "back", "front", "mixture", "nothing"])

    def test_the_same_seed_tears_alike(self):
        def work(chip):
            chip.program(0, bytes(range(256)))

        self.assertEqual(self.cut(7, work), self.cut(7, work))

    def test_no_operation_works_until_the_power_is_back(self):
        chip = blank_chip()
        chip.program(0, b"a")
        seen = []
        chip.on_cut = lambda: seen.append(1)
        chip.cut_after(2, 1)
        chip.program(1, b"b")
        self.assertRaises(PowerCut, chip.program, 2, b"c")
        for _ in range(2):
            self.assertRaises(PowerCut, chip.program, 3, b"d")
            self.assertRaises(PowerCut, chip.erase, 1)
            self.assertRaises(PowerCut, chip.read, 0, bytearray(1))
        self.assertEqual(seen, [1])
        chip.power_on()
        self.assertEqual(read(chip, 0, 2), b"ab")

    def test_no_exception_handler_survives_a_power_cut(self):
        self.assertFalse(issubclass(PowerCut, Exception))


class TestPartition(unittest.TestCase):
    def setUp(self):
        self.chip = blank_chip()
        self.part = Partition(self.chip, ERASE_SIZE, 2 * ERASE_SIZE)

    def test_it_says_how_many_blocks_of_what_size(self):
        self.assertEqual((self.part.ioctl(4, 0), self.part.ioctl(5, 0)), (2, ERASE_SIZE))
        self.assertIsNone(self.part.ioctl(1, 0))

    def test_a_write_with_offset_never_erases(self):
        self.part.writeblocks(1, b"\x00abc", 8)
        self.assertEqual(self.chip.erases, 0)
        self.assertEqual(read(self.chip, 2 * ERASE_SIZE + 8, 4), b"\x00abc")
        self.assertRaises(OSError, self.part.writeblocks, 1, b"\x01", 8)
        buffer = bytearray(2)
        self.part.readblocks(1, buffer, 9)
        self.assertEqual(buffer, b"ab")

    def test_a_write_without_offset_erases_first(self):
        self.part.writeblocks(0, bytes(ERASE_SIZE))
        self.part.writeblocks(0, b"\x55" * (2 * ERASE_SIZE))
        self.assertEqual(list(self.chip.wear), [0, 2, 1, 0])
        self.assertRaises(OSError, self.part.writeblocks, 0, b"short")

    def test_an_erase_returns_zero(self):
        self.assertEqual(self.part.ioctl(6, 1), 0)
        self.assertEqual(list(self.chip.wear), [0, 0, 1, 0])

    def test_nothing_outside_the_partition_is_touched(self):
        for call in (
            lambda: self.part.ioctl(6, 2),
            lambda: self.part.ioctl(6, -1),
            lambda: self.part.writeblocks(2, b"a", 0),
            lambda: self.part.writeblocks(1, b"ab", ERASE_SIZE - 1),
            lambda: self.part.writeblocks(1, bytes(2 * ERASE_SIZE)),
            lambda: self.part.readblocks(-1, bytearray(1)),
            lambda: self.part.readblocks(0, bytearray(1), -1),
        ):
            self.assertRaises(OSError, call)
        self.assertEqual(self.chip.erases + self.chip.programs, 0)


class TestFileStore(unittest.TestCase):
    def tearDown(self):
        os.remove(_FILE)

    def test_contents_outlive_the_chip(self):
        first = NorChip(FileStore(_FILE, _SIZE), _SIZE)
        self.assertEqual(read(first, _SIZE - 1, 1), b"\xff")
        first.program(5, b"kept")
        # Not closed: a process that is killed closes nothing either.
        second = NorChip(FileStore(_FILE, _SIZE), _SIZE)
        self.assertEqual(read(second, 5, 4), b"kept")
        second.erase(0)
        self.assertEqual(read(first, 5, 4), b"\xff" * 4)
        first.store.close()
        second.store.close()

    def test_a_file_of_another_size_is_no_chip(self):
        FileStore(_FILE, _SIZE).close()
        self.assertRaises(ValueError, FileStore, _FILE, 2 * _SIZE)


if __name__ == "__main__":
    unittest.main()
