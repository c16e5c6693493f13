"""The chip does what its data sheet says, and nothing that a driver might hope for."""

# ruff: noqa: PT009, PT027  plain unittest in MicroPython's Python

import unittest

from hil.virtual_board.nor import ERASE_SIZE, NorChip, PowerCut
from hil.virtual_board.w25q import W25q

_SIZE = 16 * ERASE_SIZE


class Bench:
    """A chip with its wires in a test's hands."""

    def __init__(self):
        self.us = 0
        self.nor = NorChip(bytearray(b"\xff" * _SIZE), _SIZE, program_unit=256)
        self.chip = W25q(self.nor, lambda: self.us)

    def send(self, *data):
        self.chip.select(0)
        self.chip.write(bytes(data))
        self.chip.select(1)

    def ask(self, size, *data):
        buffer = bytearray(size)
        self.chip.select(0)
        self.chip.write(bytes(data))
        self.chip.readinto(buffer)
        self.chip.select(1)
        return bytes(buffer)

    def change(self, *data):
        """Send a program, an erase or a status, enabled before and waited for after."""
        self.send(0x06)
        self.send(*data)
        self.us += 1000000

    def status(self):
        return self.ask(1, 0x05)[0]


class TestCommands(unittest.TestCase):
    def setUp(self):
        self.bench = Bench()
        self.chip = self.bench.chip

    def test_it_says_who_it_is_over_and_over(self):
        self.assertEqual(self.bench.ask(5, 0x9F), b"\xef\x40\x10\xef\x40")

    def test_a_program_lasts_and_clears_its_permission(self):
        bench = self.bench
        bench.send(0x06)
        self.assertEqual(bench.status(), 0x02)
        bench.send(0x02, 0x00, 0x12, 0x34, 1, 2, 3)
        self.assertEqual(bench.ask(2, 0x05), b"\x03\x03")
        bench.us += 699
        self.assertEqual(bench.status(), 0x03)
        bench.us += 1
        self.assertEqual(bench.status(), 0x00)
        self.assertEqual(bench.ask(5, 0x03, 0x00, 0x12, 0x33), b"\xff\x01\x02\x03\xff")
        self.assertEqual(bench.ask(2, 0x0B, 0x00, 0x12, 0x34, 0), b"\x01\x02")

    def test_an_erase_sets_one_sector_to_ones(self):
        bench = self.bench
        for sector in range(3):
            bench.change(0x02, 0x00, 16 * sector, 0x00, 0, 0)
        bench.send(0x06)
        bench.send(0x20, 0x00, 0x1A, 0xBC)  # any address within
        bench.us += 44999
        self.assertEqual(bench.status(), 0x03)
        bench.us += 1
        self.assertEqual(bench.status(), 0x00)
        self.assertEqual(list(self.bench.nor.wear)[:3], [0, 1, 0])
        self.assertEqual(bench.ask(2, 0x03, 0x00, 0x10, 0x00), b"\xff\xff")
        self.assertEqual(bench.ask(1, 0x03, 0x00, 0x20, 0x00), b"\x00")

    def test_nothing_changes_without_permission(self):
        bench = self.bench
        bench.send(0x02, 0, 0, 0, 1)
        bench.send(0x20, 0, 0, 0)
        bench.send(0x01, 0x1C)
        bench.send(0x06)
        bench.send(0x04)
        bench.send(0x02, 0, 0, 0, 1)
        self.assertEqual((self.chip.ignored, bench.status()), (4, 0))
        self.assertEqual(bench.nor.programs + bench.nor.erases, 0)

    def test_a_busy_chip_answers_for_its_status_alone(self):
        bench = self.bench
        bench.send(0x06)
        bench.send(0x02, 0, 0, 0, 1)
        self.assertEqual(bench.ask(1, 0x03, 0, 0, 0), b"\xff")
        self.assertEqual(bench.ask(3, 0x9F), b"\xff\xff\xff")
        bench.send(0x06)
        bench.send(0x20, 0, 0, 0)
        self.assertEqual(self.chip.ignored, 4)
        bench.us += 700
        self.assertEqual(bench.ask(1, 0x03, 0, 0, 0), b"\x01")

    def test_a_program_wraps_within_its_page(self):
        bench = self.bench
        bench.change(0x02, 0x00, 0x01, 0xFE, 1, 2, 3, 4)
        self.assertEqual(bench.ask(4, 0x03, 0x00, 0x01, 0xFE), b"\x01\x02\xff\xff")
        self.assertEqual(bench.ask(3, 0x03, 0x00, 0x01, 0x00), b"\x03\x04\xff")

    def test_of_more_than_a_page_the_last_bytes_stay(self):
        bench = self.bench
        bench.change(0x02, 0x00, 0x00, 0x00, *([1] * 256), 2, 3)
        self.assertEqual(bench.ask(3, 0x03, 0x00, 0x00, 0x00), b"\x02\x03\x01")
        self.assertEqual(bench.ask(2, 0x03, 0x00, 0x00, 0xFF), b"\x01\xff")

    def test_addresses_beyond_the_chip_wrap(self):
        bench = self.bench
        bench.change(0x02, 0x01, 0x00, 0x05, 7)
        self.assertEqual(bench.ask(1, 0x03, 0x00, 0x00, 0x05), b"\x07")
        self.assertEqual(bench.ask(7, 0x03, 0x00, 0xFF, 0xFF), b"\xff\xff\xff\xff\xff\xff\x07")

    def test_a_command_of_a_wrong_size_does_nothing(self):
        bench = self.bench
        bench.change(0x20, 0x00, 0x00)
        bench.change(0x20, 0x00, 0x00, 0x00, 0x00)
        bench.change(0x02, 0x00, 0x00, 0x00)
        bench.change(0x01, 1, 2, 3)
        self.assertEqual(self.chip.ignored, 4)
        self.assertEqual(bench.nor.programs + bench.nor.erases, 0)

    def test_what_it_does_not_know_is_counted(self):
        self.bench.send(0x77, 1, 2)
        self.assertEqual(self.bench.ask(2, 0x66), b"\xff\xff")
        self.assertEqual(self.chip.unknown, 2)

    def test_it_hears_nothing_while_it_is_not_selected(self):
        self.chip.write(b"\x06")
        buffer = bytearray(2)
        self.chip.readinto(buffer)
        self.assertEqual((buffer, self.bench.status()), (b"\xff\xff", 0))

    def test_in_power_down_it_only_wakes(self):
        bench = self.bench
        bench.send(0xB9)
        bench.send(0x06)
        self.assertEqual(bench.ask(1, 0x05), b"\xff")
        bench.send(0xAB)
        bench.us += 2
        self.assertEqual(bench.ask(1, 0x05), b"\xff")
        bench.us += 1
        self.assertEqual(bench.status(), 0)

    def test_a_program_that_wants_a_one_for_a_zero_is_a_mistake(self):
        bench = self.bench
        bench.change(0x02, 0, 0, 0, 0x0F)
        with self.assertRaises(OSError):
            bench.change(0x02, 0, 0, 0, 0x1F)
        self.assertEqual(bench.nor.violations, 1)

    def test_a_chip_whose_array_has_no_pages_is_no_such_chip(self):
        for size, unit in ((_SIZE, 1), (3 * ERASE_SIZE, 256)):
            nor = NorChip(bytearray(size), size, program_unit=unit)
            self.assertRaises(ValueError, W25q, nor, lambda: 0)


class TestProtection(unittest.TestCase):
    def protected(self, status, status_2=0):
        """Return the sectors that take no erase."""
        bench = Bench()
        bench.change(0x01, status, status_2)
        found = []
        for sector in range(16):
            bench.change(0x20, 0, sector << 4, 0)
            if not bench.nor.wear[sector]:
                found.append(sector)
        self.assertEqual(bench.chip.ignored, len(found))
        return found

    def test_bits_name_a_part_at_one_end(self):
        every = list(range(16))
        for status, status_2, sectors in (
            (0x00, 0x00, []),
            (0x1C, 0x00, every),
            (0x18, 0x00, every[8:]),  # the upper half
            (0x14, 0x00, every[12:]),
            (0x38, 0x00, every[:8]),  # the lower half
            (0x44, 0x00, every[15:]),  # the last sector
            (0x68, 0x00, every[:2]),  # the first two
            (0x00, 0x40, every),
            (0x18, 0x40, every[:8]),
        ):
            with self.subTest(status=status, status_2=status_2):
                self.assertEqual(self.protected(status, status_2), sectors)

    def test_a_status_write_needs_permission_and_time(self):
        bench = Bench()
        bench.send(0x06)
        bench.send(0x01, 0x1F, 0x40)
        self.assertEqual(bench.status(), 0x1F)
        bench.us += 10000
        self.assertEqual((bench.status(), bench.ask(1, 0x35)), (0x1C, b"\x40"))
        bench.change(0x01, 0x00)
        self.assertEqual((bench.status(), bench.ask(1, 0x35)), (0x00, b"\x40"))

    def test_a_pin_may_hold_the_status(self):
        bench = Bench()
        bench.chip.protected_pin = True
        bench.change(0x01, 0x9C)
        bench.change(0x01, 0x00)
        self.assertEqual(bench.status() & ~0x02, 0x9C)
        bench.chip.protected_pin = False
        bench.change(0x01, 0x00)
        self.assertEqual(bench.status(), 0x00)


class TestPower(unittest.TestCase):
    def test_a_cut_tears_the_operation_and_leaves_the_bus_asleep(self):
        bench = Bench()
        bench.nor.cut_after(2, 3)
        bench.change(0x02, 0, 0, 0, 0x00)
        bench.send(0x06)
        self.assertRaises(PowerCut, bench.send, 0x20, 0, 0, 0)
        bench.nor.power_on()
        bench.chip.restart()
        self.assertEqual(bench.status(), 0)
        bench.change(0x20, 0, 0, 0)
        self.assertEqual(bench.ask(2, 0x03, 0, 0, 0), b"\xff\xff")


if __name__ == "__main__":
    unittest.main()
