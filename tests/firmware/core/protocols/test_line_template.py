"""Printed lines: a pattern fits as a whole or not at all."""

import unittest

from bridge.core.errors import ConfigError
from bridge.core.protocols.line_template import LineDecoder
from tests.support.decoding import decode

FIELD = {"parameter": 1, "low": 0, "high": 100}
ONE = {"lines": [{"pattern": "SpO2={} %", "fields": [FIELD]}]}


def read(options, line):
    return decode(LineDecoder(options), line + b"\r\n")


class TestLines(unittest.TestCase):
    def test_blanks_are_one_or_more(self):
        for line in (b"SpO2=97 %", b"SpO2=  97   %", b"SpO2=97 % "):
            self.assertEqual(read(ONE, line)[0][3], [["SpO2", "97", "valid"]])
        for line in (b"SpO2=97%", b" SpO2=97 %", b"spo2=97 %", b"SpO2=97 %x"):
            self.assertEqual(read(ONE, line), [["damage", "format", len(line)]])

    def test_a_field_is_a_number_in_its_range_or_a_text_for_no_value(self):
        self.assertEqual(read(ONE, b"SpO2=--- %")[0][3], [["SpO2", None, "no value"]])
        for text in (b"101", b"-1", b"9 7", b"abc", b"", b"9.7.1"):
            self.assertEqual(read(ONE, b"SpO2=" + text + b" %")[0][0], "damage")
        self.assertEqual(read(ONE, b"SpO2=96.5 %")[0][3], [["SpO2", "96.5", "valid"]])
        self.assertEqual(read(ONE, b"SpO2=100.5 %")[0][0], "damage")

    def test_the_first_pattern_that_fits_is_the_group(self):
        options = {
            "lines": [
                {"pattern": "A={};B={}", "fields": [FIELD, {"parameter": 2}]},
                {"pattern": "B={}", "fields": [{"parameter": 2}]},
            ]
        }
        self.assertEqual(read(options, b"A=1;B=2")[0][1:3], [0, 0])
        self.assertEqual(read(options, b"B=7")[0][1:], [0, 1, [["PR", "7", "valid"]]])

    def test_a_field_may_be_looked_past(self):
        options = {"lines": [{"pattern": "{} {}", "fields": [{"parameter": 0}, FIELD]}]}
        self.assertEqual(read(options, b"09:30:15 97")[0][3], [["SpO2", "97", "valid"]])

    def test_checks(self):
        options = dict(ONE, check="xor8")
        total = 0
        for byte in b"SpO2=97 %":
            total ^= byte
        self.assertEqual(len(read(options, b"SpO2=97 %%%02X" % total)[0][3]), 1)
        self.assertEqual(read(options, b"SpO2=96 %%%02X" % total)[0][1], "check")
        options = dict(ONE, check="sum8")
        line = b"SpO2=97 %%%02x" % (sum(b"SpO2=97 %") & 0xFF)
        self.assertEqual(read(options, line)[0][0], "observation")

    def test_headers_are_ignored_and_long_lines_are_damage(self):
        options = dict(ONE, ignore=["TIME"])
        self.assertEqual(read(options, b"TIME  SpO2"), [])
        self.assertEqual(read(options, b"x" * 300), [["damage", "length", 300]])

    def test_wrong_options_are_refused(self):
        for options in (
            {},
            {"lines": []},
            {"lines": [{"pattern": "A={}", "fields": []}]},
            {"lines": [{"pattern": "{}{}", "fields": [FIELD, FIELD]}]},
            {"lines": [{"pattern": "A={}", "fields": [{"parameter": 1, "low": 5, "high": 1}]}]},
            {"lines": [{"pattern": "A={}", "fields": [FIELD, FIELD]}]},
            dict(ONE, check="crc"),
            dict(ONE, ignore=[""]),
        ):
            with self.assertRaises(ConfigError):
                LineDecoder(options)


if __name__ == "__main__":
    unittest.main()
