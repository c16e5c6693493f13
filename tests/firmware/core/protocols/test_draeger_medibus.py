"""MEDIBUS: captures, the session a device insists on, damage, and a closed table of commands."""

import unittest

from bridge.core.checks import sum8
from bridge.core.protocols import draeger_medibus, make_decoder
from tests.support.decoding import Random, capture, drain, feed, observations

READS = (0x24, 0x27, 0x29, 0x2E, 0x30, 0x51, 0x52)


def framed(start, body):
    data = bytes((start,)) + body
    return data + b"%02X\r" % sum8(data, 0, len(data))


def command(body):
    return framed(0x1B, body)


def answer(body):
    return framed(0x01, body)


def code_of(request):
    return request[1] if request is not None and request[0] == 0x1B else None


def opened(code):
    """Return a decoder in a session that has just asked `code`."""
    made = make_decoder("draeger_medibus", {})
    now_ms = 0
    while now_ms < 60000:
        asked = code_of(made.next_request(now_ms))
        if asked == code:
            return made
        if asked is not None:
            feed(made, answer(bytes((asked,))))
        now_ms += 20
    raise AssertionError("never asked 0x%02x" % code)


CAPTURES = (("measured", 0x24), ("settings", 0x29), ("alarm", 0x27), ("identity", 0x52))


class TestCaptures(unittest.TestCase):
    def test_captures_give_these_events_however_they_are_cut(self):
        for name, code in CAPTURES:
            data, expected = capture("draeger_medibus/" + name)
            for size in range(1, len(data) + 1):
                with self.subTest(name=name, size=size):
                    self.assertEqual(feed(opened(code), data, size), expected)

    def test_realtime_bytes_may_stand_between_any_two(self):
        data, expected = capture("draeger_medibus/measured")
        for at in range(len(data) + 1):
            mixed = data[:at] + b"\xd1\x80\x90" + data[at:]
            self.assertEqual(feed(opened(0x24), mixed, 5), expected)

    def test_command_inside_a_response_is_answered_and_the_response_read(self):
        data, expected = capture("draeger_medibus/measured")
        for at in range(1, len(data)):
            made = opened(0x24)
            self.assertEqual(feed(made, data[:at] + command(b"\x30") + data[at:]), expected)
            self.assertEqual(made.next_request(60000), answer(b"\x30"))

    def test_value_that_is_blank_or_dashes_is_no_value(self):
        found = feed(opened(0x24), answer(b"$7D    78 -- 88****F0 40 "))
        self.assertEqual(
            found[0][3], [[33, 0, 0, 1], [36, 0, 0, 1], [48, 0, 0, 1], [96, 40, 0, 0]]
        )

    def test_litres_and_tens_become_the_unit_of_the_table(self):
        found = feed(opened(0x24), answer(b"$821.25" + b"64 34 " + b"71 -2 "))
        self.assertEqual(found[0][3], [[48, 1250, 0, 0], [106, 340, 0, 0], [38, -2, 0, 0]])

    def test_alarm_that_is_gone_is_told(self):
        data, expected = capture("draeger_medibus/alarm")
        made = opened(0x27)
        self.assertEqual(feed(made, data), expected)
        now_ms = 60000
        while code_of(made.next_request(now_ms)) != 0x27:
            feed(made, answer(bytes((0x24,))) + answer(bytes((0x2E,))) + answer(bytes((0x29,))))
            now_ms += 500
        gone = list(expected[0])
        gone[4] = False
        self.assertEqual(feed(made, answer(b"\x27")), [gone])


class TestSession(unittest.TestCase):
    def test_it_begins_with_icc_and_repeats_it(self):
        made = make_decoder("draeger_medibus", {})
        sent = []
        for now_ms in range(0, 10000, 20):
            request = made.next_request(now_ms)
            if request is not None:
                sent.append((now_ms, bytes(request)))
        self.assertEqual([request for _, request in sent], [command(b"\x51")] * 4)
        self.assertEqual(drain(made), [])

    def test_icc_of_the_device_is_answered_and_begins_the_session(self):
        made = make_decoder("draeger_medibus", {})
        made.next_request(0)
        feed(made, command(b"\x51"))
        self.assertEqual(made.next_request(20), answer(b"\x51"))
        self.assertEqual(code_of(made.next_request(500)), 0x52)

    def test_every_command_of_the_device_is_answered(self):
        for code in range(0x20, 0x7F):
            made = opened(0x24)
            feed(made, command(bytes((code,))))
            reply = made.next_request(61000)
            self.assertEqual(reply[:2], bytes((0x01, code)))
            self.assertEqual(reply, answer(reply[1:-3]))

    def test_identification_waits_before_the_first_poll(self):
        made = opened(0x24)
        feed(made, answer(b"\x24") + command(b"\x52"))
        made.next_request(70000)
        self.assertIsNone(made.next_request(70020))

    def test_silence_is_filled_with_nop(self):
        made = make_decoder("draeger_medibus", {"poll_ms": 9000})
        last_ms, longest_ms = 0, 0
        for now_ms in range(0, 60000, 20):
            asked = code_of(made.next_request(now_ms))
            if asked is not None:
                longest_ms = max(longest_ms, now_ms - last_ms)
                last_ms = now_ms
                feed(made, answer(bytes((asked,))))
        self.assertLess(longest_ms, 2900)

    def test_answer_that_never_comes_is_a_timeout_and_a_new_session(self):
        made = make_decoder("draeger_medibus", {})
        made.next_request(0)
        feed(made, answer(b"\x51"))
        self.assertEqual(code_of(made.next_request(1000)), 0x52)
        self.assertIsNone(made.next_request(10900))
        self.assertEqual(drain(made), [])
        self.assertEqual(code_of(made.next_request(11100)), 0x51)
        self.assertEqual(drain(made), [["damage", "timeout", 1]])

    def test_refused_command_is_counted(self):
        self.assertEqual(feed(opened(0x24), answer(b"\x15")), [["damage", "refused", 1]])

    def test_measured_data_is_read_once_a_second(self):
        made = make_decoder("draeger_medibus", {})
        count = 0
        for now_ms in range(0, 60000, 20):
            asked = code_of(made.next_request(now_ms))
            if asked is not None:
                count += asked == 0x24
                feed(made, answer(bytes((asked,))))
        self.assertGreater(count, 57)
        self.assertLess(count, 62)


class TestReadOnly(unittest.TestCase):
    def test_commands_are_a_closed_table_of_reads(self):
        self.assertEqual(sorted(draeger_medibus.COMMANDS), sorted(READS))
        for code, request in draeger_medibus.COMMANDS.items():
            self.assertEqual(request, command(bytes((code,))))

    def test_whatever_the_device_says_only_reads_and_echoes_go_out(self):
        made = make_decoder("draeger_medibus", {})
        random = Random(5)
        now_ms = 0
        for _ in range(3000):
            kind = random.below(3)
            if kind == 0:
                feed(made, random.bytes(random.below(40)))
            else:
                start = 0x1B if kind == 1 else 0x01
                feed(made, framed(start, bytes((random.below(128),)) + random.bytes(3)))
            now_ms += random.below(800)
            request = made.next_request(now_ms)
            if request is not None and request[0] == 0x1B:
                self.assertIn(request[1], READS)
                self.assertEqual(len(request), 5)


class TestDamage(unittest.TestCase):
    def test_any_flipped_bit_gives_no_false_value(self):
        data, _ = capture("draeger_medibus/measured")
        for index in range(len(data)):
            for bit in range(7):
                spoilt = bytearray(data)
                spoilt[index] ^= 1 << bit
                found = observations(feed(opened(0x24), spoilt + b"\r"))
                self.assertEqual(found, [])

    def test_two_good_frames_are_enough_after_garbage(self):
        data, expected = capture("draeger_medibus/measured")
        random = Random(9)
        for _ in range(100):
            made = opened(0x24)
            feed(made, random.bytes(random.below(900)))
            feed(made, answer(b"\x31"))
            self.assertEqual(observations(feed(made, data)), expected)

    def test_garbage_never_raises_and_never_fills_the_buffer(self):
        made = opened(0x24)
        random = Random(13)
        for _ in range(300):
            feed(made, random.bytes(random.below(800)))
            self.assertLess(made.rx.count, len(made.rx.data))
            made.next_request(70000)

    def test_rows_that_do_not_fit_are_refused_whole(self):
        found = feed(opened(0x24), answer(b"$7D 24 78  5"))
        self.assertEqual([event[:2] for event in found], [["damage", "format"]])


if __name__ == "__main__":
    unittest.main()
