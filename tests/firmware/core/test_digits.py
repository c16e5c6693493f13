"""Digits written as characters."""

import unittest

from bridge.core.digits import hex_digit, hex_pair, hex_value


class TestHex(unittest.TestCase):
    def test_upper_case_digits_are_read_and_nothing_else(self):
        text = b"0123456789ABCDEF"
        for byte in range(256):
            self.assertEqual(hex_value(byte), text.find(bytes((byte,))))

    def test_pair_needs_both_digits(self):
        self.assertEqual(hex_pair(b"xF9x", 1), 0xF9)
        for text in (b"0a", b"G0", b" 1", b"1 "):
            self.assertEqual(hex_pair(text, 0), -1)

    def test_digits_are_written_as_they_are_read(self):
        for number in range(16):
            self.assertEqual(hex_value(hex_digit(number)), number)


if __name__ == "__main__":
    unittest.main()
