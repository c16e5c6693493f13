import unittest

from bridge.core.belief import ABSURD, KEPT, REFUSED, SET, SNTP, STEPPED, Belief
from bridge.core.journal.layout import CLOCK_SITE, CLOCK_SNTP, CLOCK_UNKNOWN

EARLY = 1_700_000_000_000
LATE = 2_300_000_000_000
NOW = 1_790_000_000_000
HOUR = 3_600_000


def belief():
    return Belief(EARLY, LATE)


class TestBelief(unittest.TestCase):
    def test_the_first_answer_is_taken_and_its_error_grows(self):
        made = belief()
        self.assertEqual(made.state(), CLOCK_UNKNOWN)
        self.assertEqual(made.take(NOW, 30, SNTP, 1000), SET)
        self.assertEqual((made.state(), made.offset_ms), (CLOCK_SNTP, NOW))
        self.assertEqual(made.error_ms(1000), 30)
        self.assertEqual(made.error_ms(1000 + HOUR), 30 + 360)

    def test_a_site_replaces_sntp_and_is_never_moved_by_it(self):
        made = belief()
        made.take(NOW + 9000, 30, SNTP, 0)
        self.assertEqual(made.take(NOW, 50, 1, 100), STEPPED)
        self.assertEqual(made.state(), CLOCK_SITE)
        self.assertEqual(made.take(NOW + 9000, 1, SNTP, 200), REFUSED)
        self.assertEqual(made.take(NOW + 9000, 1, SNTP, 20 * HOUR), REFUSED)
        self.assertEqual(made.take(NOW + 40, 1, SNTP, 300), KEPT)
        self.assertEqual(made.offset_ms, NOW)

    def test_a_site_that_agrees_with_sntp_is_no_step(self):
        made = belief()
        made.take(NOW + 20, 30, SNTP, 0)
        self.assertEqual(made.take(NOW, 50, 0, 100), SET)

    def test_the_log_is_told_of_better_answers_only(self):
        made = belief()
        made.take(NOW, 30, 0, 0)
        for second in range(1, 1900, 2):
            self.assertEqual(made.take(NOW + second % 7, 25, 0, second * 1000), KEPT, second)
        self.assertEqual(made.take(NOW, 900, 0, HOUR), KEPT)
        self.assertEqual(made.take(NOW + 3, 25, 0, HOUR + 2000), SET)
        bad = belief()
        bad.take(NOW, 700, 0, 0)
        self.assertEqual(bad.take(NOW + 90, 20, 0, 2000), SET)
        self.assertEqual(bad.error_ms(2000), 20)

    def test_a_site_may_correct_itself_but_not_flutter(self):
        made = belief()
        made.take(NOW, 10, 0, 0)
        self.assertEqual(made.take(NOW + 5000, 10, 0, 4000), REFUSED)
        self.assertEqual(made.take(NOW + 5000, 10, 0, 12000), STEPPED)
        self.assertEqual(made.offset_ms, NOW + 5000)

    def test_of_two_sites_that_differ_the_ward_s_first_is_believed(self):
        made = belief()
        made.take(NOW + 7000, 10, 1, 0)
        self.assertEqual(made.take(NOW, 10, 0, 1000), STEPPED)
        for second in range(2, 1000, 2):
            self.assertEqual(made.take(NOW + 7000, 10, 1, second * 1000), REFUSED)
            self.assertEqual(made.take(NOW, 10, 0, second * 1000 + 1000), KEPT)
        # The first falls silent: after ten minutes the other may speak.
        last = 1000 * 1000
        self.assertEqual(made.take(NOW + 7000, 10, 1, last + 500000), REFUSED)
        self.assertEqual(made.take(NOW + 7000, 10, 1, last + 700000), STEPPED)
        self.assertEqual(made.source, 1)

    def test_absurd_times_are_refused_whoever_says_them(self):
        for utc_ms in (0, EARLY - 1, LATE + 1, 1 << 60):
            for source in (0, SNTP):
                made = belief()
                self.assertEqual(made.take(utc_ms, 10, source, 0), ABSURD)
                self.assertEqual(made.state(), CLOCK_UNKNOWN)

    def test_sntp_does_not_go_behind_what_a_site_said_in_the_log(self):
        made = belief()
        made.proven_ms = NOW
        self.assertEqual(made.take(NOW - 1000, 10, SNTP, 0), REFUSED)
        self.assertEqual(made.take(NOW - 1000, 10, 0, 0), SET)
        other = belief()
        other.proven_ms = NOW
        self.assertEqual(other.take(NOW + 1000, 10, SNTP, 0), SET)


if __name__ == "__main__":
    unittest.main()
