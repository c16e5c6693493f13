import unittest

from bridge.core.journal import layout, records
from bridge.core.journal.layout import CLOCK_SITE, CLOCK_SNTP
from bridge.core.journal.pool import Pool
from tests.support.gateway import Flash, observation, read_all, values_of

UTC = 1_790_000_000_000
HOUR = 3_600_000
LAST_CLASS = len(layout.CLASSES) - 1


class TestLogTimes(unittest.TestCase):
    """What the next boot learns of the time from the log's headers, without any key."""

    def setUp(self):
        self.flash = Flash(sectors=16)
        self.boot()

    def boot(self):
        self.journal, self.clock = self.flash.boot()
        self.pool = self.journal.pool

    def set_clock(self, utc_ms, state=CLOCK_SITE):
        self.clock.state = state
        self.clock.utc_ms = lambda: utc_ms
        self.journal.clock_set(utc_ms, 20)

    def test_a_log_without_a_clock_tells_no_time(self):
        self.boot()
        self.assertEqual((self.pool.utc_ms, self.pool.site_utc_ms), (0, 0))

    def test_the_time_is_in_a_header_as_soon_as_the_clock_is_set(self):
        self.set_clock(UTC)
        self.boot()
        self.assertEqual((self.pool.utc_ms, self.pool.site_utc_ms), (UTC, UTC))

    def test_a_sector_is_begun_for_it_once_an_hour_at_most(self):
        self.set_clock(UTC)
        number = self.journal.newest(LAST_CLASS)[0]
        for minute in range(0, 61, 5):
            self.set_clock(UTC + minute * 60_000)
        self.assertEqual(self.journal.newest(LAST_CLASS)[0], number)
        self.set_clock(UTC + HOUR + 1)
        self.assertEqual(self.journal.newest(LAST_CLASS)[0], number + 1)
        self.boot()
        self.set_clock(UTC + HOUR + 60_000)
        self.assertEqual(self.journal.newest(LAST_CLASS)[0], number + 1)
        found = read_all(self.journal, LAST_CLASS, records.CLOCK)
        self.assertEqual(len(found), 16)

    def test_what_waits_for_its_commit_is_not_lost_when_a_sector_begins(self):
        expected = []
        for step in range(3):
            made, values = observation(step)
            self.journal.observation(LAST_CLASS, 0, made, 10 * step)
            expected.append(values)
            if step == 1:
                self.set_clock(UTC)
        self.journal.commit(LAST_CLASS)
        self.assertEqual(self.journal.newest(LAST_CLASS)[0], 1)
        found = read_all(self.journal, LAST_CLASS)
        self.assertEqual([values_of(record) for record in found], expected)

    def test_what_sntp_said_proves_nothing(self):
        self.set_clock(UTC)
        self.set_clock(UTC + 2 * HOUR, CLOCK_SNTP)
        self.boot()
        self.assertEqual((self.pool.utc_ms, self.pool.site_utc_ms), (UTC + 2 * HOUR, UTC))

    def test_a_time_in_the_far_future_is_not_believed_and_counted(self):
        self.set_clock(UTC)
        self.set_clock(UTC + 200_000 * HOUR)
        self.boot()
        self.assertEqual(self.pool.utc_ms, UTC + 200_000 * HOUR)
        identity = self.journal.keys.identity
        pool = Pool(self.flash.log, self.journal.flash, identity.gateway, identity.log_id)
        pool.mount(UTC + HOUR)
        self.assertEqual((pool.utc_ms, pool.absurd_times), (UTC, 1))


if __name__ == "__main__":
    unittest.main()
