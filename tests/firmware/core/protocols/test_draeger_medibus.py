"""MEDIBUS: exact readings, a session that devices accept, and nothing but reads."""

import unittest

import micropython

from bridge.core.checks import sum8
from bridge.core.codes import PARAMETERS
from bridge.core.errors import ConfigError
from bridge.core.protocols.draeger_medibus import COMMANDS, IDENTITY_ANSWER, MedibusDecoder
from tests.support.decoding import (
    Noise,
    capture,
    damage,
    decode,
    drain,
    plain,
    readings,
)

CAPTURES = ("draeger_medibus/evita4", "draeger_medibus/realtime_inside")

# Names of the device's codes that a slip in the tables would confuse
MEASURED_LABELS = (
    (0x05, "Paw"),
    (0x06, "Cdyn"),
    (0x07, "Cdyn"),
    (0x08, "Raw"),
    (0x0B, "Raw"),
    (0x6B, "Pamb"),
    (0x71, "Pmin"),
    (0x73, "Pmean"),
    (0x74, "Pplat"),
    (0x78, "PEEP"),
    (0x79, "PEEPi"),
    (0x7A, "MVspon"),
    (0x7B, "RRmand"),
    (0x7D, "PIP"),
    (0x82, "VT"),
    (0x88, "VT"),
    (0xAC, "MACi"),
    (0xB0, "FiSev"),
    (0xB5, "RRspon"),
    (0xB7, "MVspon"),
    (0xB8, "MV"),
    (0xB9, "MV"),
    (0xC1, "Taw"),
    (0xD5, "RRco2"),
    (0xD6, "RR"),
    (0xE1, "PR"),
    (0xE3, "EtCO2 kPa"),
    (0xE6, "EtCO2"),
    (0xEB, "SpO2"),
    (0xEF, "EtO2"),
    (0xF0, "FiO2"),
    (0xF8, "FiIso"),
    (0xFF, "FiCO2 kPa"),
)
MEASURED_CODES = bytes.fromhex(
    "0506070809 0B2A 50515253545556575859 5A5B5C5D 64 69 6B 6F 71727374 76 7879 7A7B 7D7E7F"
    "8182838485 88898A8B AC AD AE AF B0B1B2B3B4B5B6B7B8B9 BD C1 C4 C6 C9 D5D6D7D9 DADB DDDEDF"
    "E1E2E3 E5E6E7E8E9EAEB EDEEEF F0 F4F5F6F7F8F9 FBFC FF"
)
SETTINGS_CODES = bytes.fromhex(
    "0102 0405 0708090A0B0C0D0E0F 101112131516 17 27 29 2E2F 40 42 45 4A4B"
)


def frame(start, body):
    data = bytes((start,)) + body
    return data + b"%02X\r" % sum8(data, 0, len(data))


def response(body):
    return frame(0x01, body)


def command(body):
    return frame(0x1B, body)


def value_of(row, body=b"$"):
    """Return the value list of the only row of a response."""
    return decode(MedibusDecoder({}), response(body + row))[0][3][0]


class Device:
    """A small ventilator: answers reads after 40 ms, and says what the script tells it to."""

    def __init__(self, options, data):
        self.decoder = MedibusDecoder(options)
        self.data = data  # {code: data of its response, None for no answer at all}
        self.now_ms = 0
        self.sent = []  # (ms, bytes)
        self.events = []
        self._arriving = []

    def say(self, data):
        self._arriving.append((self.now_ms, data))

    def run(self, duration_ms):
        end_ms = self.now_ms + duration_ms
        while self.now_ms < end_ms:
            for due_ms, data in [entry for entry in self._arriving if entry[0] <= self.now_ms]:
                self._arriving.remove((due_ms, data))
                self.events += decode(self.decoder, data)
            self.events += drain(self.decoder)
            request = self.decoder.next_request(self.now_ms)
            if request is not None:
                request = bytes(request)
                self.sent.append((self.now_ms, request))
                data = self.data.get(request[1], b"")
                if request[0] == 0x1B and data is not None:
                    answer = response(request[1:2] + data)
                    self._arriving.append((self.now_ms + 40, answer))
            self.now_ms += 20

    def asked(self, code):
        """Return the times of our commands with this code."""
        return [ms for ms, data in self.sent if data[0] == 0x1B and data[1] == code]


class TestFrames(unittest.TestCase):
    def test_captures_give_their_events(self):
        for name in CAPTURES:
            with self.subTest(name=name):
                data, _, expected = capture(name)
                self.assertEqual(decode(MedibusDecoder({}), data), expected)

    def test_events_are_the_same_however_the_bytes_are_cut(self):
        data = (
            b"junk"
            + capture(CAPTURES[0])[0]
            + b"\x01$7D 24 00\r"  # wrong check
            + b"\x01$7D "  # torn
            + capture(CAPTURES[1])[0]
            + response(b"$ZZ 24 ")
            + b"\x01"
            + b"x" * 4000
            + b"\r\x1b\x1b"
            + capture(CAPTURES[0])[0]
        )
        whole = decode(MedibusDecoder({}), data)
        self.assertEqual(len(readings(whole)), 11)
        self.assertEqual(damage(whole), {"noise": 161, "check": 11, "format": 13, "length": 3845})
        for size in range(1, 40):
            events = decode(MedibusDecoder({}), data, size)
            self.assertEqual(readings(events), readings(whole))
            self.assertEqual(damage(events), damage(whole))

    def test_realtime_bytes_may_stand_anywhere(self):
        data, _, expected = capture(CAPTURES[0])
        for at in range(len(data)):
            torn = data[:at] + b"\xd1\x80\x90" + data[at:]
            self.assertEqual(decode(MedibusDecoder({}), torn), expected)

    def test_any_flipped_bit_gives_no_false_value(self):
        data, _, expected = capture(CAPTURES[1])
        good = response(b"$7D 24 78  5 ")
        self.assertEqual(len(decode(MedibusDecoder({}), good)), 1)
        for at in range(len(good)):
            for bit in range(8):
                spoilt = bytearray(good)
                spoilt[at] ^= 1 << bit
                # A bit in the response's code makes it another command's: its check is wrong too.
                self.assertEqual(readings(decode(MedibusDecoder({}), bytes(spoilt))), [])
                # The next good frame is read whatever came before it.
                found = decode(MedibusDecoder({}), bytes(spoilt) + data)
                self.assertEqual(readings(found), expected)

    def test_garbage_never_raises_and_gives_no_value(self):
        noise = Noise(17)
        decoder = MedibusDecoder({})
        good = response(b"$7D 24 78  5 ")
        for round in range(50):
            decoder.next_request(300 * round)
            self.assertEqual(readings(decode(decoder, noise.bytes(4000))), [])
            self.assertEqual(len(readings(decode(decoder, good + good))), 2)

    def test_printable_garbage_never_raises_and_gives_no_value(self):
        # What passes the framing more often: only the bytes that frames are made of.
        noise = Noise(23)
        alphabet = b"\x01\x1b\r$').R0123456789ABCDEF ."
        decoder = MedibusDecoder({})
        total = 0
        for _ in range(50):
            data = bytes([alphabet[noise.number(len(alphabet))] for _ in range(4000)])
            found = readings(decode(decoder, data))
            total += len([event for event in found if event[0] == "observation" and event[3]])
        self.assertEqual(total, 0)

    def test_warm_frame_allocates_nothing(self):
        decoder = MedibusDecoder({})
        data = capture(CAPTURES[1])[0] + response(b"'N10PAW HIGH    ")
        decode(decoder, data)
        decoder.rx.feed(data)
        micropython.heap_lock()
        try:
            event = decoder.next_event()
            nothing = decoder.next_event()
            decoder.next_request(100)
            decoder.next_request(5000)
        finally:
            micropython.heap_unlock()
        self.assertEqual(len(plain(event)[3]), 6)
        self.assertIsNone(nothing)


class TestValues(unittest.TestCase):
    def test_every_documented_code_has_a_parameter(self):
        for body, codes, width in ((b"$", MEASURED_CODES, 4), (b")", SETTINGS_CODES, 5)):
            known = {row[0]: row for row in PARAMETERS}
            self.assertEqual(len(known), len(PARAMETERS))
            seen = set()
            for code in codes:
                row = b"%02X" % code + b"  1 " + b" " * (width - 4)
                events = decode(MedibusDecoder({}), response(body + row))
                self.assertEqual(len(events), 1, code)
                seen.add(events[0][3][0][0])
            # Five pairs of measured codes and one of settings share their parameter.
            self.assertEqual(len(seen), len(codes) - (5 if body == b"$" else 1))

    def test_codes_have_the_names_of_the_manual(self):
        for code, label in MEASURED_LABELS:
            self.assertEqual(value_of(b"%02X  1 " % code)[0], label)

    def test_values_keep_the_digits_of_the_device(self):
        for text, expected in (
            (b" 24 ", ["24", "valid"]),
            (b"7.40", ["7.40", "valid"]),
            (b" 5.0", ["5.0", "valid"]),
            (b"-2  ", ["-2", "valid"]),
            (b"-2.5", ["-2.5", "valid"]),
            (b"  0 ", ["0", "valid"]),
            (b"    ", [None, "no value"]),
            (b"----", [None, "no value"]),
            (b" -- ", [None, "no value"]),
            (b"--.-", [None, "no value"]),
        ):
            self.assertEqual(value_of(b"7D" + text)[1:], expected)

    def test_litres_become_millilitres_exactly(self):
        for text, expected in (
            (b"82" + b"0.48", "480"),
            (b"82" + b"1.20", "1200"),
            (b"82" + b".005", "5"),
            (b"82" + b" 12 ", "12000"),
            (b"88" + b" 480", "480"),
            (b"64" + b" 25 ", "250"),
            (b"64" + b"2.5 ", "25"),
        ):
            self.assertEqual(value_of(text)[1:], [expected, "valid"])
        self.assertEqual(value_of(b"040.480", b")"), ["VT set", "480", "valid"])
        self.assertEqual(value_of(b"041.4805"[:7], b")"), ["VT set", "1480", "valid"])

    def test_rows_without_a_number_are_no_value_and_damage(self):
        for text in (b"***.", b"1.2.", b"1-2 ", b"1 2 ", b"  . ", b"ON  "):
            events = decode(MedibusDecoder({}), response(b"$7D" + text + b"78  5 "))
            self.assertEqual(
                events[0][3], [["PIP", None, "no value"], ["PEEP", "5", "valid"]], text
            )
            self.assertEqual(events[1:], [["damage", "format", 6]])

    def test_unknown_code_is_not_lost_silently(self):
        events = decode(MedibusDecoder({}), response(b"$01  1 78  5 "))
        self.assertEqual(events[0][3], [["PEEP", "5", "valid"]])
        self.assertEqual(events[1:], [["damage", "format", 6]])

    def test_both_codes_of_a_pair_do_not_overwrite_each_other(self):
        events = decode(MedibusDecoder({}), response(b"$88 480820.99"))
        self.assertEqual(events[0][3], [["VT", "480", "valid"]])
        self.assertEqual(events[1:], [["damage", "format", 6]])
        events = decode(MedibusDecoder({}), response(b"$88    821.20"))
        self.assertEqual(events, [["observation", 0, 0x24, [["VT", "1200", "valid"]]]])

    def test_empty_answer_says_that_nothing_is_measured(self):
        events = decode(MedibusDecoder({}), response(b"$"))
        self.assertEqual(events, [["observation", 0, 0x24, []]])

    def test_answers_of_a_wrong_size_give_no_value(self):
        for body in (b"$7D 24", b"$7D 24 7", b")0B  5.", b"'N10PAW HIGH", b"'010PAW HIGH    "):
            events = decode(MedibusDecoder({}), response(body))
            self.assertEqual(events, [["damage", "format", len(body) - 1]])


class TestAlarms(unittest.TestCase):
    def test_alarms_appear_change_and_go(self):
        decoder = MedibusDecoder({})
        paw = b"N10PAW HIGH    "
        apnoea = b"K0EAPNEA       "
        found = []
        for body in (
            b"'" + paw,
            b"'" + paw + apnoea,
            b"'" + apnoea + paw,
            b"." + paw,  # the same code of page 2 is another alarm
            b"'=10PAW HIGH    ",  # less urgent, and the other one has gone
            b"'",
            b".",
        ):
            found.append(decode(decoder, response(body)))
        self.assertEqual(
            found,
            [
                [["alarm", 0, 1, 0x10, 3, True, "PAW HIGH"]],
                [["alarm", 0, 1, 0x0E, 3, True, "APNEA"]],
                [],
                [["alarm", 0, 2, 0x10, 3, True, "PAW HIGH"]],
                [
                    ["alarm", 0, 1, 0x10, 2, True, "PAW HIGH"],
                    ["alarm", 0, 1, 0x0E, 3, False, "APNEA"],
                ],
                [["alarm", 0, 1, 0x10, 2, False, "PAW HIGH"]],
                [["alarm", 0, 2, 0x10, 3, False, "PAW HIGH"]],
            ],
        )

    def test_urgency_becomes_a_priority(self):
        wanted = [0] * 6 + [1] * 4 + [2] * 14 + [3] * 7
        for urgency in range(1, 32):
            row = bytes((0x30 + urgency,)) + b"10PAW HIGH    "
            event = decode(MedibusDecoder({}), response(b"'" + row))[0]
            self.assertEqual(event[4], wanted[urgency - 1])

    def test_more_alarms_than_there_is_room_for_are_damage(self):
        rows = b"".join([b"N%02XALARM       " % code for code in range(40)])
        decoder = MedibusDecoder({})
        events = decode(decoder, response(b"'" + rows))
        self.assertEqual(len(readings(events)), 32)
        self.assertEqual(damage(events), {"length": 8 * 15})
        self.assertEqual(len(readings(decode(decoder, response(b"'")))), 32)


class TestSession(unittest.TestCase):
    def test_session_begins_with_icc_and_polls_follow(self):
        device = Device({}, {0x52: b"8240'Evita 4'04.12:04.00", 0x24: b"7D 24 "})
        device.run(30000)
        codes = [data[1] for _, data in device.sent]
        self.assertEqual(codes[:2], [0x51, 0x52])
        self.assertEqual(device.events[0], ["identity", 0, "8240'Evita 4'04.12:04.00"])
        for code, low, high in ((0x24, 28, 31), (0x27, 14, 16), (0x2E, 14, 16), (0x29, 3, 4)):
            self.assertTrue(low <= len(device.asked(code)) <= high, code)
        self.assertEqual(len(device.asked(0x51)), 1)
        self.assertEqual(damage(device.events), {})

    def test_readings_keep_their_pace(self):
        device = Device({"poll_ms": 500}, {})
        device.run(20000)
        times = device.asked(0x24)
        for index in range(1, len(times)):
            self.assertLessEqual(abs(times[index] - times[0] - 500 * index), 260)

    def test_icc_of_the_device_is_answered_and_begins_the_session(self):
        device = Device({}, {0x51: None})
        device.say(command(b"Q"))
        device.run(1000)
        self.assertEqual(device.sent[0][1], response(b"Q"))
        self.assertEqual(device.sent[1][1], COMMANDS[0x52])

    def test_every_command_of_the_device_is_answered(self):
        device = Device({}, {})
        device.run(500)
        for code in range(0x20, 0x80):
            device.say(command(bytes((code,)) + (b"ARGUMENT" if code & 1 else b"")))
            before = len(device.sent)
            device.run(60)
            answers = [data for _, data in device.sent[before:] if data[0] == 0x01]
            expected = IDENTITY_ANSWER if code == 0x52 else response(bytes((code,)))
            self.assertEqual(answers, [expected])

    def test_commands_inside_a_response_are_answered(self):
        data, _, expected = capture(CAPTURES[1])
        decoder = MedibusDecoder({})
        self.assertEqual(decode(decoder, data), expected)
        self.assertEqual(bytes(decoder.next_request(0)), response(b"0"))

    def test_many_commands_at_once_are_bounded(self):
        decoder = MedibusDecoder({})
        events = decode(decoder, b"".join([command(bytes((code,))) for code in range(0x60, 0x68)]))
        self.assertEqual(damage(events), {"length": 4 * 5})
        answers = [bytes(decoder.next_request(0)) for _ in range(4)]
        self.assertEqual([answer[1] for answer in answers], [0x60, 0x61, 0x62, 0x63])

    def test_absent_device_is_called_every_three_seconds(self):
        device = Device({}, {0x51: None})
        device.run(10000)
        self.assertEqual([ms for ms, _ in device.sent], [0, 3000, 6000, 9000])

    def test_answer_that_does_not_come_ends_the_session(self):
        device = Device({}, {0x24: None})
        device.run(600)
        asked_ms = device.asked(0x24)[0]
        device.run(12000)
        self.assertEqual(damage(device.events), {"timeout": 1})
        self.assertTrue(9980 <= device.asked(0x51)[1] - asked_ms <= 10040)

    def test_one_command_is_open_at_a_time(self):
        device = Device({}, {0x24: None})
        device.run(9000)
        asked_ms = device.asked(0x24)[0]
        self.assertEqual([data for ms, data in device.sent if ms > asked_ms], [])

    def test_spoilt_answer_is_asked_again_soon(self):
        for data in (b"\x01$7D 24 00\r", b"$7D 24 9F\r", b"\x01$7D 2"):
            device = Device({}, {0x24: None})
            device.run(600)
            before = len(device.asked(0x24))
            device.say(data)
            device.run(2500)
            self.assertGreater(len(device.asked(0x24)), before)
            self.assertEqual(len(device.asked(0x51)), 1)

    def test_refusal_is_counted_and_the_session_goes_on(self):
        device = Device({}, {0x29: None})
        device.run(700)
        self.assertEqual(len(device.asked(0x29)), 1)
        device.say(response(b"\x15"))
        device.run(3000)
        self.assertEqual(damage(device.events), {"refused": 1})
        self.assertGreater(len(device.asked(0x24)), 2)

    def test_idle_session_is_kept_alive(self):
        device = Device({"poll_ms": 60000}, {})
        device.run(60000)
        times = [ms for ms, _ in device.sent]
        gaps = [times[index + 1] - times[index] for index in range(len(times) - 1)]
        self.assertLessEqual(max(gaps), 2100)

    def test_suspended_line_stays_quiet_for_three_seconds_at_most(self):
        device = Device({}, {})
        device.run(2000)
        device.say(b"\x11")
        device.run(20)
        before = len(device.sent)
        device.run(1000)
        self.assertEqual(len(device.sent), before)
        device.say(b"\x13")
        device.run(100)
        self.assertGreater(len(device.sent), before)
        device.say(b"\x11")
        device.run(5000)
        self.assertLess(device.now_ms - device.sent[-1][0], 1500)

    def test_goodbye_stops_everything(self):
        decoder = MedibusDecoder({})
        decode(decoder, command(b"Q"))
        self.assertEqual(bytes(decoder.goodbye()), command(b"U"))
        decode(decoder, response(b"U") + command(b"Q"))
        for now_ms in range(0, 10000, 20):
            self.assertIsNone(decoder.next_request(now_ms))

    def test_wrong_options_are_refused(self):
        for options in ({"poll_ms": 0}, {"poll_ms": "1000"}, {"poll": 1000}, {"poll_ms": 99999}):
            with self.assertRaises(ConfigError):
                MedibusDecoder(options)


class TestReadOnly(unittest.TestCase):
    def test_commands_are_a_closed_table_of_reads_without_arguments(self):
        self.assertEqual(sorted(COMMANDS), [0x24, 0x27, 0x29, 0x2E, 0x30, 0x51, 0x52, 0x53])
        for code in COMMANDS:
            self.assertEqual(COMMANDS[code], command(bytes((code,))))
        self.assertEqual(IDENTITY_ANSWER, response(b"R0161'VITALKEEP'01.00:04.00"))

    def test_whatever_arrives_only_the_table_and_empty_answers_go_out(self):
        noise = Noise(31)
        decoder = MedibusDecoder({})
        closed = [IDENTITY_ANSWER]
        closed.extend(COMMANDS.values())
        sent = 0
        for now_ms in range(0, 120000, 20):
            kind = noise.number(4)
            body = bytes((noise.number(128),)) + noise.bytes(noise.number(12))
            if kind == 0:
                decode(decoder, noise.bytes(noise.number(30)))
            elif kind == 1:
                decode(decoder, frame(0x1B, bytes([byte & 0x7F for byte in body])))
            elif kind == 2:
                decode(decoder, frame(0x01, bytes([byte & 0x7F for byte in body])))
            request = decoder.next_request(now_ms)
            if request is not None:
                sent += 1
                request = bytes(request)
                self.assertTrue(request in closed or request == response(request[1:2]), request)
        self.assertGreater(sent, 500)


if __name__ == "__main__":
    unittest.main()
