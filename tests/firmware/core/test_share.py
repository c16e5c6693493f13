"""The backlog's share of the window: it fills the path, and gives way when receipts come late."""

import unittest

from bridge.core.share import Share
from bridge.core.wire import RUN_BYTES_MAX

RUN = RUN_BYTES_MAX
MOST = 16 * RUN


class Path:
    """A link and a site behind it that stores one run after the other.

    trip_ms   there and back
    store_ms  that each run keeps the site busy
    """

    def __init__(self, trip_ms, store_ms):
        self.trip_ms = trip_ms
        self.store_ms = store_ms
        self.share = Share(MOST)
        self.now_ms = 1000
        self.free_ms = 0  # when the site has nothing to do
        self.flights = []

    def rounds(self, count):
        """Store so many runs; returns the longest wait of the last quarter."""
        waits = []
        while len(waits) < count:
            while (len(self.flights) + 1) * RUN <= self.share.bytes:
                start = max(self.free_ms, self.now_ms + self.trip_ms // 2)
                self.free_ms = start + self.store_ms
                self.flights.append((self.now_ms, self.free_ms + self.trip_ms // 2))
            sent_ms, back_ms = self.flights.pop(0)
            self.now_ms = back_ms
            waits.append(back_ms - sent_ms)
            self.share.receipted(RUN, sent_ms, back_ms)
        return max(waits[-count // 4 :])


class TestShare(unittest.TestCase):
    def test_it_begins_with_one_run(self):
        self.assertEqual(Share(MOST).bytes, RUN)
        self.assertEqual(Share(100).bytes, RUN)

    def test_a_quick_site_soon_gets_all_that_is_allowed(self):
        path = Path(100, 1)
        path.rounds(40)
        self.assertEqual(path.share.bytes, MOST)

    def test_a_slow_site_is_kept_busy_and_is_not_flooded(self):
        path = Path(100, 60)
        longest_ms = path.rounds(200)
        # Two runs fill the round trip; what waits behind them is bounded, far below `MOST`.
        self.assertGreaterEqual(path.share.bytes, 3 * RUN)
        self.assertLess(path.share.bytes, 10 * RUN)
        self.assertLess(longest_ms, 160 + 300 + 60)

    def test_a_path_that_becomes_longer_is_filled_again(self):
        path = Path(20, 1)
        path.rounds(40)
        path.trip_ms = 900
        path.rounds(200)
        self.assertGreater(path.share.bytes, 4 * RUN)

    def test_a_site_that_becomes_busy_gets_less(self):
        path = Path(100, 1)
        path.rounds(40)
        path.store_ms = 150
        path.rounds(60)
        self.assertLess(path.share.bytes, 6 * RUN)

    def test_seals_and_rests_tell_nothing(self):
        share = Share(MOST)
        for _ in range(20):
            share.receipted(77, 1000, 1010)
        self.assertEqual(share.bytes, RUN)

    def test_a_new_session_begins_again(self):
        path = Path(100, 1)
        path.rounds(40)
        path.share.restart()
        self.assertEqual(path.share.bytes, RUN)


if __name__ == "__main__":
    unittest.main()
