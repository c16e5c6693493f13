"""Nonin formats: exact readings and waves, and no value from a packet that is not whole."""

import unittest

import micropython

from bridge.core.errors import ConfigError
from bridge.core.protocols.nonin import NoninDecoder
from tests.support.decoding import Noise, capture, damage, decode, drain, readings

FORMATS = (1, 2, 7, 8, 13)
PACKET_SIZE = 125


def decoder_of(data_format):
    return NoninDecoder({"format": data_format})


def bytes_of(data_format):
    return capture("nonin/format_%d" % data_format)[0]


def observations(events):
    return [event for event in events if event[0] == "observation"]


def alarms(events):
    return [event[1:] for event in events if event[0] == "alarm"]


def resealed(data, at, byte):
    """Return a packet of format 2 in which one byte, and its frame's sum, is another."""
    changed = bytearray(data)
    changed[at] = byte
    start = at - at % 5
    changed[start + 4] = sum(changed[start : start + 4]) & 0xFF
    return bytes(changed)


def spot(data, at, byte):
    """Return the first message of format 13 with another byte and a right sum."""
    changed = bytearray(data[:22])
    changed[at] = byte
    changed[20] = sum(changed[6:20]) & 0xFF
    return bytes(changed)


class TestNonin(unittest.TestCase):
    def test_captures_give_their_events(self):
        for data_format in FORMATS:
            with self.subTest(data_format=data_format):
                data, _, expected = capture("nonin/format_%d" % data_format)
                self.assertEqual(decode(decoder_of(data_format), data), expected)

    def test_events_are_the_same_however_the_bytes_are_cut(self):
        for data_format in FORMATS:
            good = bytes_of(data_format)
            data = good + b"\x01\x83\x00\x02\x00\x0d\x81" + good[1:] + good[:-1] + good + good
            whole = decode(decoder_of(data_format), data)
            self.assertTrue(len(observations(whole)) >= 3)
            for size in range(1, 140):
                events = decode(decoder_of(data_format), data, size)
                self.assertEqual(readings(events), readings(whole))
                self.assertEqual(damage(events), damage(whole))

    def test_every_byte_is_in_a_good_frame_or_in_the_damage(self):
        data = bytes(range(2, 102)) * 5 + bytes_of(2) + bytes_of(2)[5:] + bytes_of(2)
        events = decode(decoder_of(2), data)
        self.assertEqual(len(observations(events)), 2)
        self.assertEqual(sum(damage(events).values()), 500 + PACKET_SIZE - 5)

    def test_a_packet_with_one_changed_byte_gives_nothing(self):
        for data_format in (2, 7):
            data = bytes_of(data_format)
            for at in range(PACKET_SIZE):
                for bit in range(8):
                    changed = bytearray(data)
                    changed[at] ^= 1 << bit
                    events = decode(decoder_of(data_format), bytes(changed) + data)
                    self.assertEqual(len(observations(events)), 1)
                    self.assertEqual(sum(damage(events).values()), PACKET_SIZE)

    def test_a_packet_with_a_lost_or_a_foreign_byte_gives_nothing(self):
        data = bytes_of(2)
        for at in range(1, PACKET_SIZE):
            for torn in (data[:at] + data[at + 1 :], data[:at] + b"\x7e" + data[at:]):
                events = decode(decoder_of(2), torn + data)
                self.assertEqual(len(observations(events)), 1)
                self.assertEqual(sum(damage(events).values()), len(torn))

    def test_a_packet_without_one_of_its_frames_gives_nothing(self):
        data = bytes_of(2)
        for frame in range(25):
            torn = data[: 5 * frame] + data[5 * frame + 5 :]
            events = decode(decoder_of(2), torn + data)
            self.assertEqual(len(observations(events)), 1)
            self.assertEqual(sum(damage(events).values()), len(torn))

    def test_pulse_has_seven_bits_in_its_second_byte(self):
        data = resealed(resealed(bytes_of(2), 3, 2), 8, 0x41)
        self.assertEqual(decode(decoder_of(2), data)[0][3][4], ["PR", "321", "valid"])

    def test_device_codes_for_no_data_are_no_value(self):
        data = bytes_of(2)
        data = resealed(resealed(resealed(data, 3, 3), 8, 0x7F), 13, 0x7F)
        values = decode(decoder_of(2), data)[0][3]
        self.assertEqual(values[0], ["SpO2", None, "no value"])
        self.assertEqual(values[4], ["PR", None, "no value"])
        self.assertEqual(values[5], ["PR ext", "136", "valid"])

    def test_sensor_bits_take_the_values_back_although_they_are_held(self):
        for bits in (0x08, 0x40):
            events = decode(decoder_of(2), resealed(bytes_of(2), 51, 0x82 | bits))
            self.assertEqual({value[2] for value in events[0][3]}, {"no value"})
            self.assertEqual({value[1] for value in events[0][3]}, {None})
            samples = events[1][5]
            self.assertEqual([at for at in range(25) if samples[at] is None], [10])
            self.assertEqual(alarms(events), [[0, 0, 0, 1, True, "SENSOR"]])

    def test_doubt_of_the_device_is_told(self):
        for bits, state in (
            (0x20, "questionable"),
            (0x10, "questionable"),
            (0x04, "questionable"),
            (0x06, "valid"),
            (0x02, "valid"),
        ):
            values = decode(decoder_of(2), resealed(bytes_of(2), 51, 0x80 | bits))[0][3]
            self.assertEqual({value[2] for value in values}, {state})

    def test_alarms_are_told_when_they_change(self):
        decoder = decoder_of(2)
        good = bytes_of(2)
        low = resealed(good, 38, 0x21)
        found = [alarms(decode(decoder, data)) for data in (good, low, low, good)]
        self.assertEqual(
            found,
            [[], [[0, 0, 1, 1, True, "LOW BATTERY"]], [], [[0, 0, 1, 1, False, "LOW BATTERY"]]],
        )

    def test_short_frames_out_of_shape_give_no_value(self):
        for data, lost in (
            (b"\x81\x17\x65\x20", {"format": 1, "noise": 3}),  # 101 %
            (b"\x82\x42\x60\x20", {"format": 1, "noise": 3}),  # 322 /min
            (b"\x80\x11\x60\x20", {"format": 1, "noise": 3}),  # 17 /min
            (b"\x81\x17\x00\x20", {"format": 1, "noise": 3}),
            (b"\x81\x17\xe0\x20", {"length": 2, "noise": 1}),
        ):
            events = decode(decoder_of(8), data + b"\x81\x17\x60\x20")
            self.assertEqual(len(observations(events)), 1)
            if data[2] == 0xE0:  # a new start, cut short
                lost = {"length": 4}
            self.assertEqual(damage(events), lost)

    def test_short_frames_tell_the_doubt_of_the_device(self):
        for first, last, state in (
            (0xA1, 0x20, "questionable"),
            (0x91, 0x20, "questionable"),
            (0x85, 0x20, "questionable"),
            (0x89, 0x20, "valid"),
            (0x81, 0x08, "no value"),
        ):
            values = decode(decoder_of(8), bytes((first, 0x17, 0x60, last)))[0][3]
            self.assertEqual([value[2] for value in values], [state, state])

    def test_spot_checks_out_of_shape_give_no_value(self):
        good = bytes_of(13)[:22]
        for data, kind in (
            (good[:20] + b"\x86\x03", "check"),
            (good[:21] + b"\x04", "format"),
            (spot(good, 8, 0x13), "format"),  # month 13
            (spot(good, 8, 0x0A), "format"),
            (good[:5] + b"\x41" + good[6:], "length"),
            (good[:5] + b"\x0d" + good[6:], "length"),
        ):
            events = decode(decoder_of(13), data + good)
            self.assertEqual(len(observations(events)), 1)
            self.assertEqual(damage(events), {kind: 1, "noise": 21})

    def test_a_longer_spot_check_is_read_too(self):
        data = bytes_of(13)[6:20] + b"\x00\x05"
        data = b"\x00\x02\x00\x0d\x00\x10" + data + bytes((sum(data) & 0xFF, 3))
        self.assertEqual(decode(decoder_of(13), data)[0][3][0], ["SpO2", "97", "valid"])

    def test_a_spot_check_without_its_quality_is_doubted(self):
        values = decode(decoder_of(13), spot(bytes_of(13), 14, 0))[0][3]
        self.assertEqual([value[2] for value in values], ["questionable", "questionable"])

    def test_wrong_options_are_refused(self):
        for options in ({"format": 3}, {"format": "2"}, {"format": True}, {"formats": 2}):
            with self.assertRaises(ConfigError):
                NoninDecoder(options)

    def test_garbage_never_raises_and_the_second_good_message_is_read(self):
        noise = Noise(13)
        for data_format in FORMATS:
            good = bytes_of(data_format)
            first = observations(decode(decoder_of(data_format), good))[0]
            decoder = decoder_of(data_format)
            for _ in range(20):
                decode(decoder, noise.bytes(1500))
                found = observations(decode(decoder, good + good))
                self.assertTrue(first in found)

    def test_nothing_is_ever_sent(self):
        decoder = decoder_of(2)
        for now_ms in range(0, 20000, 20):
            self.assertIsNone(decoder.next_request(now_ms))

    def test_warm_message_allocates_nothing(self):
        for data_format in FORMATS:
            decoder = decoder_of(data_format)
            data = bytes_of(data_format)
            decode(decoder, data)
            decoder.rx.feed(data)
            found = 0
            micropython.heap_lock()
            try:
                while decoder.next_event() is not None:
                    found += 1
            finally:
                micropython.heap_unlock()
            self.assertTrue(found >= 2)
            self.assertEqual(drain(decoder), [])


if __name__ == "__main__":
    unittest.main()
