"""What drivers share: no byte is lost from the account, and alarms are told when they change."""

import unittest

from bridge.core.protocols.driver import CHECK, LENGTH, WAIT, AlarmBits, Driver
from bridge.core.protocols.polls import Polls
from tests.support.decoding import Noise, damage, decode, drain, plain


class Letters(Driver):
    """Frames of "<", a size digit, so many letters, ">"; a letter "!" is a bad check."""

    def __init__(self):
        super().__init__(16, 1)
        self.taken = []

    def _frame(self, at, count):
        data = self.rx.data
        if data[at] != 0x3C:
            self._why = "noise"
            return -1
        if count < 2:
            return WAIT
        size = data[at + 1] - 0x30 + 3
        if not 3 <= size <= 12:
            self._why = LENGTH
            return -1
        if count < size:
            return WAIT
        if data[at + size - 1] != 0x3E or data.find(b"!", at, at + size) >= 0:
            self._why = CHECK
            return -1
        return size

    def _take(self, at, size):
        self.taken.append(bytes(self.rx.data[at + 2 : at + size - 1]))


class TestDriver(unittest.TestCase):
    def test_frames_and_damage_add_up_however_they_are_cut(self):
        data = b"..<2ab><3c!d><0>x<9<1e>garbage<2fg>"
        for size in range(1, len(data) + 1):
            driver = Letters()
            events = decode(driver, data, size)
            # The false start with 9 hides nothing that follows it.
            self.assertEqual(driver.taken, [b"ab", b"", b"e", b"fg"])
            total = sum(damage(events).values())
            self.assertEqual(total, len(data) - len(b"<2ab><0><1e><2fg>"))

    def test_a_full_buffer_never_stops_it(self):
        driver = Letters()
        noise = Noise(3)
        for _ in range(300):
            decode(driver, b"<9" + noise.bytes(20))
        driver.taken.clear()
        decode(driver, b">" * 16 + b"<1z>" * 2)
        self.assertEqual(driver.taken[-1], b"z")


class TestAlarms(unittest.TestCase):
    def test_each_change_is_told_once(self):
        bits = AlarmBits((("LOW", 3), ("HIGH", 2)), page=1)
        bits.now = 3
        told = []
        alarm = bits.next()
        while alarm is not None:
            told.append(plain(alarm))
            alarm = bits.next()
        self.assertEqual([entry[6] for entry in told], ["LOW", "HIGH"])
        bits.now = 2
        self.assertEqual(plain(bits.next())[5:], [False, "LOW"])
        self.assertIsNone(bits.next())

    def test_bits_without_a_name_are_passed_over(self):
        bits = AlarmBits((("LOW", 3),))
        bits.now = 4
        self.assertIsNone(bits.next())
        bits.now = 5
        self.assertEqual(bits.next().text, "LOW")


class TestPolls(unittest.TestCase):
    def test_each_has_its_turn_and_its_pace(self):
        polls = Polls((1000, 3000), 500)
        asked = []
        for now_ms in range(0, 9000, 100):
            index = polls.next(now_ms)
            if index >= 0:
                asked.append((now_ms, index))
                polls.answered()
        self.assertEqual([now for now, index in asked if index == 0], list(range(0, 9000, 1000)))
        self.assertEqual(len([now for now, index in asked if index == 1]), 3)

    def test_what_is_not_answered_counts_and_is_asked_again(self):
        polls = Polls((1000,), 500)
        self.assertEqual(polls.next(0), 0)
        self.assertEqual(polls.next(499), -1)
        self.assertEqual((polls.next(600), polls.missed), (-1, 1))
        self.assertEqual(polls.next(1000), 0)

    def test_once_means_once(self):
        polls = Polls((0, 1000), 500)
        polls.again(0)
        self.assertEqual(polls.next(0), 0)
        polls.answered()
        found = []
        for now_ms in range(0, 5000, 50):
            found.append(polls.next(now_ms))
            polls.answered()
        self.assertFalse(0 in found)


class TestRoom(unittest.TestCase):
    def test_nothing_is_left_behind(self):
        driver = Letters()
        decode(driver, b"<2ab>")
        self.assertEqual(driver.rx.count, 0)
        self.assertEqual(drain(driver), [])


if __name__ == "__main__":
    unittest.main()
