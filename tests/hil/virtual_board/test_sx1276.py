"""The transceiver's model, register by register, on both interpreters."""

# ruff: noqa: PT009  plain unittest in MicroPython's Python

import unittest

from bridge.core.airtime import time_on_air_us
from hil.virtual_board import sx1276
from hil.virtual_board.sx1276 import Sx1276


class Ether:
    """An antenna whose other end is the test."""

    def __init__(self):
        self.sent = []
        self.heard = []

    def send(self, *frame):
        self.sent.append(frame)

    def poll(self):
        heard, self.heard = self.heard, []
        return heard


class Test(unittest.TestCase):
    def setUp(self):
        self.now_us = 0
        self.ether = Ether()
        self.chip = Sx1276(self.ether, lambda: self.now_us)
        self.set(0x01, 0x00)
        self.set(0x01, 0x80)  # LoRa can be chosen asleep alone
        self.set(0x0E, 0)
        self.set(0x0F, 0)
        self.set(0x1E, 0x74)  # SF7, CRC

    def set(self, address, *values):
        self.chip.select(0)
        self.chip.write(bytes((address | 0x80,)) + bytes(values))
        self.chip.select(1)

    def get(self, address, count=1):
        data = bytearray(count)
        self.chip.select(0)
        self.chip.write(bytes((address,)))
        self.chip.readinto(data)
        self.chip.select(1)
        return data[0] if count == 1 else bytes(data)

    def listen(self):
        self.set(0x01, 0x81)
        self.set(0x01, 0x85)

    def hear(self, number, payload, damaged=False, dbm=-90, settings=None):
        self.ether.heard.append(("begin", number, settings or self.chip.settings(), dbm))
        self.ether.heard.append(("end", number, payload, damaged, dbm, 7.5))

    def test_registers_after_a_reset(self):
        self.set(0x06, 1, 2, 3)
        self.chip.reset(0)
        self.assertEqual(self.get(0x42), 0)  # held
        self.chip.reset(1)
        self.assertEqual((self.get(0x42), self.get(0x01), self.get(0x39)), (0x12, 0x09, 0x12))
        self.assertEqual(self.get(0x06, 2), b"\x6c\x80")

    def test_addresses_go_on_but_for_the_fifo(self):
        self.set(0x06, 0xD9, 0x61, 0x99)
        self.assertEqual(self.get(0x06, 3), b"\xd9\x61\x99")
        self.set(0x01, 0x81)
        self.set(0x0D, 5)
        self.set(0x00, 1, 2, 3)
        self.assertEqual(self.get(0x0D), 8)
        self.set(0x0D, 5)
        self.assertEqual(self.get(0x00, 3), b"\x01\x02\x03")

    def test_what_is_read_only_or_asleep_is_ignored(self):
        self.set(0x42, 0x55)
        self.set(0x00, 1)  # the FIFO of a sleeping chip
        self.assertEqual(self.get(0x42), 0x12)
        self.set(0x01, 0x81)
        self.set(0x01, 0x01)  # FSK, outside of sleep mode
        self.assertEqual(self.get(0x01), 0x81)
        self.assertEqual(self.chip.ignored, 3)

    def test_a_frame_takes_its_airtime_and_then_stands_by(self):
        for sf, khz, bandwidth in ((7, 125, 7), (12, 125, 7), (9, 500, 9)):
            self.set(0x01, 0x81)
            self.set(0x1D, bandwidth << 4 | 1 << 1)
            self.set(0x1E, sf << 4 | 4)
            self.set(0x26, 8 if sf == 12 else 0)
            self.set(0x0D, 0)
            self.set(0x00, *b"frame")
            self.set(0x22, 5)
            self.set(0x01, 0x83)
            airtime_us = time_on_air_us(5, sf, khz)
            self.assertEqual(self.ether.sent[-1][2], b"frame")
            self.assertTrue(abs(self.ether.sent[-1][3] - airtime_us) <= 1)
            self.now_us += airtime_us - 2
            self.assertEqual(self.get(0x12) & sx1276.TX_DONE, 0)
            self.now_us += 3
            self.assertEqual(self.get(0x12) & sx1276.TX_DONE, sx1276.TX_DONE)
            self.assertEqual(self.get(0x01) & 7, sx1276.STANDBY)
            self.set(0x12, 0xFF)
            self.assertEqual(self.get(0x12), 0)

    def test_what_was_listened_to_from_begin_to_end_is_received(self):
        self.listen()
        self.hear(1, b"payload", dbm=-101)
        self.assertEqual(self.get(0x12), sx1276.RX_DONE | sx1276.VALID_HEADER)
        self.assertEqual((self.get(0x13), self.get(0x1A), self.get(0x19)), (7, 56, 30))
        self.set(0x0D, self.get(0x10))
        self.assertEqual(self.get(0x00, 7), b"payload")
        self.hear(2, b"more")
        self.assertEqual((self.get(0x13), self.get(0x10)), (4, 7))

    def test_a_damaged_frame_says_so(self):
        self.listen()
        self.hear(1, b"payload", damaged=True)
        self.assertTrue(self.get(0x12) & sx1276.CRC_ERROR)

    def test_who_listens_late_or_leaves_early_hears_nothing(self):
        settings = self.chip.settings()
        self.set(0x01, 0x81)
        self.ether.heard.append(("begin", 1, settings, -90))
        self.listen()
        self.ether.heard.append(("end", 1, b"late", False, -90, 7))
        self.assertEqual(self.get(0x12), 0)
        self.ether.heard.append(("begin", 2, settings, -90))
        self.set(0x01, 0x81)
        self.listen()
        self.ether.heard.append(("end", 2, b"early", False, -90, 7))
        self.assertEqual(self.get(0x12), 0)

    def test_other_settings_are_not_understood(self):
        self.listen()
        here = self.chip.settings()
        for address, value in ((0x1E, 0x84), (0x1D, 0x82), (0x39, 0x34), (0x08, 1)):
            before = self.get(address)
            self.set(address, value)
            self.hear(1, b"other", settings=here)
            self.assertEqual(self.get(0x12), 0)
            self.set(address, before)

    def test_a_stronger_frame_takes_the_receiver(self):
        self.listen()
        settings = self.chip.settings()
        self.ether.heard = [
            ("begin", 1, settings, -100),
            ("begin", 2, settings, -97),
            ("begin", 3, settings, -80),
            ("end", 1, b"weak", True, -100, 7),
            ("end", 2, b"near", True, -97, 7),
            ("end", 3, b"strong", False, -80, 7),
        ]
        self.assertEqual(self.get(0x12) & sx1276.CRC_ERROR, 0)
        self.assertEqual(self.get(0x13), 6)

    def test_while_it_transmits_it_hears_nothing(self):
        self.set(0x01, 0x81)
        self.set(0x22, 1)
        self.set(0x01, 0x83)
        self.hear(1, b"unheard")
        self.assertEqual(self.get(0x12), 0)


if __name__ == "__main__":
    unittest.main()
