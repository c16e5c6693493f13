"""Frames on the air: sealed, in order, and nothing else believed."""

import unittest

from bridge.core import radio_wire as wire
from bridge.core.errors import FormatError, TagError
from bridge.core.events import NO_VALUE, QUESTIONABLE, VALID
from tests.support.gateway import GATEWAY, LOG_ID, RECEIPT_KEY, UPLINK_KEY, cipher

KEY = wire.radio_key(UPLINK_KEY, LOG_ID)


def sealed(body=None, place=(3, 700), salt=9, counter=0):
    if body is None:
        made = wire.Body(0x1234, 200)
        made.add_alarm(1, 4, 2, 300, 3, True, "SpO2 low")
        made.add_value(0, 1, 1, 97, 0, VALID)
        made.add_value(0, 1, 6, -372, 1, QUESTIONABLE)
        made.add_value(0, 9, 0x8001, 0, 0, NO_VALUE)
        body = made.finish(1, 2)
    return wire.seal_frame(cipher, KEY, GATEWAY, place, salt, counter, body)


def opened(data, key=KEY, gateway=GATEWAY):
    return wire.open_frame(cipher, key, gateway, wire.parse_frame(data))


class TestFrame(unittest.TestCase):
    def test_what_went_in_comes_out(self):
        data = sealed()
        frame = wire.parse_frame(data)
        self.assertEqual(frame.short, wire.short_id(GATEWAY))
        self.assertEqual(frame.order, (3, 700, 0))
        content = opened(data)
        counts = (content.names, content.alarms_left, content.values_left)
        self.assertEqual(counts, (0x1234, 1, 2))
        alarm = content.alarms[0]
        found = (alarm.device, alarm.age_s, alarm.page, alarm.code, alarm.priority, alarm.active)
        self.assertEqual(found, (1, 4, 2, 300, 3, True))
        self.assertEqual(alarm.text, "SpO2 low")
        values = [
            (v.device, v.age_s, v.parameter, v.value, v.decimals, v.state) for v in content.values
        ]
        self.assertEqual(
            values,
            [
                (0, 1, 1, 97, 0, VALID),
                (0, 1, 6, -372, 1, QUESTIONABLE),
                (0, 9, 0x8001, None, 0, NO_VALUE),
            ],
        )

    def test_nothing_of_the_body_is_in_the_clear_and_no_two_frames_share_a_key(self):
        body = bytes(4) + b"\x80\x00" + b"\x00\x01\x02" * 20
        frames = [sealed(body), sealed(body, counter=1), sealed(body, salt=8)]
        frames.append(sealed(body, place=(3, 701)))
        streams = {bytes(data[wire.HEAD : -wire.TAG]) for data in frames}
        self.assertEqual(len(streams), 4)
        self.assertFalse(body in streams)

    def test_each_changed_bit_is_found(self):
        data = sealed()
        for bit in range(8 * len(data)):
            spoilt = bytearray(data)
            spoilt[bit >> 3] ^= 1 << (bit & 7)
            with self.assertRaises((TagError, FormatError)):
                opened(spoilt)

    def test_another_key_log_or_gateway_opens_nothing(self):
        data = sealed()
        other = wire.radio_key(UPLINK_KEY, b"otherlog")
        for key, gateway in ((other, GATEWAY), (KEY, b"stranger")):
            with self.assertRaises(TagError):
                opened(data, key, gateway)

    def test_lengths_are_checked(self):
        data = sealed()
        for size in (0, 1, wire.HEAD, wire.HEAD + wire.TAG):
            with self.assertRaises(FormatError):
                wire.parse_frame(data[:size])
        with self.assertRaises(FormatError):
            wire.parse_frame(bytes(data) + bytes(300))

    def test_text_is_cut_between_characters(self):
        body = wire.Body(0, 200)
        self.assertTrue(body.add_alarm(0, 0, 0, 0, 1, False, "x" * 31 + "ä" * 5))
        alarm = wire.parse_body(body.finish(0, 0)).alarms[0]
        self.assertEqual(alarm.text, "x" * 31)
        self.assertFalse(alarm.active)

    def test_a_full_body_refuses_whole_items(self):
        body = wire.Body(0, 30)
        added = 0
        while body.add_value(added % 2, added, 200 + added, 1 << 30, 2, VALID):
            added += 1
        data = body.finish(0, 300)
        self.assertTrue(len(data) <= 30)
        content = wire.parse_body(data)
        self.assertEqual(len(content.values), added)
        self.assertEqual(content.values_left, 255)

    def test_malformed_bodies_are_refused(self):
        head = bytes(4)
        for body in (
            b"",
            head + b"\x00\x01\x02",  # a value of no device
            head + b"\xa0\x00",  # no such kind
            head + b"\x80",
            head + b"\x80\x00\x2f\x01\x02",  # decimals 7
            head + b"\x80\x00\x28\x01\x02",  # state 5
            head + b"\x80\xff\xff\xff\xff\xff\xff\x00",
            head + b"\xc0\x83\x01\x02\x03\x04\x05ab",
            head + b"\xc0\x83\x01\x02\x03\x04\x02\xff\xff",
        ):
            with self.subTest(body=body), self.assertRaises(FormatError):
                wire.parse_body(body)


class TestAnswer(unittest.TestCase):
    def test_it_answers_one_frame_of_one_gateway(self):
        frame = wire.parse_frame(sealed())
        answer = wire.pack_answer(RECEIPT_KEY, GATEWAY, frame)
        self.assertEqual(len(answer), wire.ANSWER_SIZE)
        self.assertTrue(wire.is_answer(answer, GATEWAY))
        self.assertFalse(wire.is_answer(answer, b"stranger"))
        wire.check_answer(answer, [b"x" * 32, RECEIPT_KEY], GATEWAY, frame)
        later = wire.parse_frame(sealed(counter=1))
        for keys, of in (([b"x" * 32], frame), ([RECEIPT_KEY], later), ([], frame)):
            with self.assertRaises(TagError):
                wire.check_answer(answer, keys, GATEWAY, of)

    def test_a_frame_is_no_answer(self):
        self.assertFalse(wire.is_answer(sealed(), GATEWAY))
        self.assertFalse(wire.is_answer(b"", GATEWAY))


class TestHeard(unittest.TestCase):
    def test_how_it_was_heard_comes_along(self):
        payload = wire.pack_heard(-118.0, -7.25, b"frame")
        self.assertEqual(wire.parse_heard(payload), (-118, -7.25, b"frame"))
        for bad in (b"", b"\x01", b"\x02abcdef"):
            with self.assertRaises(FormatError):
                wire.parse_heard(bad)


if __name__ == "__main__":
    unittest.main()
