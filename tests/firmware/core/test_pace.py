"""Attempts: soon at first, spread, ever less often, and afresh after a steady session."""

import unittest

from bridge.core.pace import Pace

APART_MS = 2000


class TestPace(unittest.TestCase):
    def pause(self, pace, lasted=0, dear=False, random=128, took=9000):
        pace.ended(1000000 - took, 1000000, lasted, dear, random)
        return pace.early_ms(1000000)

    def pauses(self, pace, count, dear=False):
        return [self.pause(pace, dear=dear) for _ in range(count)]

    def test_first_is_at_once_and_the_next_soon_and_the_rest_grow_to_a_bound(self):
        self.assertEqual(Pace().early_ms(0), 0)
        cheap = self.pauses(Pace(), 12)
        self.assertLessEqual(cheap[0], 750)
        self.assertEqual(cheap, sorted(cheap))
        self.assertLessEqual(cheap[-1], 6000)
        dear = self.pauses(Pace(), 12, dear=True)
        self.assertLessEqual(dear[-1], 45000)
        self.assertGreater(dear[-1], cheap[-1])

    def test_wait_runs_out(self):
        pace = Pace()
        pause = self.pause(pace)
        self.assertEqual(pace.early_ms(1000000 + pause - 1), 1)
        self.assertEqual(pace.early_ms(1000000 + pause), 0)
        self.assertEqual(pace.early_ms(1000000 + 2 * pause), 0)

    def test_attempts_of_many_spread(self):
        waits = [self.pause(Pace(), random=random) for random in range(256)]
        self.assertGreaterEqual(min(waits), 250)
        self.assertEqual(len(set(waits)), 256)

    def test_steady_session_and_a_link_that_returns_begin_anew(self):
        pace = Pace()
        first = self.pauses(pace, 8, dear=True)[0]
        self.assertEqual(self.pause(pace, 60000, True), first)
        self.pauses(pace, 8)
        self.assertGreater(self.pause(pace, 59999, True), first)
        pace.restart()
        self.assertEqual(pace.early_ms(1000000), 0)
        self.assertEqual(self.pause(pace, 0, True), first)

    def test_link_that_flaps_has_no_handshakes_one_after_another(self):
        pace = Pace()
        for now_ms in range(0, 20 * APART_MS, APART_MS):
            self.assertEqual(pace.early_ms(now_ms), 0)
            pace.ended(now_ms, now_ms + 300, 0, True, 255)
            pace.restart()
            self.assertEqual(pace.early_ms(now_ms + 300), APART_MS - 300)
        # What costs nothing may be tried at once.
        pace = Pace()
        pace.ended(0, 300, 0, False, 255)
        pace.restart()
        self.assertEqual(pace.early_ms(300), 0)


if __name__ == "__main__":
    unittest.main()
