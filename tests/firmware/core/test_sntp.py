import struct
import unittest

from bridge.core import sntp
from bridge.core.errors import FormatError

NONCE = b"\x01\x02\x03\x04\x05\x06\x07\x08"
UTC_MS = 1790000000500
_1900_S = 2208988800


def stamp(utc_ms):
    seconds = (utc_ms // 1000 + _1900_S) % (1 << 32)
    return struct.pack(">II", seconds, ((utc_ms % 1000 << 32) + 999) // 1000)


def answer(
    utc_ms=UTC_MS,
    nonce=NONCE,
    flags=0x24,
    stratum=2,
    delay_ms=10,
    dispersion_ms=20,
    took_ms=3,
    reference=b"GPS\x00",
):
    return (
        struct.pack(
            ">BBbbII4s",
            flags,
            stratum,
            6,
            -20,
            delay_ms * 65536 // 1000,
            dispersion_ms * 65536 // 1000,
            reference,
        )
        + bytes(8)
        + nonce
        + stamp(utc_ms)
        + stamp(utc_ms + took_ms)
    )


class TestSntp(unittest.TestCase):
    def test_request_is_a_client_s_and_says_nothing_of_us(self):
        found = sntp.request(NONCE)
        self.assertEqual(len(found), 48)
        self.assertEqual(found[0], 0x23)
        self.assertEqual(found[1:40], bytes(39))
        self.assertEqual(found[40:], NONCE)

    def test_offset_and_error_follow_from_the_four_times(self):
        reply = sntp.parse(answer(), NONCE)
        self.assertEqual((reply.received_ms, reply.sent_ms), (UTC_MS, UTC_MS + 3))
        # There and back 20 ms each, 3 at the server: sent at 1000 by our clock, heard at 1043.
        offset_ms, error_ms = reply.judge(1000, 1043)
        self.assertEqual(offset_ms, UTC_MS - 1020)
        # Half of 40, 20 of dispersion, half of 10 of root delay, and roundings.
        self.assertTrue(45 <= error_ms <= 50, error_ms)
        with self.assertRaises(FormatError):
            reply.judge(1000, 1000)

    def test_the_era_after_2036_is_understood(self):
        for utc_ms in (2085978495000, 2085978497000, 3000000000000):
            self.assertEqual(sntp.parse(answer(utc_ms), NONCE).received_ms, utc_ms)

    def test_what_is_wrong_is_refused_by_name(self):
        for bad, word in (
            (answer(nonce=bytes(8)), "another question"),
            (answer()[:47], "47 bytes"),
            (answer(flags=0x23), "mode 3"),
            (answer(flags=0x0C), "version 1"),
            (answer(flags=0xE4), "not set"),
            (answer(stratum=16), "stratum 16"),
            (answer(delay_ms=1200), "root delay"),
            (answer(dispersion_ms=60000), "dispersion"),
            (answer(took_ms=-5), "sent -5"),
            (answer(took_ms=9000), "sent 9000"),
            (answer()[:40] + bytes(8), "no time"),
        ):
            with self.subTest(word=word):
                with self.assertRaises(FormatError) as caught:
                    sntp.parse(bad, NONCE)
                self.assertIn(word, str(caught.exception))

    def test_a_kiss_of_death_is_named_and_only_believed_if_it_answers_us(self):
        with self.assertRaises(sntp.Kiss) as caught:
            sntp.parse(answer(stratum=0, reference=b"RATE"), NONCE)
        self.assertEqual(caught.exception.code, "RATE")
        with self.assertRaises(sntp.Kiss) as caught:
            sntp.parse(answer(stratum=0, reference=b"\x00\xffX\n"), NONCE)
        self.assertEqual(caught.exception.code, "??X?")
        with self.assertRaises(FormatError) as caught:
            sntp.parse(answer(stratum=0, reference=b"DENY", nonce=bytes(8)), NONCE)
        self.assertFalse(isinstance(caught.exception, sntp.Kiss))


if __name__ == "__main__":
    unittest.main()
