"""ASTM: every frame is answered as it deserves, and a result is told once."""

import unittest

from bridge.core.errors import ConfigError
from bridge.core.protocols.astm import AstmDecoder
from tests.support.decoding import damage, decode, readings


def frame(number, text, end=b"\x03"):
    body = b"%d" % number + text + end
    return b"\x02" + body + b"%02X\r\n" % (sum(body) & 0xFF)


HEAD = frame(1, b"H|\\^&|||POC1\r")
GLUCOSE = frame(2, b"R|1|^^^GLU|5.4|mmol/L|3.9^6.1|N||F\r")


def said(decoder):
    answer = decoder.next_request(0)
    return None if answer is None else bytes(answer)


class TestAstm(unittest.TestCase):
    def test_each_frame_is_acknowledged(self):
        decoder = AstmDecoder({})
        for data in (b"\x05", HEAD, GLUCOSE):
            decode(decoder, data)
            self.assertEqual(said(decoder), b"\x06")
        decode(decoder, b"\x04")
        self.assertIsNone(said(decoder))

    def test_a_bad_frame_is_refused_and_told_once_when_it_comes_again(self):
        decoder = AstmDecoder({})
        decode(decoder, b"\x05" + HEAD)
        bad = GLUCOSE.replace(b"5.4", b"9.4")
        self.assertEqual(damage(decode(decoder, bad)), {"check": len(bad) - 1})
        self.assertEqual(said(decoder), b"\x15")
        for _ in range(3):  # our answers are lost
            events = decode(decoder, GLUCOSE)
            self.assertEqual(said(decoder), b"\x06")
        self.assertEqual(events, [])

    def test_a_result_is_told_once(self):
        decoder = AstmDecoder({})
        events = decode(decoder, b"\x05" + HEAD + GLUCOSE + GLUCOSE + b"\x04")
        self.assertEqual(readings(events), [["observation", 0, 0, [["Glucose", "5.4", "valid"]]]])

    def test_text_is_no_value_and_a_preliminary_result_is_doubted(self):
        for shown, status, expected in (
            (b"ERROR", b"F", [None, "no value"]),
            (b"<0.5", b"F", [None, "no value"]),
            (b"", b"F", [None, "no value"]),
            (b"5.4", b"X", [None, "no value"]),
            (b"5.4", b"P", ["5.4", "questionable"]),
        ):
            record = b"R|1|^^^GLU|" + shown + b"|mmol/L||N||" + status + b"\r"
            events = decode(AstmDecoder({}), b"\x05" + HEAD + frame(2, record))
            self.assertEqual(events[0][3][0][1:], expected)

    def test_units_and_delimiters_are_looked_at(self):
        record = frame(2, b"R|1|^^^GLU|97|mg/dL||N||F\r")
        events = decode(AstmDecoder({}), b"\x05" + HEAD + record)
        self.assertEqual(events[0][3], [["Glucose mg", "97", "valid"]])
        record = frame(2, b"R|1|^^^GLU|97|furlong||N||F\r")
        self.assertEqual(decode(AstmDecoder({}), b"\x05" + HEAD + record), [])
        data = frame(1, b"H@|!^@@@X\r") + frame(2, b"R@1@!!!GLU@5.4@mmol/L@@N@@F\r")
        events = decode(AstmDecoder({}), b"\x05" + data)
        self.assertEqual(events[0][3], [["Glucose", "5.4", "valid"]])

    def test_tests_of_the_configuration_come_first(self):
        options = {"tests": [{"test": "GLU", "unit": "mmol/L", "parameter": 0x8000}]}
        events = decode(AstmDecoder(options), b"\x05" + HEAD + GLUCOSE)
        self.assertEqual(events[0][3][0][0], 0x8000)

    def test_wrong_options_are_refused(self):
        for options in ({"test": []}, {"tests": 5}, {"tests": [{"test": "", "parameter": 1}]}):
            with self.assertRaises(ConfigError):
                AstmDecoder(options)


if __name__ == "__main__":
    unittest.main()
