"""Modbus RTU: polls in turn, answers by length and CRC, and nothing that writes."""

import unittest

from bridge.core.checks import crc16_modbus
from bridge.core.errors import ConfigError
from bridge.core.protocols import make_decoder
from bridge.core.protocols.modbus_rtu import READS
from tests.support.decoding import Random, capture, drain, feed, observations


def item(offset, parameter, kind="u16", **more):
    made = {"offset": offset, "type": kind, "parameter": parameter, "decimals": 1}
    made.update(more)
    return made


def options(*units):
    return {"units": list(units)}


PANEL = {
    "address": 17,
    "blocks": [
        {
            "function": 4,
            "start": 0,
            "count": 3,
            "items": [item(0, 96), item(1, 36), item(2, 34, invalid=[0x7FFF])],
        }
    ],
}
OTHER = {
    "address": 10,
    "blocks": [{"function": 3, "start": 100, "count": 2, "items": [item(0, 6, "i16")]}],
}


def framed(*body):
    data = bytes(body)
    crc = crc16_modbus(data, 0, len(data))
    return data + bytes((crc & 0xFF, crc >> 8))


def asked(*units):
    """Return a decoder that has just sent its first request."""
    made = make_decoder("modbus_rtu", options(*units))
    made.next_request(0)
    return made


class TestCaptures(unittest.TestCase):
    def test_captures_give_these_events_however_they_are_cut(self):
        for name in ("registers", "exception"):
            data, expected = capture("modbus_rtu/" + name)
            for size in range(1, len(data) + 1):
                self.assertEqual(feed(asked(PANEL), data, size), expected)

    def test_request_is_as_the_standard_draws_it(self):
        made = make_decoder("modbus_rtu", options(PANEL, OTHER))
        self.assertEqual(made.next_request(0), b"\x11\x04\x00\x00\x00\x03\xb2\x9b")
        data, _ = capture("modbus_rtu/registers")
        feed(made, data)
        self.assertIsNone(made.next_request(10))
        self.assertEqual(made.next_request(40), b"\x0a\x03\x00\x64\x00\x02\x84\xaf")

    def test_types_orders_and_floats(self):
        for kind, order, words, value, state in (
            ("i16", "ABCD", (0xFF, 0xFE), -2, 0),
            ("u32", "ABCD", (0, 1, 0, 2), 65538, 0),
            ("u32", "CDAB", (0, 2, 0, 1), 65538, 0),
            ("u32", "DCBA", (2, 0, 1, 0), 65538, 0),
            ("i32", "BADC", (0xFF, 0xFF, 0xFE, 0xFF), -2, 0),
            ("f32", "ABCD", (0x41, 0x48, 0, 0), 125, 0),  # 12.5
            ("f32", "ABCD", (0xC1, 0x48, 0, 0), -125, 0),
            ("f32", "ABCD", (0x7F, 0xC0, 0, 0), 0, 1),  # not a number
            ("f32", "ABCD", (0x7F, 0x80, 0, 0), 0, 1),  # infinite
        ):
            block = {"function": 3, "start": 0, "count": len(words) // 2}
            block["items"] = [item(0, 6, kind, order=order)]
            made = asked({"address": 1, "blocks": [block]})
            found = feed(made, framed(1, 3, len(words), *words))
            self.assertEqual(found, [["observation", 1, 0, [[6, value, 1, state]]]])


class TestBus(unittest.TestCase):
    def test_echo_of_the_request_is_dropped(self):
        data, expected = capture("modbus_rtu/registers")
        for size in (1, 3, 8, 19):
            made = make_decoder("modbus_rtu", options(PANEL))
            echo = bytes(made.next_request(0))
            self.assertEqual(feed(made, echo + data, size), expected)

    def test_silent_unit_does_not_starve_the_other(self):
        made = make_decoder("modbus_rtu", options(PANEL, OTHER))
        answered = timeouts = 0
        now_ms = 0
        while now_ms < 20000:
            request = made.next_request(now_ms)
            found = drain(made)
            if request is not None and request[0] == 10:
                found += feed(made, framed(10, 3, 4, 0, 1, 0, 2))
            answered += len(observations(found))
            timeouts += len([event for event in found if event[1] == "timeout"])
            now_ms += 20
        self.assertGreater(answered, 17)
        self.assertGreater(timeouts, 17)

    def test_answer_of_another_unit_or_length_is_damage(self):
        for data in (
            framed(18, 4, 6, 0, 1, 0, 2, 0, 3),
            framed(17, 3, 6, 0, 1, 0, 2, 0, 3),
            framed(17, 4, 4, 0, 1, 0, 2),
        ):
            found = feed(asked(PANEL), data)
            self.assertEqual(observations(found), [])
            self.assertIn("damage", [event[0] for event in found])

    def test_junk_before_the_answer_is_skipped(self):
        data, expected = capture("modbus_rtu/registers")
        for junk in (b"\x00", b"\xff", b"\x11", b"\x11\x04", b"\x11\x04\x06\x00", b"\x00" * 100):
            found = feed(asked(PANEL), junk + data)
            self.assertEqual(observations(found), expected)

    def test_any_flipped_bit_gives_no_value(self):
        data, _ = capture("modbus_rtu/registers")
        for index in range(len(data)):
            for bit in range(8):
                spoilt = bytearray(data)
                spoilt[index] ^= 1 << bit
                self.assertEqual(observations(feed(asked(PANEL), spoilt)), [])

    def test_garbage_never_raises_and_the_next_answer_is_read(self):
        data, expected = capture("modbus_rtu/registers")
        random = Random(11)
        made = make_decoder("modbus_rtu", options(PANEL))
        now_ms = 0
        for _ in range(200):
            feed(made, random.bytes(random.below(700)))
            now_ms += 5000
            made.next_request(now_ms)
            drain(made)
            now_ms += 5000
            while made.next_request(now_ms) is None:
                drain(made)
                now_ms += 30
            drain(made)
            self.assertEqual(observations(feed(made, data)), expected)


class TestReadOnly(unittest.TestCase):
    def test_no_request_writes(self):
        self.assertEqual(READS, (1, 2, 3, 4))
        made = make_decoder("modbus_rtu", options(PANEL, OTHER))
        for now_ms in range(0, 60000, 20):
            request = made.next_request(now_ms)
            if request is not None:
                self.assertIn(request[1], READS)
                self.assertEqual(len(request), 8)

    def test_configuration_cannot_make_it_write(self):
        for function in (5, 6, 15, 16, 22, 23, 0, 255, "4", None):
            block = {"function": function, "start": 0, "count": 1, "items": [item(0, 6)]}
            with self.assertRaises(ConfigError):
                make_decoder("modbus_rtu", options({"address": 1, "blocks": [block]}))

    def test_bad_configuration_is_refused(self):
        good = {"function": 4, "start": 0, "count": 1}
        for change in (
            {"count": 0},
            {"count": 126},
            {"start": 70000},
            {"items": []},
            {"items": [item(1, 6)]},
            {"items": [item(0, 6, "u32")]},
            {"items": [item(0, 6, "u64")]},
            {"items": [item(0, 0)]},
        ):
            block = {"items": [item(0, 6)]}
            block.update(good)
            block.update(change)
            with self.assertRaises(ConfigError):
                make_decoder("modbus_rtu", options({"address": 1, "blocks": [block]}))
        for units in ([], [{"address": 0, "blocks": []}], [{"address": 248, "blocks": []}]):
            with self.assertRaises(ConfigError):
                make_decoder("modbus_rtu", {"units": units})


if __name__ == "__main__":
    unittest.main()
