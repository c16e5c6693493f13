"""Attempts: soon at first, spread, ever less often, and afresh after a steady session."""

import unittest

from bridge.core.pace import Pace


class TestPace(unittest.TestCase):
    def pauses(self, pace, count, dear=False, lasted=0):
        return [pace.pause_ms(lasted, dear, 128) for _ in range(count)]

    def test_first_is_soon_and_the_rest_grow_to_a_bound(self):
        cheap = self.pauses(Pace(), 12)
        self.assertLessEqual(cheap[0], 750)
        self.assertEqual(cheap, sorted(cheap))
        self.assertLessEqual(cheap[-1], 6000)
        dear = self.pauses(Pace(), 12, dear=True)
        self.assertLessEqual(dear[-1], 45000)
        self.assertGreater(dear[-1], cheap[-1])

    def test_attempts_of_many_spread(self):
        waits = [Pace().pause_ms(0, False, random) for random in range(256)]
        self.assertGreaterEqual(min(waits), 250)
        self.assertEqual(len(set(waits)), 256)

    def test_steady_session_and_a_link_that_returns_begin_anew(self):
        pace = Pace()
        first = self.pauses(pace, 8, dear=True)[0]
        self.assertEqual(pace.pause_ms(60000, True, 128), first)
        self.pauses(pace, 8)
        self.assertGreater(pace.pause_ms(59999, True, 128), first)
        pace.restart()
        self.assertEqual(pace.pause_ms(0, True, 128), first)


if __name__ == "__main__":
    unittest.main()
