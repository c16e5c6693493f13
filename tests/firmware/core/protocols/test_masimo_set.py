"""Masimo SET lines: captures, damage, and that a spoilt line gives no value."""

import unittest

from bridge.core.protocols import make_decoder
from tests.support.decoding import Random, capture, damaged, feed, observations

NORMAL = "masimo_set/normal"


def decoder():
    return make_decoder("masimo_set", {})


class TestCaptures(unittest.TestCase):
    def test_captures_give_these_events_however_they_are_cut(self):
        for name in ("normal", "sensor_off", "low_perfusion"):
            data, expected = capture("masimo_set/" + name)
            for size in (len(data), 1, 2, 7, 40):
                with self.subTest(name=name, size=size):
                    self.assertEqual(feed(decoder(), data, size), expected)

    def test_alarm_is_told_when_it_comes_and_when_it_goes(self):
        data, _ = capture(NORMAL)
        low = data.replace(b"ALARM=0000", b"ALARM=0012")
        found = feed(decoder(), data + low + low + data)
        alarms = [event for event in found if event[0] == "alarm"]
        self.assertEqual([(event[2], event[4]) for event in alarms], [(1, True), (1, False)])

    def test_empty_lines_between_are_nothing(self):
        data, expected = capture(NORMAL)
        found = feed(decoder(), b"\r\n" * 300 + data + b"\n" + data)
        self.assertEqual(found, expected + expected)

    def test_bad_sensor_suppresses_every_value(self):
        data, _ = capture(NORMAL)
        for bit in (b"1", b"2", b"8"):
            spoilt = data.replace(b"EXC=000800", b"EXC=00080" + bit)
            rows = feed(decoder(), spoilt)[0][3]
            self.assertEqual([row[3] for row in rows], [1] * len(rows))


class TestDamage(unittest.TestCase):
    def test_line_that_was_cut_or_lost_a_byte_gives_no_value(self):
        data, _ = capture(NORMAL)
        for index in range(len(data) - 2):
            found = feed(decoder(), data[:index] + b"\r\n" + data)
            self.assertEqual(len(observations(found)), 1)
        for index in range(len(data) - 2):
            # A byte lost in the serial number hurts nothing; elsewhere the line must not count.
            found = observations(feed(decoder(), data[:index] + data[index + 1 :]))
            for event in found:
                self.assertEqual(event, feed(decoder(), data)[0])

    def test_two_good_lines_are_enough_after_garbage(self):
        data, expected = capture(NORMAL)
        random = Random(7)
        for _ in range(50):
            found = feed(decoder(), random.bytes(random.below(600)) + data + data)
            self.assertEqual(observations(found)[-1], expected[0])

    def test_garbage_never_raises_and_gives_no_value(self):
        made = decoder()
        random = Random(3)
        total = 0
        for _ in range(400):
            piece = random.bytes(random.below(300))
            found = feed(made, piece)
            self.assertEqual(observations(found), [])
            total += damaged(found)
        self.assertGreater(total, 50000)
        self.assertLess(made.rx.count, len(made.rx.data))

    def test_numbers_out_of_range_are_refused(self):
        data, _ = capture(NORMAL)
        for good, bad in (
            (b"SPO2=097%", b"SPO2=101%"),
            (b"BPM=068", b"BPM=301"),
            (b"PI=02.35%", b"PI=2.350%"),
            (b"PI=02.35%", b"PI=21.35%"),
            (b"SPO2=097%", b"SPO2=09-%"),
            (b"SPO2=097%", b"SPO2=%"),
            (b"SPO2=097%", b"SPO2=097%x"),
            (b"SPO2=097%", b"SPO2=097% SPO2=090%"),
            (b"DESAT=00", b"DESAX=00"),
            (b"EXC=000800", b"EXC=00080G"),
            (b"09:26:53", b"09:26:5x"),
        ):
            found = feed(decoder(), data.replace(good, bad))
            self.assertEqual([event[0] for event in found], ["damage"])

    def test_it_never_sends(self):
        made = decoder()
        for now_ms in range(0, 100000, 500):
            self.assertIsNone(made.next_request(now_ms))


if __name__ == "__main__":
    unittest.main()
