"""Capnostream frames: exact readings and waves, and a session that only asks for data."""

import unittest

import micropython

from bridge.core.errors import ConfigError
from bridge.core.protocols.capnostream import SENDS, CapnostreamDecoder
from tests.support.decoding import Noise, capture, damage, decode, drain, readings

CAPTURES = ("session", "no_data", "wave")
ENABLE, START, ALIVE = SENDS
IDENTITY = bytes.fromhex(
    "851F04563034 2E313020 30332F31342F32303131 20423331 32333435363738 2020 1B".replace(" ", "")
)
DATA = bytes.fromhex("6955B90026000E6148800000000000003C0F1E050864558C320100")


def framed(code, data):
    body = bytes((len(data) + 1, code)) + data
    check = 0
    for byte in body:
        check ^= byte
    body += bytes((check,))
    return b"\x85" + body.replace(b"\x80", b"\x80\x00").replace(b"\x85", b"\x80\x05")


def numerics(changes=()):
    data = bytearray(DATA)
    for at, byte in changes:
        data[at] = byte
    return framed(1, bytes(data))


def sample(number, whole, status=0):
    return framed(0, bytes((number, whole, 0, status)))


def observations(events):
    return [event for event in events if event[0] == "observation"]


def waves(events):
    return [event[5] for event in events if event[0] == "wave"]


def texts(events):
    return {value[0]: value[1] for value in observations(events)[-1][3]}


def states(events):
    return {value[0]: value[2] for value in observations(events)[-1][3]}


def run(decoder, start_ms, end_ms, answers=None, always=b""):
    """Take turns of 100 ms; return (requests with their times, events)."""
    requests, events = [], []
    for now_ms in range(start_ms, end_ms, 100):
        events += decode(decoder, always)
        request = decoder.next_request(now_ms)
        if request is not None:
            requests.append((now_ms, bytes(request)))
            events += decode(decoder, (answers or {}).get(bytes(request), b""))
        events += drain(decoder)
    return requests, events


class TestCapnostream(unittest.TestCase):
    def test_captures_give_their_events(self):
        for name in CAPTURES:
            with self.subTest(name=name):
                data, _, expected = capture("capnostream/" + name)
                self.assertEqual(decode(CapnostreamDecoder({}), data), expected)

    def test_what_is_sent_is_what_the_document_says(self):
        self.assertEqual(capture("capnostream/session")[1], ENABLE + START + ALIVE)

    def test_events_are_the_same_however_the_bytes_are_cut(self):
        good = b"".join([capture("capnostream/" + name)[0] for name in CAPTURES])
        data = b"\x00\x80\x01" + good + good[:50] + good + b"\x85\x85\x7f\x01" + good[3:] + good
        data += framed(55, bytes(range(120)))
        data += b"".join([sample(number, 40) for number in range(60)])
        whole = decode(CapnostreamDecoder({}), data)
        self.assertTrue(len(observations(whole)) >= 9 and len(waves(whole)) >= 5)
        for size in range(1, 120):
            events = decode(CapnostreamDecoder({}), data, size)
            self.assertEqual(readings(events), readings(whole))
            self.assertEqual(damage(events), damage(whole))

    def test_every_byte_is_in_a_good_frame_or_in_the_damage(self):
        data = b"\x11\x22\x80" + numerics()[:9] + numerics() + b"\x80" + numerics()
        events = decode(CapnostreamDecoder({}), data)
        self.assertEqual(len(observations(events)), 2)
        self.assertEqual(damage(events), {"noise": 4, "length": 9})

    def test_a_frame_with_a_changed_bit_gives_nothing(self):
        good = numerics()
        for at in range(len(good)):
            for bit in range(8):
                changed = bytearray(good)
                changed[at] ^= 1 << bit
                events = decode(CapnostreamDecoder({}), bytes(changed) + good)
                self.assertEqual(len(observations(events)), 1)
                self.assertEqual(sum(damage(events).values()), len(good))

    def test_a_frame_with_a_lost_byte_gives_nothing(self):
        good = numerics()
        for at in range(1, len(good)):
            torn = good[:at] + good[at + 1 :]
            events = decode(CapnostreamDecoder({}), torn + good)
            self.assertEqual(len(observations(events)), 1)
            self.assertEqual(sum(damage(events).values()), len(torn))

    def test_broken_escapes_and_lengths_cost_only_themselves(self):
        good = numerics()
        for data, found in (
            (b"\x85\x03\x80\x07", {"format": 1, "noise": 3}),
            (b"\x85\x03\x80", {"length": 3}),
            (b"\x85\x00\x00", {"length": 1, "noise": 2}),
            (b"\x85\x79\x01", {"length": 1, "noise": 2}),
            (b"\x85\x01\x06\x06", {"check": 1, "noise": 3}),
            (b"\x85", {"length": 1}),
        ):
            events = decode(CapnostreamDecoder({}), data + good)
            self.assertEqual(len(observations(events)), 1)
            self.assertEqual(damage(events), found)

    def test_shifted_or_short_numerics_are_not_believed(self):
        for changes in (
            ((7, 101),),
            ((4, 151),),
            ((6, 151),),
            ((8, 251),),
            ((25, 0),),
            ((25, 4),),
        ):
            frame = numerics(changes)
            self.assertEqual(
                decode(CapnostreamDecoder({}), frame), [["damage", "format", len(frame)]]
            )
        for frame in (framed(1, DATA[:26]), framed(0, b"\x01\x02\x03")):
            self.assertEqual(
                decode(CapnostreamDecoder({}), frame), [["damage", "format", len(frame)]]
            )
        self.assertEqual(
            texts(decode(CapnostreamDecoder({}), framed(1, DATA + b"\x01")))["PR"], "72"
        )

    def test_the_unit_of_co2_is_the_devices(self):
        for unit, ended, inspired in ((2, "EtCO2 kPa", "FiCO2 kPa"), (3, "EtCO2 %", "FiCO2 %")):
            found = texts(decode(CapnostreamDecoder({}), numerics(((4, 51), (5, 2), (25, unit)))))
            self.assertEqual((found[ended], found[inspired]), ("5.1", "0.2"))
            self.assertTrue("EtCO2" not in found)

    def test_status_takes_values_back_or_doubts_them(self):
        for at, bits, co2, oximeter in (
            (26, 0x01, "questionable", "valid"),
            (26, 0x02, "questionable", "valid"),
            (26, 0x04, "no value", "valid"),
            (26, 0x80, "valid", "valid"),
            (14, 0x01, "valid", "questionable"),
            (14, 0x20, "valid", "no value"),
            (14, 0x40, "valid", "no value"),
            (14, 0x04, "valid", "valid"),
        ):
            found = states(decode(CapnostreamDecoder({}), numerics(((at, bits),))))
            for label in ("EtCO2", "FiCO2", "RRco2"):
                self.assertEqual(found[label], co2)
            for label in ("SpO2", "PR"):
                self.assertEqual(found[label], oximeter)

    def test_zero_is_a_value_of_co2_and_none_of_the_oximeter(self):
        events = decode(CapnostreamDecoder({}), numerics(((4, 0), (6, 0), (7, 0), (8, 0))))
        found = texts(events)
        self.assertEqual((found["EtCO2"], found["RRco2"]), ("0", "0"))
        self.assertEqual((found["SpO2"], found["PR"]), (None, None))

    def test_alarms_are_told_when_they_change(self):
        decoder = CapnostreamDecoder({})
        found = []
        for changes in ((), ((13, 6), (26, 0x88)), ((13, 2), (26, 0x88)), ()):
            events = decode(decoder, numerics(changes))
            found.append([event[2:] for event in events if event[0] == "alarm"])
        self.assertEqual(
            found,
            [
                [],
                [
                    [0, 1, 2, True, "ETCO2 HIGH"],
                    [0, 2, 2, True, "ETCO2 LOW"],
                    [2, 7, 1, True, "BATTERY LOW"],
                ],
                [[0, 2, 2, False, "ETCO2 LOW"]],
                [[0, 1, 2, False, "ETCO2 HIGH"], [2, 7, 1, False, "BATTERY LOW"]],
            ],
        )

    def test_waves_are_a_second_long_and_end_where_messages_are_missing(self):
        decoder = CapnostreamDecoder({})
        decode(decoder, numerics())
        data = b"".join([sample(number & 0xFF, number - 240) for number in range(240, 285)])
        self.assertEqual(
            waves(decode(decoder, data)),
            [[100 * value for value in range(20)], [100 * value for value in range(20, 40)]],
        )
        data = sample(100, 77) + b"".join([sample(number, 1) for number in range(101, 120)])
        self.assertEqual(
            waves(decode(decoder, data)),
            [[100 * value for value in range(40, 45)], [7700] + [100] * 19],
        )

    def test_samples_that_the_device_takes_back_are_none(self):
        for status in (0x01, 0x02, 0x04, 0x10, 0x20, 0x40, 0x80):
            decoder = CapnostreamDecoder({})
            data = b"".join(
                [sample(number, 9, status if number == 3 else 8) for number in range(20)]
            )
            found = waves(decode(decoder, numerics() + data))[0]
            self.assertEqual([at for at in range(20) if found[at] is None], [3])

    def test_a_wave_needs_a_known_unit(self):
        data = b"".join([sample(number, 9) for number in range(40)])
        self.assertEqual(decode(CapnostreamDecoder({}), data), [])
        self.assertEqual(waves(decode(CapnostreamDecoder({}), numerics(((25, 2),)) + data)), [])

    # --- session ---

    def test_the_session_is_enabled_started_and_kept(self):
        decoder = CapnostreamDecoder({})
        requests, events = run(decoder, 0, 300, {ENABLE: IDENTITY})
        self.assertEqual(requests, [(0, ENABLE), (100, START)])
        self.assertEqual(events[0][0], "identity")
        requests, events = run(decoder, 300, 16000, always=numerics())
        self.assertEqual(requests, [(at, ALIVE) for at in (5300, 10300, 15300)])
        self.assertEqual(damage(events), {})

    def test_without_an_answer_it_is_asked_again(self):
        requests, events = run(CapnostreamDecoder({}), 0, 4000)
        self.assertEqual(requests, [(0, ENABLE), (1500, ENABLE), (3000, ENABLE)])
        self.assertEqual(damage(events), {"timeout": 2})

    def test_without_data_it_begins_anew(self):
        requests, events = run(CapnostreamDecoder({}), 0, 3200, {ENABLE: IDENTITY})
        self.assertEqual(requests, [(0, ENABLE), (100, START), (3100, ENABLE)])
        self.assertEqual(damage(events), {"timeout": 1})

    def test_silence_of_a_running_device_begins_anew(self):
        decoder = CapnostreamDecoder({})
        run(decoder, 0, 300, {ENABLE: IDENTITY})
        run(decoder, 300, 400, always=numerics())
        requests, events = run(decoder, 400, 10400)
        self.assertEqual(requests, [(5300, ALIVE), (10300, ENABLE)])
        self.assertEqual(damage(events), {"timeout": 1})

    def test_a_device_that_sends_already_is_kept_going(self):
        requests, _ = run(CapnostreamDecoder({}), 0, 5200, always=sample(0, 1))
        self.assertEqual(requests, [(5000, ALIVE)])

    def test_noise_is_no_sign_of_life_and_nothing_else_is_ever_sent(self):
        noise = Noise(5)
        decoder = CapnostreamDecoder({})
        for now_ms in range(0, 60000, 50):
            decode(decoder, noise.bytes(20))
            request = decoder.next_request(now_ms)
            self.assertTrue(request is None or request in SENDS)
        self.assertEqual(bytes(decoder.next_request(70000)), ENABLE)

    def test_an_identity_with_other_bytes_is_damage(self):
        frame = framed(4, b"V04\x00")
        self.assertEqual(decode(CapnostreamDecoder({}), frame), [["damage", "format", len(frame)]])

    def test_wrong_options_are_refused(self):
        with self.assertRaises(ConfigError):
            CapnostreamDecoder({"poll_ms": 1000})

    def test_garbage_never_raises_and_the_second_good_frame_is_read(self):
        noise = Noise(11)
        decoder = CapnostreamDecoder({})
        for _ in range(40):
            decode(decoder, noise.bytes(2000))
            events = decode(decoder, numerics() + numerics())
            self.assertEqual(texts(events)["EtCO2"], "38")

    def test_warm_frames_allocate_nothing(self):
        decoder = CapnostreamDecoder({})
        data = numerics() + b"".join([sample(number, 9) for number in range(20)])
        decode(decoder, data)
        decoder.rx.feed(data)
        micropython.heap_lock()
        try:
            event = decoder.next_event()
            wave = decoder.next_event()
            nothing = decoder.next_event()
            decoder.next_request(100)
        finally:
            micropython.heap_unlock()
        self.assertEqual((event.count, wave.count), (6, 20))
        self.assertIsNone(nothing)
        self.assertEqual(drain(decoder), [])


if __name__ == "__main__":
    unittest.main()
