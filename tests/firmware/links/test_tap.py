"""A tap copies what a line carries, up to its size, and says what it left out."""

import struct
import sys
import unittest

from bridge.forget import forget
from bridge.links.tap import Tap
from bridge.links.uart import HEARD, SENT


def entries(data):
    found = []
    at = 0
    while at < len(data):
        way, when, size = struct.unpack_from("<BIH", data, at)
        found.append((way, when, data[at + 7 : at + 7 + size]))
        at += 7 + size
    return found


class TestTap(unittest.TestCase):
    def test_both_ways_in_order_and_once(self):
        tap = Tap(64, 1000)
        tap.take(HEARD, memoryview(b"abcdef"), 3, 1001)
        tap.take(SENT, b"?", 1, (1 << 32) + 5)
        data, dropped = tap.fetch(2000)
        self.assertEqual(entries(data), [(HEARD, 1001, b"abc"), (SENT, 5, b"?")])
        self.assertEqual(dropped, 0)
        self.assertEqual(tap.fetch(2001), (b"", 0))
        self.assertEqual(tap.until_ms, 2001 + 15000)

    def test_what_finds_no_room_is_counted(self):
        tap = Tap(20, 0)
        tap.take(HEARD, b"x" * 100, 100, 1)
        tap.take(HEARD, b"y" * 5, 5, 2)
        data, dropped = tap.fetch(3)
        self.assertEqual(entries(data), [(HEARD, 1, b"x" * 13)])
        self.assertEqual(dropped, 92)
        tap.take(HEARD, b"z", 1, 4)
        self.assertEqual(entries(tap.fetch(5)[0]), [(HEARD, 4, b"z")])


class TestForget(unittest.TestCase):
    def test_a_module_is_given_up_and_loaded_again(self):
        first = __import__("bridge.core.dates", None, None, ("utc_s",))
        forget("core.dates")
        self.assertFalse("bridge.core.dates" in sys.modules)
        forget("core.dates")
        again = __import__("bridge.core.dates", None, None, ("utc_s",))
        self.assertFalse(first is again)
        self.assertEqual(again.utc_s(1970, 1, 2), 86400)


if __name__ == "__main__":
    unittest.main()
