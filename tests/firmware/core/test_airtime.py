"""Time on air against published figures, and a region's law."""

import unittest

from bridge.core.airtime import BANDS, DEFAULTS, FRAME_MAX, make_plan, time_on_air_us
from bridge.core.errors import ConfigError


class TestTimeOnAir(unittest.TestCase):
    def test_published_figures(self):
        # size, sf, kHz, coding rate: us. Semtech's LoRa calculator (AN1200.13), explicit header,
        # CRC, preamble of 8; 64 bytes at SF12 are LoRaWAN's largest there, known as 2793.5 ms.
        for size, sf, khz, rate, us in (
            (10, 7, 125, 5, 41216),
            (13, 9, 125, 5, 164864),
            (13, 12, 125, 8, 1449984),
            (64, 12, 125, 5, 2793472),
            (255, 7, 125, 5, 399616),
        ):
            with self.subTest(size=size, sf=sf):
                self.assertEqual(time_on_air_us(size, sf, khz, rate), us)

    def test_a_longer_frame_never_takes_less(self):
        for sf in range(7, 13):
            for khz in (125, 250, 500):
                times = [time_on_air_us(size, sf, khz) for size in range(1, FRAME_MAX + 1)]
                self.assertEqual(times, sorted(times))

    def test_low_rate_is_for_symbols_beyond_16_ms(self):
        # SF11 with 125 kHz and SF12 with 250 kHz have symbols of 16.384 ms: one more bit a symbol
        # is given up in both, so what differs is their symbols' number alone.
        self.assertEqual(time_on_air_us(20, 11, 125), 741376)
        self.assertEqual(time_on_air_us(20, 11, 250), 329728)


class TestPlan(unittest.TestCase):
    def refused(self, **settings):
        with self.assertRaises(ConfigError) as caught:
            make_plan(settings)
        return str(caught.exception)

    def test_defaults_are_allowed_where_they_are_for(self):
        for region in DEFAULTS:
            with self.subTest(region=region):
                plan = make_plan({"region": region})
                self.assertTrue(200 < plan.frame_max <= FRAME_MAX)
                self.assertTrue(plan.frame_us(plan.frame_max) <= plan.airtime_ms * 750)

    def test_each_sub_band_has_its_own_duty_cycle(self):
        for khz, per_mille in ((864000, 1), (868300, 10), (868900, 1), (869525, 100)):
            with self.subTest(khz=khz):
                plan = make_plan({"region": "EU868", "khz": khz})
                self.assertEqual(plan.airtime_ms, plan.window_ms * per_mille // 1000)

    def test_a_channel_must_lie_in_one_band_whole(self):
        for khz, bandwidth in ((868650, 125), (868575, 125), (869525, 500), (862900, 125)):
            with self.subTest(khz=khz):
                text = self.refused(region="EU868", khz=khz, bandwidth_khz=bandwidth)
                self.assertIn("no band", text)

    def test_what_is_refused_is_named(self):
        self.assertIn("EU868", self.refused(region="XX"))
        self.assertIn("region", self.refused())
        self.assertIn("sf 6", self.refused(region="EU868", sf=6))
        self.assertIn("bandwidth", self.refused(region="EU868", bandwidth_khz=100))
        self.assertIn("dbm 15", self.refused(region="EU868", khz=868300, dbm=15))
        self.assertIn("khz", self.refused(region="EU868", khz="868300"))
        self.assertIn("no such field", self.refused(region="EU868", mhz=868))

    def test_a_frame_that_dwells_too_long_is_never_made(self):
        plan = make_plan({"region": "US915", "bandwidth_khz": 125, "sf": 10})
        self.assertTrue(plan.frame_us(plan.frame_max) <= 300000)
        self.assertTrue(plan.frame_us(plan.frame_max + 1) > 300000)

    def test_bands_do_not_overlap(self):
        for region in DEFAULTS:
            edges = sorted(band[1:3] for band in BANDS if band[0] == region)
            for index in range(1, len(edges)):
                self.assertTrue(edges[index - 1][1] <= edges[index][0])


if __name__ == "__main__":
    unittest.main()
