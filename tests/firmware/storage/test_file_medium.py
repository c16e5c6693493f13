"""A file behaves as a chip does: bits are only cleared, an erase sets a block to ones."""

import os
import unittest

from bridge.core.errors import MediumError
from bridge.storage.file_medium import FileMedium
from tests.support.media import fresh_path

_FILE = fresh_path()


class TestFileMedium(unittest.TestCase):
    def setUp(self):
        with open(_FILE, "wb") as file:
            file.write(b"\xff" * 16384)
        self.part = FileMedium(_FILE, 4096, 8192)

    def tearDown(self):
        self.part.close()
        os.remove(_FILE)

    def contents(self):
        with open(_FILE, "rb") as file:
            return file.read()

    def test_a_write_with_offset_clears_bits_and_never_sets_one(self):
        self.part.writeblocks(0, b"\x0f" * 600, 250)
        self.part.writeblocks(0, b"\xf5\xff\x01", 300)
        expected = b"\x0f" * 50 + b"\x05\x0f\x01" + b"\x0f" * 547
        self.assertEqual(self.contents()[4346:4946], expected)
        self.assertEqual(self.contents()[:4346], b"\xff" * 4346)
        self.assertEqual(self.contents()[4946:], b"\xff" * 11438)

    def test_a_write_without_offset_erases_first(self):
        self.part.writeblocks(0, b"\x00" * 10, 0)
        self.part.writeblocks(0, b"\x55" * 8192)
        self.assertEqual(self.contents(), b"\xff" * 4096 + b"\x55" * 8192 + b"\xff" * 4096)

    def test_an_erase_sets_one_block_to_ones(self):
        self.part.writeblocks(0, bytes(8192), 0)
        self.assertEqual(self.part.ioctl(6, 1), 0)
        self.assertEqual(self.contents(), b"\xff" * 4096 + bytes(4096) + b"\xff" * 8192)

    def test_what_was_written_is_there_for_whoever_opens_the_file(self):
        self.part.writeblocks(1, b"kept", 9)
        other = FileMedium(_FILE)
        self.assertEqual(other.ioctl(4, 0), 4)
        buffer = bytearray(6)
        other.readblocks(2, buffer, 8)
        other.close()
        self.assertEqual(buffer, b"\xffkept\xff")

    def test_nothing_outside_the_part_is_touched(self):
        for call in (
            lambda: self.part.ioctl(6, 2),
            lambda: self.part.writeblocks(1, b"ab", 4095),
            lambda: self.part.readblocks(-1, bytearray(1)),
        ):
            self.assertRaises(OSError, call)

    def test_a_file_that_is_missing_too_short_or_no_whole_blocks_is_refused(self):
        for arguments, word in (
            ((_FILE + ".none",), "there is none"),
            ((_FILE, 8192, 12288), "want 20480"),
            ((_FILE, 16384), "multiples"),
            ((_FILE, 10), "multiples"),
        ):
            with self.assertRaises(MediumError) as caught:
                FileMedium(*arguments)
            self.assertIn(word, str(caught.exception))


if __name__ == "__main__":
    unittest.main()
