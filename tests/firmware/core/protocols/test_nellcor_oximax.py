"""OxiMax lines: exact readings, and no value from a line that is not whole."""

import unittest

import micropython

from bridge.core.errors import ConfigError
from bridge.core.protocols.nellcor_oximax import OximaxDecoder
from tests.support.decoding import Noise, capture, damage, decode, drain, readings

CAPTURES = ("nellcor_oximax/n600", "nellcor_oximax/search")
GOOD = b"14-MAR-26 09:26:55    97*    104      38     SH    PH\r\n"
WIDE = b"14-MAR-26 09:26:55     97     104     38\r\n"


def observations(events):
    return [event for event in events if event[0] == "observation"]


def spo2(events):
    return [event[3][0][1] for event in observations(events)]


class TestOximax(unittest.TestCase):
    def test_captures_give_their_events(self):
        for name in CAPTURES:
            with self.subTest(name=name):
                data, _, expected = capture(name)
                self.assertEqual(decode(OximaxDecoder({}), data), expected)

    def test_events_are_the_same_however_the_bytes_are_cut(self):
        data = b"%09:" + capture(CAPTURES[0])[0] + b"x" * 700 + b"\r\n" + capture(CAPTURES[1])[0]
        data += GOOD[:30] + GOOD + WIDE * 4
        whole = decode(OximaxDecoder({}), data)
        self.assertEqual(len(observations(whole)), 9)
        for size in range(1, 120):
            events = decode(OximaxDecoder({}), data, size)
            self.assertEqual(readings(events), readings(whole))
            self.assertEqual(damage(events), damage(whole))
        # Noise and the header behind it, the torn line, and two lines of other columns.
        self.assertEqual(damage(whole), {"format": 80 + 30 + 2 * 40, "length": 700})

    def test_missing_bytes_give_no_other_value(self):
        wanted = observations(decode(OximaxDecoder({}), GOOD))
        for size in range(1, 4):
            for at in range(len(GOOD) - 2 - size + 1):
                line = GOOD[:at] + GOOD[at + size :]
                events = decode(OximaxDecoder({}), line)
                if observations(events):  # only codes at the end, or spaces before them
                    self.assertTrue(at >= 40)
                    self.assertEqual(observations(events), wanted)
                else:
                    self.assertEqual(damage(events), {"format": len(line) - 2})

    def test_a_changed_byte_gives_the_same_values_or_none(self):
        wanted = [[value[:2] for value in decode(OximaxDecoder({}), GOOD)[0][3]]]
        noise = Noise(7)
        for at in range(len(GOOD) - 2):
            for _ in range(8):
                byte = noise.number(256)
                if byte in b"0123456789\r\n":
                    continue
                line = GOOD[:at] + bytes((byte,)) + GOOD[at + 1 :]
                found = observations(decode(OximaxDecoder({}), line))
                values = [[value[:2] for value in event[3]] for event in found]
                # A digit that becomes a space leaves a shorter number: at most that.
                if byte == 0x20 and GOOD[at : at + 1] in (b"9", b"1", b"3"):
                    continue
                self.assertTrue(values in ([], wanted), line)

    def test_noise_and_a_torn_line_before_a_good_one_cost_only_themselves(self):
        for cut in range(1, len(GOOD) - 2):
            events = decode(OximaxDecoder({}), GOOD[:cut] + GOOD)
            self.assertEqual(spo2(events), ["97"])
            self.assertEqual(damage(events), {"format": cut})
            events = decode(OximaxDecoder({}), GOOD[cut:] + GOOD)
            self.assertEqual(spo2(events), ["97"])

    def test_lines_out_of_shape_give_no_value(self):
        for old, new in (
            (b" 97*", b"101*"),
            (b" 97*", b"9-7*"),
            (b" 97*", b" --*"),
            (b"  97*", b"---- "),
            (b" 97*", b"097 *"),
            (b"104 ", b"301 "),
            (b" 38", b"255"),
            (b"MAR", b"MAI"),
            (b"14-", b"00-"),
            (b"14-", b"32-"),
            (b"09:26", b"24:26"),
            (b"26:55", b"60:55"),
            (b":55", b":60"),
            (b"SH", b"S"),
            (b"SH", b"SHH"),
            (b"SH", b"s1"),
            (b"SH    PH", b"SH PH LP LM LB"),
        ):
            with self.subTest(new=new):
                line = GOOD.replace(old, new)
                self.assertEqual(
                    decode(OximaxDecoder({}), line), [["damage", "format", len(line) - 2]]
                )

    def test_documented_variants_are_read(self):
        for old, new in (
            (b"MAR", b"Mar"),
            (b" 38", b"038"),
            (b"*", b" "),
            (b"PH\r", b"PH      \r"),
            (b"SH    PH", b"      PH    AO"),
            (b"\r\n", b"\n"),
        ):
            with self.subTest(new=new):
                events = decode(OximaxDecoder({}), GOOD.replace(old, new))
                self.assertEqual(spo2(events), ["97"])
                self.assertEqual(events[0][3][2][1], "38")

    def test_other_columns_are_believed_from_the_third_line(self):
        decoder = OximaxDecoder({})
        events = decode(decoder, WIDE + GOOD + WIDE * 2)
        self.assertEqual(spo2(events), ["97"])
        self.assertEqual(damage(events), {"format": 3 * (len(WIDE) - 2)})
        self.assertEqual(spo2(decode(decoder, WIDE + WIDE)), ["97", "97"])
        self.assertEqual(spo2(decode(decoder, GOOD)), [])

    def test_headers_are_no_damage_and_menus_are(self):
        headers = (
            b"NPB-290 VERSION 1.2.0.0 CRC:1234\r\n   \r\nNEO  50SAT-S  SPO2 RESP MODE: FAST\r\n"
        )
        self.assertEqual(decode(OximaxDecoder({}), headers), [])
        self.assertEqual(
            decode(OximaxDecoder({}), b"N-600\x80\r\n3) DUMP TREND\r\n"),
            [["damage", "format", 6], ["damage", "format", 13]],
        )

    def test_codes_take_values_back_or_doubt_them(self):
        for code, state in (
            (b"SD", "no value"),
            (b"SO", "no value"),
            (b"LP", "questionable"),
            (b"LM", "questionable"),
            (b"MO", "questionable"),
            (b"PS", "questionable"),
            (b"QQ", "questionable"),
            (b"SL", "valid"),
            (b"AS", "valid"),
            (b"AO", "valid"),
            (b"LB", "valid"),
        ):
            events = decode(OximaxDecoder({}), GOOD.replace(b"SH", code))
            self.assertEqual({value[2] for value in events[0][3]}, {state})

    def test_zeros_are_no_value_but_of_the_amplitude(self):
        line = b"14-MAR-26 09:26:55     0       0       0\r\n"
        values = decode(OximaxDecoder({}), line)[0][3]
        self.assertEqual([value[1] for value in values], [None, None, "0"])

    def test_alarms_are_told_when_they_change(self):
        decoder = OximaxDecoder({})
        quiet = GOOD.replace(b"SH    PH", b"")
        found = [
            [event[3:] for event in decode(decoder, line) if event[0] == "alarm"]
            for line in (quiet, GOOD, GOOD, quiet)
        ]
        self.assertEqual(
            found,
            [
                [],
                [[1, 2, True, "SPO2 HIGH"], [3, 2, True, "PULSE HIGH"]],
                [],
                [[1, 2, False, "SPO2 HIGH"], [3, 2, False, "PULSE HIGH"]],
            ],
        )

    def test_wrong_options_are_refused(self):
        for options in ({"poll_ms": 5}, []):
            with self.assertRaises(ConfigError):
                OximaxDecoder(options)

    def test_garbage_never_raises_and_the_second_good_line_is_read(self):
        noise = Noise(11)
        decoder = OximaxDecoder({})
        for _ in range(30):
            self.assertEqual(readings(decode(decoder, noise.bytes(3000))), [])
            self.assertTrue("97" in spo2(decode(decoder, GOOD + GOOD)))

    def test_nothing_is_ever_sent(self):
        decoder = OximaxDecoder({})
        for now_ms in range(0, 20000, 20):
            self.assertIsNone(decoder.next_request(now_ms))

    def test_warm_line_allocates_nothing(self):
        decoder = OximaxDecoder({})
        decode(decoder, GOOD)
        decoder.rx.feed(GOOD[:30] + GOOD)
        micropython.heap_lock()
        try:
            torn = decoder.next_event()
            event = decoder.next_event()
            nothing = decoder.next_event()
        finally:
            micropython.heap_unlock()
        self.assertEqual(torn.count, 30)
        self.assertEqual(event.count, 3)
        self.assertIsNone(nothing)
        self.assertEqual(drain(decoder), [])


if __name__ == "__main__":
    unittest.main()
