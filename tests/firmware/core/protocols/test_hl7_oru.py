"""HL7 over MLLP: acknowledgements, repetitions, cut messages, units and marks for no value."""

import unittest

from bridge.core.errors import ConfigError
from bridge.core.protocols.hl7_oru import OruDecoder
from tests.support.decoding import Noise, damage, decode, readings


def message(*lines, number="42", kind="ORU^R01"):
    head = "MSH|^~\\&|BED7|ICU|GW|HOSP|20240305093000||%s|%s|P|2.6" % (kind, number)
    return b"\x0b" + (head + "\r" + "".join(line + "\r" for line in lines)).encode() + b"\x1c\r"


def heart(value="74", unit="/min", status="F", flag=""):
    return "OBX|1|NM|147842^MDC_ECG_HEART_RATE^MDC|1.1|%s|%s||%s|||%s" % (
        value,
        unit,
        flag,
        status,
    )


def one(*arguments):
    events = decode(OruDecoder({}), message(heart(*arguments)))
    return events[0][3][0][1:] if events else None


class TestHl7(unittest.TestCase):
    def test_a_message_is_acknowledged_with_its_number_and_the_names_turned(self):
        decoder = OruDecoder({})
        decode(decoder, message(heart()))
        self.assertEqual(
            bytes(decoder.next_request(0)),
            b"\x0bMSH|^~\\&|GW|HOSP|BED7|ICU|||ACK^R01|a42|P|2.6\rMSA|AA|42\r\x1c\r",
        )
        self.assertIsNone(decoder.next_request(0))

    def test_nothing_is_said_to_those_who_want_no_answer(self):
        decoder = OruDecoder({"ack": False})
        self.assertEqual(len(decode(decoder, message(heart()))), 1)
        self.assertIsNone(decoder.next_request(0))

    def test_a_message_that_comes_again_is_answered_and_told_once(self):
        decoder = OruDecoder({})
        events = decode(decoder, message(heart()) + message(heart()))
        self.assertEqual(len(events), 1)
        self.assertTrue(decoder.next_request(0) is not None)
        # Another value under the same number is another message.
        self.assertEqual(len(decode(decoder, message(heart("75")))), 1)

    def test_a_cut_message_gives_nothing_and_the_next_one_does(self):
        whole = message(heart("70"))
        for cut in range(20, len(whole) - 2, 7):
            events = decode(OruDecoder({}), whole[:cut] + message(heart("80"), number="43"))
            self.assertEqual([event[3][0][1] for event in readings(events)], ["80"])
            self.assertEqual(sum(damage(events).values()), cut)

    def test_separators_are_those_of_the_header(self):
        data = message(heart()).replace(b"|", b"#").replace(b"^", b"*")
        self.assertEqual(decode(OruDecoder({}), data)[0][3], [["HR", "74", "valid"]])

    def test_line_feeds_and_a_missing_start_are_tolerated(self):
        data = message(heart()).replace(b"\r", b"\r\n")[1:]
        self.assertEqual(len(readings(decode(OruDecoder({}), data))), 1)

    def test_marks_for_no_value(self):
        for arguments in (
            ("",),
            ("---",),
            ("-1",),
            ("-100",),
            ("-999",),
            ("-99.9",),
            ("74", "/min", "X"),
            ("74", "/min", "F", "INV"),
        ):
            self.assertEqual(one(*arguments), [None, "no value"], arguments)
        self.assertEqual(one("74", "/min", "R", "H"), ["74", "valid"])

    def test_units_are_never_taken_for_granted(self):
        self.assertIsNone(one("74", "%"))
        self.assertIsNone(one("74", ""))
        temperature = "OBX|1|NM|150344^MDC_TEMP^MDC|1.1|%s|%s|||||F"
        for shown, unit, expected in (
            ("100.4", "268160^X^MDC", "38.00"),
            ("98.6", "[degF]", "37.00"),
            ("37.2", "Cel", "37.2"),
            ("14.0", "[degF]", "-10.00"),
        ):
            events = decode(OruDecoder({}), message(temperature % (shown, unit)))
            self.assertEqual(events[0][3], [["Temp", expected, "valid"]])

    def test_own_identifiers_are_read_in_their_unit(self):
        row = "OBX|1|NM|NIBP-S^Systolic|1|%s|mmHg|||||F"
        options = {"map": {"NIBP-S": {"parameter": 20, "unit": "mmHg"}, "X": 21}}
        events = decode(OruDecoder(options), message(row % "118"))
        self.assertEqual(events[0][3], [["NBPs", "118", "valid"]])
        options = {"map": {"NIBP-S": {"parameter": 20, "unit": "kPa"}}}
        self.assertEqual(decode(OruDecoder(options), message(row % "118")), [])

    def test_waves_and_alarms_are_passed_over(self):
        for kind in ("ORU^W01", "ORU^R40", "ADT^A01"):
            self.assertEqual(decode(OruDecoder({}), message(heart(), kind=kind)), [])

    def test_a_segment_without_end_and_garbage_do_no_harm(self):
        noise = Noise(5)
        decoder = OruDecoder({})
        for _ in range(20):
            decode(decoder, noise.bytes(2000))
            decode(decoder, b"\x0bMSH|^~\\&|" + b"x" * 3000)
            events = decode(decoder, message(heart()) + message(heart("75"), number="43"))
            self.assertTrue("75" in [event[3][0][1] for event in readings(events)])

    def test_wrong_options_are_refused(self):
        for options in ({"ack": 1}, {"map": []}, {"map": {"A": 0}}, {"map": {"A": {"unit": "x"}}}):
            with self.assertRaises(ConfigError):
                OruDecoder(options)


if __name__ == "__main__":
    unittest.main()
