"""What an RP2 board would do silently and wrong is refused here."""

# ruff: noqa: PT009, PT027  plain unittest in MicroPython's Python

import unittest

from hil.virtual_board.nor import ERASE_SIZE, NorChip
from hil.virtual_board.rp2_flash import Rp2Flash

_SIZE = 8 * ERASE_SIZE


class TestRp2Flash(unittest.TestCase):
    def setUp(self):
        self.chip = NorChip(bytearray(b"\xff" * _SIZE), _SIZE, program_unit=256)
        self.flash = Rp2Flash(self.chip, ERASE_SIZE, 2 * ERASE_SIZE)

    def test_a_part_is_of_whole_sectors_within_the_storage_area(self):
        self.assertEqual(Rp2Flash(self.chip).ioctl(4, 0), 8)
        self.assertEqual(Rp2Flash(self.chip, 3 * ERASE_SIZE).ioctl(4, 0), 5)
        self.assertEqual((self.flash.ioctl(4, 0), self.flash.ioctl(5, 0)), (2, ERASE_SIZE))
        self.assertEqual((self.flash.ioctl(1, 0), self.flash.ioctl(9, 0)), (0, None))
        for start, size in ((100, -1), (-2, -1), (_SIZE, -1), (0, 100), (0, 0), (4096, _SIZE)):
            self.assertRaises(ValueError, Rp2Flash, self.chip, start, size)

    def test_pages_are_programmed_and_nothing_is_erased(self):
        self.flash.writeblocks(1, bytearray(b"\x0f" * 512), 256)
        self.assertEqual(
            self.chip.store[2 * ERASE_SIZE + 256 : 2 * ERASE_SIZE + 768], b"\x0f" * 512
        )
        self.assertEqual(self.chip.erases, 0)
        found = bytearray(3)
        self.flash.readblocks(1, found, 255)
        self.assertEqual(found, b"\xff\x0f\x0f")

    def test_without_an_offset_sectors_are_erased_first(self):
        self.flash.writeblocks(0, bytearray(ERASE_SIZE))
        self.flash.writeblocks(0, bytearray(b"\x33" * 2 * ERASE_SIZE))
        self.assertEqual(list(self.chip.wear), [0, 2, 1, 0, 0, 0, 0, 0])
        self.assertEqual(self.flash.ioctl(6, 1), 0)
        self.assertEqual(list(self.chip.wear), [0, 2, 2, 0, 0, 0, 0, 0])

    def test_what_the_port_does_not_check_is_refused(self):
        for block, buffer, offset in (
            (0, bytearray(255), 0),  # the boot ROM reads on past its end
            (0, bytearray(256), 1),
            (0, bytearray(256), 128),
            (0, bytearray(512), None),  # an erase of a part of a sector
            (0, bytes(256), 0),  # a constant may lie in flash
            (0, memoryview(bytes(256)), 0),
            (2, bytearray(256), 0),  # another part of the chip
            (1, bytearray(512), ERASE_SIZE - 256),
            (0, bytearray(256), -256),
            (-1, bytearray(256), 0),
        ):
            self.assertRaises(ValueError, self.flash.writeblocks, block, buffer, offset)
        self.assertRaises(ValueError, self.flash.readblocks, 2, bytearray(1))
        self.assertRaises(ValueError, self.flash.ioctl, 6, 2)
        self.assertEqual(self.chip.programs + self.chip.erases, 0)


if __name__ == "__main__":
    unittest.main()
