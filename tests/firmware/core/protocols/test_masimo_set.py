"""Masimo lines: exact readings, and no value from a line that is not whole."""

import unittest

import micropython

from bridge.core.errors import ConfigError
from bridge.core.protocols.masimo_set import MasimoDecoder
from tests.support.decoding import (
    Noise,
    capture,
    damage,
    decode,
    drain,
    readings,
)

CAPTURES = ("masimo_set/rad8", "masimo_set/radical7_low_perfusion")
GOOD = (
    b"03/14/26 09:26:53 SN=0000123456 SPO2=097% BPM=068 PI=02.35% DESAT=00 PIDELTA=+00 "
    b"ALARM=0000 EXC=000800\r\n"
)


def spo2(events):
    return [event[3][0][1] for event in readings(events) if event[0] == "observation"]


class TestMasimo(unittest.TestCase):
    def test_captures_give_their_events(self):
        for name in CAPTURES:
            with self.subTest(name=name):
                data, _, expected = capture(name)
                self.assertEqual(decode(MasimoDecoder({}), data), expected)

    def test_events_are_the_same_however_the_bytes_are_cut(self):
        data = b"%09:" + capture(CAPTURES[0])[0] + b"x" * 700 + b"\r\n" + capture(CAPTURES[1])[0]
        whole = decode(MasimoDecoder({}), data)
        self.assertEqual(len(readings(whole)), 3)
        for size in range(1, 120):
            events = decode(MasimoDecoder({}), data, size)
            self.assertEqual(readings(events), readings(whole))
            self.assertEqual(damage(events), damage(whole))
        self.assertEqual(damage(whole), {"format": 106, "length": 700})

    def test_missing_bytes_give_no_value(self):
        # Every stretch of up to three bytes that a line can lose, and what may still be read.
        unharmed = decode(MasimoDecoder({}), GOOD)
        for size in range(1, 4):
            for at in range(len(GOOD) - 2 - size + 1):
                line = GOOD[:at] + GOOD[at + size :]
                events = decode(MasimoDecoder({}), line)
                if readings(events):
                    # A lost "%" at most: the values must be the ones that were sent.
                    self.assertEqual(events, unharmed)
                else:
                    self.assertEqual(damage(events), {"format": len(line) - 2})

    def test_a_changed_byte_gives_the_same_values_or_none(self):
        # Only one digit for another goes unseen; nothing else may change a value.
        unharmed = decode(MasimoDecoder({}), GOOD)
        noise = Noise(7)
        for at in range(len(GOOD) - 2):
            for _ in range(6):
                byte = noise.number(256)
                if byte in b"0123456789ABCDEF\r\n" or byte == GOOD[at]:
                    continue
                line = GOOD[:at] + bytes((byte,)) + GOOD[at + 1 :]
                events = decode(MasimoDecoder({}), line)
                self.assertTrue(not readings(events) or events == unharmed, line)

    def test_torn_line_gives_no_value_and_the_next_one_does(self):
        for cut in range(1, len(GOOD) - 2):
            events = decode(MasimoDecoder({}), GOOD[cut:] + GOOD)
            self.assertEqual(spo2(events), ["97"])
            events = decode(MasimoDecoder({}), GOOD[:cut] + GOOD + GOOD)
            self.assertEqual(spo2(events)[-1], "97")
            self.assertTrue(1 <= len(spo2(events)) <= 2)

    def test_lines_out_of_shape_give_no_value(self):
        for old, new in (
            (b"SPO2=097%", b"SPO2=101%"),
            (b"SPO2=097%", b"SPO2=97%"),
            (b"SPO2=097%", b"SPO2=0-7%"),
            (b"SPO2=097%", b"SPO3=097%"),
            (b"SPO2=097% ", b""),
            (b"BPM=068", b"BPM=301"),
            (b"BPM=068 ", b""),
            (b"BPM=068", b"BPM=068 BPM=068"),
            (b"BPM=068", b"BPM=068 NEW=1"),
            (b"BPM=068", b"BPM=068 "),
            (b"PI=02.35%", b"PI=0235%"),
            (b"PI=02.35%", b"PI=20.35%"),
            (b"PIDELTA=+00", b"PIDELTA=00"),
            (b"ALARM=0000", b"ALARM=00000"),
            (b"ALARM=0000 ", b""),
            (b"EXC=000800", b"EXC=00080"),
            (b"EXC=000800", b"EXC=00080g"),
            (b"EXC=000800", b""),
            (b"SN=0000123456 ", b""),
            (b"03/14/26", b"03-14/26"),
        ):
            with self.subTest(new=new):
                line = GOOD.replace(old, new)
                self.assertEqual(
                    decode(MasimoDecoder({}), line), [["damage", "format", len(line) - 2]]
                )

    def test_documented_variants_are_read(self):
        for old, new in (
            (b"SN=0000123456", b"SN=----------"),
            (b"PI=02.35%", b"PI=02.35"),
            (b"ALARM=0000", b"ALARM=000000"),
            (b"EXC=000800", b"EXC=0000800"),
            (b"EXC=000800", b"EXC=000800 EXC1=0000000F"),
            (b"DESAT", b"RESVD=--- DESAT"),
        ):
            with self.subTest(new=new):
                self.assertEqual(spo2(decode(MasimoDecoder({}), GOOD.replace(old, new))), ["97"])

    def test_status_bits_take_values_back_or_doubt_them(self):
        for bits, state in (
            (b"000001", "no value"),
            (b"000002", "no value"),
            (b"000004", "questionable"),
            (b"000008", "no value"),
            (b"000010", "questionable"),
            (b"000020", "no value"),
            (b"000040", "no value"),
            (b"000080", "no value"),
            (b"000400", "questionable"),
            (b"000424", "no value"),
            (b"000800", "valid"),
        ):
            events = decode(MasimoDecoder({}), GOOD.replace(b"EXC=000800", b"EXC=" + bits))
            for _, text, found in events[0][3]:
                self.assertEqual(found, state)
                self.assertEqual(text is None, state == "no value")

    def test_zeros_for_dashes_are_no_value(self):
        line = GOOD.replace(b"SPO2=097%", b"SPO2=000%").replace(b"BPM=068", b"BPM=000")
        values = decode(MasimoDecoder({}), line)[0][3]
        self.assertEqual(values[0], ["SpO2", None, "no value"])
        self.assertEqual(values[1], ["PR", None, "no value"])
        self.assertEqual(values[3], ["DESAT", "0", "valid"])

    def test_alarms_are_told_when_they_change(self):
        decoder = MasimoDecoder({})
        events = []
        for bits in (b"0000", b"0012", b"0012", b"0019", b"0000"):
            events += decode(decoder, GOOD.replace(b"ALARM=0000", b"ALARM=" + bits))
        self.assertEqual(
            [event for event in events if event[0] == "alarm"],
            [
                ["alarm", 0, 0, 1, 3, True, "SPO2 LOW"],
                ["alarm", 0, 0, 0, 2, True, "SPO2 HIGH"],
                ["alarm", 0, 0, 1, 3, False, "SPO2 LOW"],
                ["alarm", 0, 0, 3, 2, True, "BPM LOW"],
                ["alarm", 0, 0, 0, 2, False, "SPO2 HIGH"],
                ["alarm", 0, 0, 3, 2, False, "BPM LOW"],
            ],
        )

    def test_haemoglobin_has_the_unit_of_the_configuration(self):
        line = GOOD.replace(b"DESAT", b"SPHB=12.3 DESAT")
        self.assertEqual(decode(MasimoDecoder({}), line)[0][3][3], ["SpHb", "12.3", "valid"])
        decoder = MasimoDecoder({"sphb_mmol": True})
        self.assertEqual(decode(decoder, line)[0][3][3], ["SpHb mmol", "12.3", "valid"])

    def test_wrong_options_are_refused(self):
        for options in ({"poll_ms": 5}, {"sphb_mmol": 1}):
            with self.assertRaises(ConfigError):
                MasimoDecoder(options)

    def test_garbage_never_raises_and_the_second_good_line_is_read(self):
        noise = Noise(11)
        decoder = MasimoDecoder({})
        for _ in range(50):
            data = noise.bytes(4000)
            events = decode(decoder, data)
            self.assertEqual(readings(events), [])
            events = decode(decoder, GOOD + GOOD)
            self.assertTrue("97" in spo2(events))

    def test_nothing_is_ever_sent(self):
        decoder = MasimoDecoder({})
        for now_ms in range(0, 20000, 20):
            self.assertIsNone(decoder.next_request(now_ms))

    def test_warm_line_allocates_nothing(self):
        decoder = MasimoDecoder({})
        line = capture(CAPTURES[1])[0]
        decode(decoder, line)
        decoder.rx.feed(line)
        micropython.heap_lock()
        try:
            event = decoder.next_event()
            nothing = decoder.next_event()
        finally:
            micropython.heap_unlock()
        self.assertEqual(event.count, 8)
        self.assertIsNone(nothing)
        self.assertEqual(drain(decoder), [])


if __name__ == "__main__":
    unittest.main()
