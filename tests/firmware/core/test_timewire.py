import unittest

from bridge.core import timewire
from bridge.core.errors import FormatError, TagError
from bridge.core.timewire import SYNC_GOOD, TIME_SIZE, TimeAnswer

GATEWAY = b"\x01gateway"
SITE = b"\x03site---"
UPLINK_KEY = bytes(range(32))
RECEIPT_KEY = bytes(range(32, 64))
NONCE = b"12345678"
UTC_MS = 1790000000123


def answer():
    made = TimeAnswer(SITE, NONCE, UTC_MS, SYNC_GOOD)
    return timewire.pack_answer(RECEIPT_KEY, GATEWAY, made)


class TestTimewire(unittest.TestCase):
    def test_question_and_answer_say_what_was_put_in(self):
        question = timewire.pack_question(UPLINK_KEY, GATEWAY, NONCE)
        self.assertEqual(timewire.asker(question), GATEWAY)
        self.assertEqual(timewire.parse_question(question, UPLINK_KEY), NONCE)
        found = timewire.parse_answer(answer(), RECEIPT_KEY, GATEWAY)
        self.assertEqual((found.site, found.nonce), (SITE, NONCE))
        self.assertEqual((found.utc_ms, found.sync), (UTC_MS, SYNC_GOOD))

    def test_an_answer_is_not_longer_than_its_question(self):
        self.assertEqual(len(timewire.pack_question(UPLINK_KEY, GATEWAY, NONCE)), TIME_SIZE)
        self.assertEqual(len(answer()), TIME_SIZE)

    def test_every_bit_is_under_the_tag(self):
        question = timewire.pack_question(UPLINK_KEY, GATEWAY, NONCE)
        for index in range(TIME_SIZE):
            for bit in (0, 7):
                bad = bytearray(question)
                bad[index] ^= 1 << bit
                with self.assertRaises((FormatError, TagError)):
                    timewire.asker(bad)
                    timewire.parse_question(bad, UPLINK_KEY)
                bad = bytearray(answer())
                bad[index] ^= 1 << bit
                with self.assertRaises(TagError):
                    timewire.parse_answer(bad, RECEIPT_KEY, GATEWAY)

    def test_an_answer_to_another_gateway_and_another_size_are_refused(self):
        with self.assertRaises(FormatError):
            timewire.parse_answer(answer(), RECEIPT_KEY, b"\x02gateway")
        for size in (0, 1, TIME_SIZE - 1, TIME_SIZE + 1):
            with self.assertRaises(FormatError):
                timewire.parse_answer(bytes(size), RECEIPT_KEY, GATEWAY)
            with self.assertRaises(FormatError):
                timewire.asker(bytes(size))

    def test_a_question_is_no_answer_under_the_same_key(self):
        question = timewire.pack_question(RECEIPT_KEY, GATEWAY, NONCE)
        with self.assertRaises(TagError):
            timewire.parse_answer(question, RECEIPT_KEY, GATEWAY)
        with self.assertRaises(FormatError):
            timewire.asker(answer())


if __name__ == "__main__":
    unittest.main()
