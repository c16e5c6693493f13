"""Modbus: answers to values, a bus shared fairly, and nothing but reads."""

import struct
import unittest

import micropython

from bridge.core.checks import crc16_modbus
from bridge.core.errors import ConfigError
from bridge.core.protocols.modbus_rtu import READS, ModbusDecoder
from tests.support.decoding import (
    Noise,
    capture,
    damage,
    decode,
    drain,
    plain,
    readings,
)

CAPTURES = ("modbus_rtu/three_registers", "modbus_rtu/refused", "modbus_rtu/holding")


def framed(body):
    return body + struct.pack("<H", crc16_modbus(body, 0, len(body)))


def item(offset=0, kind="u16", parameter=0x8000, **more):
    more.update({"offset": offset, "type": kind, "parameter": parameter})
    return more


def unit(address=17, function=4, start=0, count=3, items=None):
    block = {"function": function, "start": start, "count": count, "items": items or [item()]}
    return {"address": address, "blocks": [block]}


def open_decoder(*units):
    """Return a decoder that has just sent its first request."""
    decoder = ModbusDecoder({"units": list(units) or [unit()]})
    decoder.next_request(0)
    return decoder


def value_of(kind, raw, **more):
    """Return [text, state] of one item whose data are `raw`."""
    decoder = open_decoder(unit(count=len(raw) // 2, items=[item(0, kind, **more)]))
    events = decode(decoder, framed(bytes((17, 4, len(raw))) + raw))
    return events[0][3][0][1:]


class Bus:
    """A scripted bus: `answer(request)` returns bytes or None; time passes in steps of 20 ms."""

    def __init__(self, decoder, answer):
        self.decoder = decoder
        self.answer = answer
        self.now_ms = 0
        self.sent = []  # (ms, request)
        self.events = []  # (ms, event)

    def run(self, until_ms, delay_ms=40):
        arriving = None
        while self.now_ms < until_ms:
            if arriving and arriving[0] <= self.now_ms:
                self.decoder.rx.feed(arriving[1])
                arriving = None
            self.events += [(self.now_ms, event) for event in drain(self.decoder)]
            request = self.decoder.next_request(self.now_ms)
            if request is not None:
                self.sent.append((self.now_ms, bytes(request)))
                data = self.answer(bytes(request))
                if data is not None:
                    arriving = (self.now_ms + delay_ms, data)
            self.now_ms += 20


def counting(request):
    """Answer as a unit whose registers hold their unit's address."""
    count = request[5]
    return framed(bytes((request[0], request[1], 2 * count)) + bytes((0, request[0])) * count)


class TestValues(unittest.TestCase):
    def test_captures_give_their_events(self):
        for name in CAPTURES:
            with self.subTest(name=name):
                received, sent, expected = capture(name)
                decoder = ModbusDecoder({"units": expected["units"]})
                self.assertEqual(bytes(decoder.next_request(5)), sent)
                self.assertEqual(decode(decoder, received), expected["events"])

    def test_events_are_the_same_however_the_bytes_are_cut(self):
        received, sent, expected = capture(CAPTURES[0])
        for junk in (b"", b"\x00\xff", b"\x11", b"\x11\x04\x06", b"\x11\x84\x00\x00\x00"):
            for echo in (b"", sent):
                stream = junk + echo + received
                whole = decode(ModbusDecoderAt(expected), stream)
                self.assertEqual(readings(whole), expected["events"], (junk, echo))
                for size in range(1, len(stream)):
                    events = decode(ModbusDecoderAt(expected), stream, size)
                    self.assertEqual(readings(events), expected["events"])
                    self.assertEqual(damage(events), damage(whole))
                self.assertEqual(sum(damage(whole).values()), len(junk))

    def test_types_and_orders_are_read(self):
        for kind, raw, text in (
            ("u16", "FFFF", "65535"),
            ("i16", "FFFE", "-2"),
            ("u32", "00010002", "65538"),
            ("i32", "FFFFFFFD", "-3"),
            ("f32", "C2F6E979", "-123"),
        ):
            self.assertEqual(value_of(kind, bytes.fromhex(raw)), [text, "valid"])
        for order, raw in (
            ("ABCD", "01020304"),
            ("CDAB", "03040102"),
            ("BADC", "02010403"),
            ("DCBA", "04030201"),
        ):
            found = value_of("u32", bytes.fromhex(raw), order=order)
            self.assertEqual(found, ["16909060", "valid"])

    def test_floats_are_rounded_to_the_decimals(self):
        for number, decimals, text in (
            (37.25, 1, "37.3"),
            (-37.25, 1, "-37.3"),
            (37.25, 2, "37.25"),
            (0.1, 6, "0.100000"),
            (1e-30, 3, "0.000"),
            (0.0, 0, "0"),
            (2000000000.0, 0, "2000000000"),
        ):
            raw = struct.pack(">f", number)
            self.assertEqual(value_of("f32", raw, decimals=decimals), [text, "valid"])

    def test_values_that_are_none_are_no_value(self):
        for kind, raw, invalid in (
            ("u16", "7FFF", [32767]),
            ("i16", "8000", [-32768]),
            ("i16", "8000", [32768]),
            ("i32", "FFFFFFFF", [-1]),
            ("f32", "C61C3C00", [-9999]),
            ("f32", "7FC00000", None),
            ("f32", "FF800000", None),
        ):
            more = {} if invalid is None else {"invalid": invalid}
            self.assertEqual(value_of(kind, bytes.fromhex(raw), **more), [None, "no value"])

    def test_values_too_large_for_us_say_so(self):
        self.assertEqual(value_of("u32", b"\xff\xff\xff\xff"), ["2147483647", "over range"])
        self.assertEqual(value_of("f32", b"\x7f\x00\x00\x00"), ["2147483647", "over range"])
        self.assertEqual(value_of("f32", b"\xff\x00\x00\x00"), ["-2147483647", "under range"])
        found = value_of("i16", b"\x80\x00", scale=1000000)
        self.assertEqual(found, ["-2147483647", "under range"])

    def test_scale_multiplies(self):
        self.assertEqual(value_of("u16", b"\x00\x07", scale=10), ["70", "valid"])
        raw = struct.pack(">f", 0.25)
        self.assertEqual(value_of("f32", raw, scale=10, decimals=1), ["2.5", "valid"])

    def test_bits_are_read(self):
        bits = [item(0, "bit", 0x8000), item(9, "bit", 0x8001)]
        decoder = open_decoder(unit(function=2, count=10, items=bits))
        events = decode(decoder, framed(b"\x11\x02\x02\x01\x02"))
        self.assertEqual([value[1] for value in events[0][3]], ["1", "1"])

    def test_hot_path_allocates_nothing(self):
        items = [
            item(0, "u16", 0x8000, invalid=[0x7FFF]),
            item(1, "i16", 0x8001),
            item(2, "u32", 0x8002, order="CDAB"),
            item(4, "f32", 0x8003, decimals=2),
        ]
        decoder = ModbusDecoder({"units": [unit(count=6, items=items)]})
        answer = framed(b"\x11\x04\x0c\x00\x05\xff\xff\x00\x01\x00\x02" + struct.pack(">f", 1.5))
        now_ms = 1000
        for _ in range(2):
            decoder.next_request(now_ms)
            decode(decoder, answer)
            decoder.next_request(now_ms + 1)
            now_ms += 1000
        micropython.heap_lock()
        try:
            request = decoder.next_request(now_ms)
        finally:
            micropython.heap_unlock()
        decoder.rx.feed(answer)
        micropython.heap_lock()
        try:
            decoder.next_request(now_ms + 20)
            event = decoder.next_event()
            nothing = decoder.next_event()
        finally:
            micropython.heap_unlock()
        self.assertIsNotNone(request)
        self.assertIsNone(nothing)
        self.assertEqual([value[1] for value in plain(event)[3]], ["5", "-1", "131073", "1.50"])


def ModbusDecoderAt(expected):
    decoder = ModbusDecoder({"units": expected["units"]})
    decoder.next_request(0)
    return decoder


class TestAnswers(unittest.TestCase):
    def test_answers_of_others_are_damage(self):
        for body, kind in (
            (b"\x12\x04\x06\x00\x01\x00\x02\x00\x03", "noise"),  # another unit
            (b"\x11\x03\x06\x00\x01\x00\x02\x00\x03", "noise"),  # another function
            (b"\x11\x04\x04\x00\x01\x00\x02", "length"),  # another count
        ):
            events = decode(open_decoder(), framed(body))
            self.assertEqual(readings(events), [])
            self.assertTrue(kind in damage(events))
            self.assertEqual(sum(damage(events).values()), len(body) + 2)

    def test_damaged_answer_gives_no_value_whatever_bit_it_is(self):
        answer = framed(b"\x11\x04\x06\x00\x01\x00\x02\x00\x03")
        for at in range(len(answer)):
            for bit in range(8):
                spoilt = bytearray(answer)
                spoilt[at] ^= 1 << bit
                self.assertEqual(readings(decode(open_decoder(), bytes(spoilt))), [])

    def test_bytes_without_a_request_are_noise(self):
        decoder = ModbusDecoder({"units": [unit()]})
        answer = framed(b"\x11\x04\x06\x00\x01\x00\x02\x00\x03")
        self.assertEqual(decode(decoder, answer), [["damage", "noise", len(answer)]])

    def test_garbage_never_raises_and_gives_no_value(self):
        noise = Noise(5)
        decoder = ModbusDecoder({"units": [unit(), unit(10, 3, 100, 2), unit(1, 1, 0, 8, BITS)]})
        now_ms = 0
        total = 0
        for _ in range(800):
            decoder.next_request(now_ms)
            data = noise.bytes(noise.number(500) + 1)
            total += len(data)
            self.assertEqual(readings(decode(decoder, data)), [])
            now_ms += noise.number(400)
        self.assertGreater(total, 150000)
        bus = Bus(decoder, lambda request: counting(request) if request[1] > 2 else None)
        bus.now_ms = now_ms
        bus.run(now_ms + 12000)
        self.assertTrue([event for _, event in bus.events if event[0] == "observation"])


BITS = [item(0, "bit", 0x8005)]


class TestConversation(unittest.TestCase):
    def test_units_and_blocks_are_asked_in_turn(self):
        two = unit(17)
        two["blocks"].append({"function": 3, "start": 9, "count": 1, "items": [item()]})
        bus = Bus(ModbusDecoder({"units": [two, unit(10)]}), counting)
        bus.run(3000)
        self.assertEqual(
            [request[:2] for _, request in bus.sent[:6]],
            [b"\x11\x04", b"\x11\x03", b"\x0a\x04", b"\x11\x04", b"\x11\x03", b"\x0a\x04"],
        )
        groups = [event[1:3] for _, event in bus.events[:3]]
        self.assertEqual(groups, [[17, 0], [17, 1], [10, 0]])

    def test_readings_keep_their_pace(self):
        bus = Bus(ModbusDecoder({"poll_ms": 1000, "units": [unit()]}), counting)
        bus.run(20000)
        self.assertEqual([ms for ms, _ in bus.sent], list(range(0, 20000, 1000)))

    def test_one_request_is_open_at_a_time_with_a_gap_between(self):
        units = [unit(address) for address in range(1, 17)]
        bus = Bus(ModbusDecoder({"poll_ms": 100, "units": units}), counting)
        bus.run(5000)
        self.assertGreater(len(bus.sent), 30)
        for index in range(len(bus.sent) - 1):
            self.assertGreaterEqual(bus.sent[index + 1][0] - bus.sent[index][0], 40 + 25)

    def test_silent_unit_is_a_timeout_and_starves_nobody(self):
        silent = range(2, 17)
        units = [unit(address) for address in range(1, 17)]

        def answer(request):
            return None if request[0] in silent else counting(request)

        bus = Bus(ModbusDecoder({"units": units}), answer)
        bus.run(60000)
        heard = [ms for ms, event in bus.events if event[0] == "observation"]
        gaps = [heard[index + 1] - heard[index] for index in range(len(heard) - 1)]
        self.assertLessEqual(max(gaps[1:]), 1400)  # the first round asks each of them
        asked = {request[0] for ms, request in bus.sent if ms > 40000}
        self.assertEqual(asked, set(range(1, 17)))  # and are not forgotten
        timeouts = damage([event for _, event in bus.events])["timeout"]
        self.assertLessEqual(abs(timeouts - len([1 for _, r in bus.sent if r[0] > 1])), 1)

    def test_late_answer_is_not_taken_for_the_next_one(self):
        bus = Bus(ModbusDecoder({"units": [unit(), unit(10)]}), counting)
        bus.run(5000, delay_ms=420)
        self.assertEqual(readings([event for _, event in bus.events]), [])

    def test_slow_answer_may_go_on_arriving(self):
        decoder = open_decoder()
        answer = framed(b"\x11\x04\x06\x00\x01\x00\x02\x00\x03")
        events = []
        for at in range(len(answer)):
            decoder.rx.feed(answer[at : at + 1])
            self.assertIsNone(decoder.next_request(200 * at + 100))
            events += drain(decoder)
        self.assertEqual(len(readings(events)), 1)

    def test_refused_request_is_counted_and_asked_again(self):
        bus = Bus(ModbusDecoder({"units": [unit()]}), lambda _: framed(b"\x11\x84\x02"))
        bus.run(3000)
        self.assertEqual([event for _, event in bus.events], [["damage", "refused", 1]] * 3)
        self.assertEqual(len(bus.sent), 3)

    def test_noise_between_answers_delays_and_does_not_stop(self):
        noise = Noise(3)
        bus = Bus(
            ModbusDecoder({"units": [unit(1), unit(2)]}),
            lambda request: noise.bytes(noise.number(30)) + counting(request),
        )
        bus.run(30000)
        found = readings([event for _, event in bus.events])
        self.assertGreater(len(found), 40)
        for _, address, _, values in found:
            self.assertEqual(values[0][1], str(address))


class TestReadOnly(unittest.TestCase):
    def test_only_the_four_reading_functions_are_there(self):
        self.assertEqual(READS, (1, 2, 3, 4))
        for function in list(range(-1, 1)) + list(range(5, 260)):
            with self.assertRaises(ConfigError):
                ModbusDecoder({"units": [unit(function=function)]})

    def test_every_request_is_a_read_that_was_configured(self):
        noise = Noise(21)
        units = [unit(1, 1, 0, 8, BITS), unit(2, 2, 5, 16, BITS), unit(3, 3), unit(4, 4, 7)]
        decoder = ModbusDecoder({"poll_ms": 100, "timeout_ms": 50, "units": units})
        seen = set()
        for now_ms in range(0, 60000, 20):
            request = decoder.next_request(now_ms)
            if request is not None:
                self.assertEqual(len(request), 8)
                self.assertEqual(crc16_modbus(request, 0, 8), 0)
                self.assertTrue(request[1] in READS)
                seen.add(bytes(request))
            decode(decoder, noise.bytes(noise.number(20)))
        self.assertEqual(len(seen), 4)

    def test_wrong_options_are_refused(self):
        good = {"function": 4, "start": 0, "count": 3, "items": [item()]}

        def block(**changes):
            changed = dict(good)
            changed.update(changes)
            return {"units": [{"address": 1, "blocks": [changed]}]}

        ModbusDecoder(block())
        for options in (
            {},
            {"units": []},
            {"units": [unit(0)]},
            {"units": [unit(248)]},
            {"units": [unit(1), unit(1)]},
            {"units": [unit(address) for address in range(1, 18)]},
            {"units": [{"address": 1, "blocks": []}]},
            {"units": [{"address": 1, "blocks": [good] * 9}]},
            {"units": [unit()], "poll_ms": 10},
            {"units": [unit()], "timeout_ms": "300"},
            {"units": [unit()], "speed": 9600},
            {"units": [7]},
            block(count=0),
            block(count=126),
            block(start=65535),
            block(start=-1),
            block(items=[]),
            block(items=[item(3)]),
            block(items=[item(2, "u32")]),
            block(items=[item(0, "u64")]),
            block(items=[item(0, "bit")]),
            block(items=[item(parameter=0)]),
            block(items=[item(parameter=0x10000)]),
            block(items=[item(0), item(1)]),
            block(items=[item(decimals=7)]),
            block(items=[item(scale=0)]),
            block(items=[item(order=2)]),
            block(items=[item(0, "u32", order="ACBD")]),
            block(items=[item(invalid=[70000])]),
            block(items=[item(invalid=32767)]),
            block(items=[item(0, "f32", invalid=["nan"])]),
            block(items=[item(unit="mbar")]),
            block(function=1, items=[item()]),
            block(function=True),
        ):
            with self.subTest(options=options):
                with self.assertRaises(ConfigError) as caught:
                    ModbusDecoder(options)
                self.assertTrue(str(caught.exception).startswith("modbus_rtu"))


if __name__ == "__main__":
    unittest.main()
