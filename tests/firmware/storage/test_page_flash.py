"""Writes of any length on a port that takes whole pages, and checks nothing itself."""

import errno
import unittest

from micropython import heap_lock, heap_unlock

from bridge.core.errors import MediumError
from bridge.storage.page_flash import PageFlash
from hil.virtual_board.nor import NorChip, Random
from hil.virtual_board.rp2_flash import Rp2Flash

_SIZE = 16384


class TestPageFlash(unittest.TestCase):
    def setUp(self):
        self.chip = NorChip(bytearray(b"\xff" * 6 * 4096), 6 * 4096, program_unit=256)
        self.part = PageFlash(Rp2Flash(self.chip, 4096, _SIZE), _SIZE)

    def read(self, block, offset, size):
        buffer = bytearray(size)
        self.part.readblocks(block, buffer, offset)
        return bytes(buffer)

    def test_any_length_at_any_offset_is_programmed_where_it_belongs(self):
        random = Random(9)
        model = bytearray(b"\xff" * _SIZE)
        for _ in range(300):
            size = 1 + random.below(700)
            at = random.below(_SIZE - size)
            data = bytearray(random.below(256) for _ in range(size))
            for index in range(size):
                data[index] &= model[at + index]  # only what clears bits
            model[at : at + size] = data
            self.part.writeblocks(at // 4096, bytes(data), at % 4096)
        self.assertEqual(self.chip.store, b"\xff" * 4096 + model + b"\xff" * 4096)
        self.assertEqual(self.read(1, 77, 5000), bytes(model[4173:9173]))
        self.assertEqual((self.chip.erases, self.chip.violations), (0, 0))

    def test_a_write_without_offset_erases_first(self):
        self.part.writeblocks(1, b"\x00" * 10, 0)
        self.part.writeblocks(0, b"\x55" * 8192)
        self.assertEqual(self.read(0, 0, 8192), b"\x55" * 8192)
        self.assertEqual(list(self.chip.wear), [0, 1, 1, 0, 0, 0])

    def test_an_erase_sets_one_block_to_ones(self):
        self.part.writeblocks(0, bytes(8192), 0)
        self.assertEqual(self.part.ioctl(6, 1), 0)
        self.assertEqual(self.read(0, 4095, 2), b"\x00\xff")
        self.assertEqual((self.part.ioctl(4, 0), self.part.ioctl(5, 0)), (4, 4096))

    def test_nothing_outside_is_asked_of_a_port_that_would_do_it(self):
        for call in (
            lambda: self.part.ioctl(6, 4),
            lambda: self.part.writeblocks(4, b"a", 0),
            lambda: self.part.writeblocks(3, b"ab", 4095),
            lambda: self.part.readblocks(3, bytearray(2), 4095),
            lambda: self.part.readblocks(-1, bytearray(2)),
        ):
            with self.assertRaises(OSError) as caught:
                call()
            self.assertEqual(caught.exception.args[0], errno.EINVAL)

    def test_a_part_of_a_sector_is_refused(self):
        self.assertRaises(MediumError, PageFlash, Rp2Flash(self.chip), 4097)

    def test_the_page_is_all_ones_again_after_a_program_that_failed(self):
        self.part.writeblocks(0, b"\x0f", 5)
        with self.assertRaises(OSError):
            self.part.writeblocks(0, b"\x1f", 5)
        self.assertEqual(self.chip.violations, 1)
        self.part.writeblocks(0, b"z", 6)
        self.assertEqual(self.read(0, 4, 4), b"\xff\x0fz\xff")


class StillFlash:
    """What rp2.Flash does, without an allocation, so that what is left is the adapter."""

    def __init__(self):
        self.cells = bytearray(b"\xff" * 8192)

    def readblocks(self, block, buffer, offset):
        for index in range(len(buffer)):
            buffer[index] = self.cells[block * 4096 + offset + index]

    def writeblocks(self, block, buffer, offset):
        for index in range(len(buffer)):
            self.cells[block * 4096 + offset + index] &= buffer[index]

    def ioctl(self, operation, block):
        for index in range(4096):
            self.cells[block * 4096 + index] = 0xFF


class TestMemory(unittest.TestCase):
    def test_no_read_and_no_write_allocates(self):
        part = PageFlash(StillFlash(), 8192)
        data = bytes(range(256)) * 2
        found = bytearray(512)
        heap_lock()
        try:
            part.writeblocks(0, data, 100)
            part.readblocks(0, found, 100)
            same = found == data
            part.ioctl(6, 0)
            part.readblocks(0, found, 100)
        finally:
            heap_unlock()
        self.assertTrue(same)
        self.assertEqual(found, b"\xff" * 512)


if __name__ == "__main__":
    unittest.main()
