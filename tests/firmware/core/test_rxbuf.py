"""The receive buffer: what goes in comes out, and it never grows."""

import unittest

from bridge.core.rxbuf import RxBuffer


def held(rx):
    return bytes(rx.data[: rx.count])


class TestRxBuffer(unittest.TestCase):
    def test_reader_fills_the_window_and_commits(self):
        rx = RxBuffer(8)
        window = rx.window()
        self.assertEqual(len(window), 8)
        window[:3] = b"abc"
        rx.commit(3)
        self.assertEqual(held(rx), b"abc")
        self.assertEqual(len(rx.window()), 5)

    def test_feed_takes_no_more_than_fits(self):
        rx = RxBuffer(4)
        self.assertEqual(rx.feed(b"abc"), 3)
        self.assertEqual(rx.feed(b"defg"), 1)
        self.assertEqual(rx.feed(b"h"), 0)
        self.assertEqual(held(rx), b"abcd")
        self.assertEqual(len(rx.window()), 0)

    def test_drop_moves_the_rest_to_the_front(self):
        for count in range(7):
            rx = RxBuffer(8)
            rx.feed(b"abcdef")
            rx.drop(count)
            self.assertEqual(held(rx), b"abcdef"[count:])
            rx.feed(b"xy")
            self.assertEqual(held(rx), b"abcdef"[count:] + b"xy")

    def test_find_sees_only_what_is_held(self):
        rx = RxBuffer(8)
        rx.feed(b"abcabc")
        rx.drop(3)
        self.assertEqual(rx.find(0x62), 1)
        self.assertEqual(rx.find(0x62, 2), -1)
        self.assertEqual(rx.find(0x7A), -1)

    def test_storage_is_never_replaced(self):
        rx = RxBuffer(16)
        data = rx.data
        for _ in range(100):
            rx.feed(b"0123456")
            rx.drop(5)
        self.assertTrue(rx.data is data)
        self.assertEqual(len(data), 16)


if __name__ == "__main__":
    unittest.main()
