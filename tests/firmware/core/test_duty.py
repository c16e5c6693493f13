"""What may be transmitted within the law's measure, also over restarts."""

import unittest

from bridge.core.airtime import make_plan
from bridge.core.duty import Budget, KeptBudget

HOUR_MS = 3600000


class Kept:
    """A file in memory that may refuse."""

    def __init__(self, text=None):
        self.text = text
        self.saves = 0
        self.full = False

    def load(self):
        return self.text

    def save(self, text):
        if self.full:
            raise OSError(28)
        self.text = text
        self.saves += 1


class TestBudget(unittest.TestCase):
    def test_it_refuses_what_is_too_much_and_says_when(self):
        budget = Budget(HOUR_MS, 36000)
        now_ms = 5000
        for _ in range(36):
            self.assertTrue(budget.spend(1000000, now_ms))
        self.assertFalse(budget.spend(1000000, now_ms))
        wait_ms = budget.wait_ms(1000000, now_ms)
        self.assertTrue(HOUR_MS < wait_ms <= HOUR_MS + HOUR_MS // 30)
        self.assertFalse(budget.spend(1000000, now_ms + wait_ms - 1))
        self.assertTrue(budget.spend(1000000, now_ms + wait_ms))

    def test_no_window_ever_holds_more_than_the_limit(self):
        seed = 1
        for window_ms, limit_ms, step_ms in ((HOUR_MS, 36000, 40000), (20000, 400, 300)):
            budget = Budget(window_ms, limit_ms)
            sent = []
            now_ms = 0
            for _ in range(600):
                seed = (seed * 1103515245 + 12345) & 0x3FFFFFFF
                now_ms += seed % step_ms
                airtime_us = 1000 * (1 + seed // 7 % (limit_ms // 4))
                if budget.spend(airtime_us, now_ms):
                    sent.append((now_ms, airtime_us))
            self.assertTrue(len(sent) > 20)
            for last_ms, last_us in sent:
                end_us = last_ms * 1000 + last_us
                begin_us = end_us - window_ms * 1000
                total = 0
                for at_ms, airtime_us in sent:
                    stop_us = min(at_ms * 1000 + airtime_us, end_us)
                    total += max(0, stop_us - max(at_ms * 1000, begin_us))
                self.assertTrue(total <= limit_ms * 1000)

    def test_what_it_grants_over_days_comes_near_to_what_is_allowed(self):
        budget = Budget(HOUR_MS, 36000)
        granted = 0
        for now_ms in range(0, 10 * HOUR_MS, 5000):
            granted += budget.spend(500000, now_ms)
        self.assertTrue(granted > 0.9 * 10 * 72)


class TestKeptBudget(unittest.TestCase):
    def setUp(self):
        self.plan = make_plan({"region": "EU868", "khz": 868300})  # 36 s an hour

    def made(self, kept):
        return KeptBudget(self.plan, kept.load, kept.save, 0)

    def test_restarts_give_nothing_away(self):
        kept = Kept()
        total = 0
        for _ in range(200):
            budget = self.made(kept)  # the hour never passes: each restart is at once
            total += budget.spend(1000000, 10)
        self.assertTrue(4 < total <= 36)

    def test_not_every_frame_is_written_down(self):
        kept = Kept()
        budget = self.made(kept)
        for number in range(30):
            self.assertTrue(budget.spend(1000000, number))
            self.assertTrue(int(kept.text) >= budget.spent_us)
        self.assertTrue(kept.saves <= 8)

    def test_a_damaged_file_counts_as_all_of_it(self):
        self.assertEqual(self.made(Kept("12x")).left_us(0), 0)
        self.assertEqual(self.made(Kept("-5")).left_us(0), 36000000)
        self.assertEqual(self.made(Kept("99999999999")).left_us(0), 0)

    def test_a_full_disk_is_counted(self):
        kept = Kept()
        kept.full = True
        budget = self.made(kept)
        self.assertTrue(budget.spend(1000000, 0))
        self.assertEqual(budget.unsaved, 1)

    def test_a_short_window_is_waited_for_after_each_start(self):
        plan = make_plan({"region": "US915"})
        kept = Kept()
        budget = KeptBudget(plan, kept.load, kept.save, 0)
        self.assertFalse(budget.spend(1000, 100))
        self.assertTrue(budget.spend(1000, budget.wait_ms(1000, 100) + 100))
        self.assertEqual(kept.saves, 0)


if __name__ == "__main__":
    unittest.main()
