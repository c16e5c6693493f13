"""Numbers written as characters."""

import unittest

from bridge.core.digits import hex_number


class TestHexNumber(unittest.TestCase):
    def test_upper_case_digits_are_read(self):
        self.assertEqual(hex_number(b"xx0aF9yy", 4, 6), 0xF9)
        self.assertEqual(hex_number(b"EXC=000804", 4, 10), 0x804)

    def test_anything_else_is_no_number(self):
        for text in (b"0a", b"G0", b" 1", b"-1", b""):
            self.assertEqual(hex_number(text, 0, len(text)), -1)


if __name__ == "__main__":
    unittest.main()
