"""Check values: published examples, and every single changed bit is found."""

import unittest

from bridge.core.checks import count_zero_bits, crc16_modbus, sum8


class TestChecks(unittest.TestCase):
    def test_sum_is_modulo_256(self):
        self.assertEqual(sum8(b"\x1b0", 0, 2), 0x4B)
        self.assertEqual(sum8(b"\xff\xff\x03", 0, 3), 0x01)
        self.assertEqual(sum8(b"\xff\x01\x02\xff", 1, 3), 0x03)
        self.assertEqual(sum8(b"", 0, 0), 0)

    def test_crc_of_the_published_example(self):
        self.assertEqual(crc16_modbus(b"123456789", 0, 9), 0x4B37)
        self.assertEqual(crc16_modbus(b"xx123456789xx", 2, 11), 0x4B37)

    def test_crc_of_documented_frames(self):
        for text in (
            "1104000000 03B29B",
            "11040601F400BE7FFF1D03",
            "118402C304",
            "0A030064000284AF",
        ):
            frame = bytes.fromhex(text)
            # A frame with its own CRC, low byte first, leaves nothing.
            self.assertEqual(crc16_modbus(frame, 0, len(frame)), 0)

    def test_crc_finds_every_one_and_two_flipped_bits(self):
        frame = bytearray(bytes.fromhex("110400000003B29B"))
        bits = 8 * len(frame)
        for first in range(bits):
            for second in range(first, bits):
                frame[first >> 3] ^= 1 << (first & 7)
                if second != first:
                    frame[second >> 3] ^= 1 << (second & 7)
                self.assertNotEqual(crc16_modbus(frame, 0, len(frame)), 0)
                frame[first >> 3] ^= 1 << (first & 7)
                if second != first:
                    frame[second >> 3] ^= 1 << (second & 7)

    def test_zero_bits_are_counted(self):
        self.assertEqual(count_zero_bits(b"\x00\xff\xf0\x01", 0, 4), 8 + 0 + 4 + 7)
        for byte in range(256):
            zeros = 8 - bin(byte).count("1")
            self.assertEqual(count_zero_bits(bytes((0, byte, 0)), 1, 2), zeros)


if __name__ == "__main__":
    unittest.main()
