"""The choice among links: what is left at once, what waits, and what never flaps."""

import unittest

from bridge.core import route
from bridge.core.route import LOST, Gauge, Route, Turns

STEADY_MS = 60000
HOLD_MS = 30000
LAN, WIFI, CELL = 0, 1, 2


class Ward:
    """Links that answer each second with the trips a test sets; None is a cable out."""

    def __init__(self, chooser, *trips):
        self.route = chooser
        self.trips = list(trips)
        self.now_ms = 1000
        self.changes = []

    def run(self, seconds):
        for _ in range(seconds):
            self.now_ms += 1000
            for link, gauge in enumerate(self.route.gauges):
                trip = self.trips[link]
                gauge.set_up(trip is not None and self.route.is_wanted(link), self.now_ms)
                if trip is not None:
                    gauge.take(trip, self.now_ms)
            why = self.route.choose(self.now_ms)
            if why:
                self.changes.append((self.route.current, why))
        return self.route.current


def measured(*trips):
    return Ward(Route(len(trips), 50, STEADY_MS, HOLD_MS), *trips)


def in_turns(*trips):
    return Ward(Turns(len(trips), 50, 20000, HOLD_MS, 600000), *trips)


class TestGauge(unittest.TestCase):
    def test_median_and_loss_are_those_of_the_window(self):
        gauge = Gauge(50)
        gauge.set_up(True, 0)
        for trip in (10, 90, 20, LOST, 30):
            gauge.take(trip, 0)
        self.assertEqual((gauge.median_ms, gauge.lost, gauge.grade), (30, 1, route.UNKNOWN))
        for _ in range(20):
            gauge.take(40000, 0)
        self.assertEqual((gauge.median_ms, gauge.lost, gauge.grade), (32767, 0, route.SLOW))

    def test_slow_link_is_good_again_only_well_below(self):
        gauge = Gauge(50)
        gauge.set_up(True, 0)
        for trip, grade in (
            (51, route.SLOW),
            (45, route.SLOW),
            (40, route.GOOD),
            (50, route.GOOD),
        ):
            for _ in range(20):
                gauge.take(trip, 0)
            self.assertEqual(gauge.grade, grade)

    def test_three_lost_in_a_row_are_deaf_and_three_of_twenty_are_loss(self):
        gauge = Gauge(50)
        gauge.set_up(True, 0)
        for trip in [5] * 10 + [LOST] * 2:
            gauge.take(trip, 0)
            self.assertEqual(gauge.grade == route.DEAF, False)
        gauge.take(LOST, 7)
        self.assertEqual((gauge.grade, gauge.since_ms), (route.DEAF, 7))
        self.assertFalse(gauge.works())
        gauge.take(5, 8)
        self.assertEqual(gauge.grade, route.LOSSY)
        self.assertTrue(gauge.works())
        for _ in range(19):
            gauge.take(5, 9)
        self.assertEqual(gauge.grade, route.GOOD)


class TestRoute(unittest.TestCase):
    def test_first_of_the_good_ones_carries(self):
        ward = measured(5, 5, 45)
        self.assertEqual(ward.run(200), LAN)
        self.assertEqual(ward.changes, [(LAN, "down")])

    def test_nothing_carries_where_nothing_is_up(self):
        ward = measured(None, None)
        self.assertEqual(ward.run(10), None)
        ward.trips[WIFI] = 5
        self.assertEqual(ward.run(1), WIFI)
        ward.trips[WIFI] = None
        self.assertEqual(ward.run(1), None)

    def test_a_pulled_cable_is_left_at_once_and_taken_again_after_a_steady_minute(self):
        ward = measured(5, 5)
        ward.run(40)
        ward.trips[LAN] = None
        self.assertEqual(ward.run(1), WIFI)
        ward.trips[LAN] = 5
        self.assertEqual(ward.run(60), WIFI)
        self.assertEqual(ward.run(10), LAN)
        self.assertEqual(ward.changes[1:], [(WIFI, "down"), (LAN, "steady")])

    def test_a_cable_that_comes_and_goes_is_not_followed(self):
        ward = measured(5, 5)
        ward.run(40)
        for _ in range(60):
            ward.trips[LAN] = None
            ward.run(2)
            ward.trips[LAN] = 5
            self.assertEqual(ward.run(3), WIFI)
        self.assertEqual(len(ward.changes), 2)

    def test_a_silence_soon_after_a_lost_probe_is_loss_before_it_is_deaf(self):
        ward = measured(5, 5)
        ward.run(40)
        for trips in ([LOST], [5] * 5, [LOST] * 2):
            for ward.trips[LAN] in trips:
                self.assertEqual(ward.run(1), WIFI if ward.route.gauges[LAN].lost > 2 else LAN)
        self.assertEqual(ward.changes[1:], [(WIFI, "lossy")])
        self.assertTrue(ward.route.gauges[LAN].works())

    def test_silence_with_the_cable_in_is_left_once_another_answers(self):
        ward = measured(5, LOST)
        ward.run(40)
        ward.trips[LAN] = LOST
        self.assertEqual(ward.run(30), LAN)  # the sites are gone, or everything is
        ward.trips[WIFI] = 30
        self.assertEqual(ward.run(1), WIFI)
        self.assertEqual(ward.changes[1:], [(WIFI, "deaf")])

    def test_slow_or_lossy_link_gives_way_to_a_better_one_only(self):
        for name, bad in (("slow", 51), ("lossy", None)):
            ward = measured(5, 80, 49)
            ward.run(40)
            for second in range(40):
                ward.trips[LAN] = bad or (LOST if second % 4 == 0 else 5)
                ward.run(1)
            self.assertEqual(ward.changes[1:], [(CELL, name)])

    def test_slow_everywhere_means_stay(self):
        ward = measured(70, 60, 300)
        self.assertEqual(ward.run(300), LAN)

    def test_of_links_equally_bad_the_preferred_comes_back(self):
        ward = measured(None, 60)
        ward.run(40)
        ward.trips[LAN] = 90
        self.assertEqual(ward.run(50), WIFI)
        self.assertEqual(ward.run(30), LAN)


class TestTurns(unittest.TestCase):
    def test_a_dead_link_has_its_patience_and_then_the_next_its_turn(self):
        ward = in_turns(None, 5)
        self.assertEqual(ward.run(15), 0)
        self.assertEqual(ward.run(10), 1)
        self.assertEqual(ward.run(500), 1)
        ward.trips[0] = 5
        self.assertEqual(ward.run(200), 0)
        self.assertEqual(ward.changes, [(1, "down"), (0, "retry")])

    def test_slow_link_is_compared_with_the_next_and_the_better_kept(self):
        ward = in_turns(80, 300)
        self.assertEqual(ward.run(500), 0)
        self.assertEqual(ward.changes, [(1, "slow"), (0, "slow")])
        ward = in_turns(80, 20)
        self.assertEqual(ward.run(500), 1)
        self.assertEqual(ward.changes, [(1, "slow")])

    def test_one_link_alone_keeps_its_turn(self):
        ward = in_turns(None)
        self.assertEqual(ward.run(1000), 0)
        ward.trips[0] = LOST
        self.assertEqual(ward.run(1000), 0)


if __name__ == "__main__":
    unittest.main()
