"""Which site gets what: two for class A, one home for B and C, and no haste on the way back."""

import unittest

from bridge.core.policy import ALL_CLASSES, CLASS_A, Policy

FAILBACK = 60000
GRACE = 10000


class TestPolicy(unittest.TestCase):
    def setUp(self):
        self.policy = Policy(["primary", "standby", "remote"], FAILBACK, GRACE)

    def up(self, *sites, at=0):
        for site in sites:
            self.policy.notice(site, True, at)

    def wanted(self, at):
        return [site for site in range(3) if self.policy.is_wanted(site, at)]

    def test_class_a_goes_to_both_and_the_rest_to_the_first(self):
        self.up(0, 1)
        self.assertFalse(self.policy.choose(0))
        self.assertEqual([self.policy.classes(site) for site in (0, 1)], [ALL_CLASSES, CLASS_A])

    def test_home_moves_at_once_when_it_stops_receipting(self):
        self.up(0, 1)
        self.policy.notice(0, False, 5000)
        self.assertTrue(self.policy.choose(5000))
        self.assertEqual([self.policy.classes(site) for site in (0, 1)], [CLASS_A, ALL_CLASSES])

    def test_first_to_answer_after_a_boot_is_home_only_if_the_best_stays_away(self):
        self.up(1, at=100)
        self.assertFalse(self.policy.choose(100))
        self.up(0, at=200)
        self.assertFalse(self.policy.choose(GRACE))
        self.assertEqual(self.policy.home, 0)

    def test_home_returns_only_to_a_site_that_was_steady(self):
        self.up(0, 1)
        self.policy.notice(0, False, 5000)
        self.policy.choose(5000)
        self.policy.notice(0, True, 10000)
        self.assertFalse(self.policy.choose(10000 + FAILBACK - 1))
        self.assertTrue(self.policy.choose(10000 + FAILBACK))
        self.assertEqual(self.policy.home, 0)

    def test_site_that_flaps_never_becomes_home_again(self):
        self.up(0, 1)
        self.policy.notice(0, False, 1000)
        self.policy.choose(1000)
        for at in range(2000, 20 * FAILBACK, FAILBACK // 2):
            self.policy.notice(0, True, at)
            self.assertFalse(self.policy.choose(at + FAILBACK // 2 - 1))
            self.policy.notice(0, False, at + FAILBACK // 2 - 1)
        self.assertEqual(self.policy.home, 1)

    def test_home_stays_where_nobody_answers(self):
        self.up(1)
        self.assertTrue(self.policy.choose(GRACE))
        self.policy.notice(1, False, GRACE + 1)
        self.assertFalse(self.policy.choose(GRACE + 2))
        self.assertEqual(self.policy.home, 1)

    def test_returning_home_dies_and_the_other_takes_over(self):
        self.up(0, 1)
        self.policy.notice(0, False, 1)
        self.policy.choose(1)
        self.policy.notice(1, False, 2)
        self.policy.notice(0, True, 3)
        # Steady or not: it is the only one.
        self.assertTrue(self.policy.choose(3))
        self.assertEqual(self.policy.home, 0)

    def test_third_site_is_wanted_only_in_place_of_another(self):
        self.assertEqual(self.wanted(0), [0, 1])
        self.up(0, 1)
        self.assertEqual(self.wanted(100 * FAILBACK), [0, 1])
        self.policy.notice(0, False, 100 * FAILBACK)
        self.assertEqual(self.wanted(100 * FAILBACK + GRACE - 1), [0, 1])
        self.assertEqual(self.wanted(100 * FAILBACK + GRACE), [0, 1, 2])

    def test_third_site_is_let_go_once_the_first_is_steady(self):
        self.up(0, 1)
        self.policy.notice(0, False, 0)
        self.up(2, at=GRACE)
        self.up(0, at=20000)
        self.assertEqual(self.wanted(20000 + FAILBACK - 1), [0, 1, 2])
        self.assertEqual(self.wanted(20000 + FAILBACK), [0, 1])

    def test_one_site_gets_all(self):
        policy = Policy(["only"], FAILBACK, GRACE)
        self.assertEqual(policy.classes(0), ALL_CLASSES)
        self.assertTrue(policy.is_wanted(0, 0))
        policy.notice(0, True, 1)
        policy.notice(0, False, 2)
        self.assertFalse(policy.choose(3))


if __name__ == "__main__":
    unittest.main()
