"""IntelliVue: the session, frames against their documents, and what is no value."""

import unittest

from bridge.core.errors import ConfigError
from bridge.core.protocols.philips_intellivue import IntellivueDecoder, framed
from tests.support.decoding import damage, decode, drain

CREATE = bytes.fromhex(
    "c0110100 26e1000002 0001001e 0001 0001 0018 0021 0000 0000 00012345 0d06 000a"
    " 0021 0000 0000 0000 0000 2a0d c1"
)
ANSWER = bytes.fromhex(
    "c0110100 1ce1000002 00020014 0001 0001 000e 0021 0000 0000 00012345 0d06 0000 7d5df8c1"
)
ACCEPT = framed(b"\x0e\x04\x00\x00\x00\x00")
REFUSE = framed(b"\x0c\x04\x00\x00\x00\x00")
ABORT = framed(b"\x19\x04\x00\x00\x00\x00")


def numeric(value, state=0, physio=0x4182, unit=0x0AA0):
    """Return a reply of an extended poll with one value, a FLOAT of four bytes."""
    observed = bytes((physio >> 8, physio & 255, state >> 8, state & 255, unit >> 8, unit & 255))
    observed += value
    attributes = b"\x09\x50\x00\x0a" + observed
    entry = b"\x10\x01\x00\x01" + bytes((0, len(attributes))) + attributes
    context = b"\x00\x00\x00\x01" + bytes((0, len(entry))) + entry
    data = b"\x00\x01\x00\x01" + bytes(12) + b"\x00\x01\x00\x06\x00\x00"
    data += b"\x00\x01" + bytes((0, len(context))) + context
    result = b"\x00\x21\x00\x00\x00\x00\xf1\x3b" + bytes((0, len(data))) + data
    body = b"\x00\x01\x00\x07" + bytes((0, len(result))) + result
    return framed(b"\xe1\x00\x00\x02\x00\x02" + bytes((0, len(body))) + body)


def requests(decoder, first_ms, last_ms):
    found = []
    for now_ms in range(first_ms, last_ms, 10):
        request = decoder.next_request(now_ms)
        if request is not None:
            found.append((now_ms, bytes(request)))
    return found


def started():
    """Return a driver whose session stands since 1000 ms."""
    decoder = IntellivueDecoder({})
    requests(decoder, 0, 1000)
    decode(decoder, ACCEPT + CREATE)
    return decoder


class TestSession(unittest.TestCase):
    def test_association_is_asked_for_until_it_is_accepted(self):
        decoder = IntellivueDecoder({})
        asked = requests(decoder, 0, 9000)
        self.assertEqual([now_ms for now_ms, _ in asked], [0, 4000, 8000])
        self.assertEqual(asked[0][1][:6].hex(), "c0110100ee0d")
        self.assertEqual(asked[0][1][-3:].hex(), "a92ac1")
        self.assertEqual(damage(drain(decoder)), {"timeout": 2})

    def test_the_create_event_is_answered_and_then_polls_begin(self):
        asked = requests(started(), 1000, 2000)
        self.assertEqual(asked[0][1], ANSWER)
        kinds = [request[23:25] for _, request in asked[1:]]
        self.assertEqual(kinds[:3], [b"\x00\x00", b"\x00\x00", b"\x00\x00"])
        codes = [request[-16] if len(request) > 48 else request[-6] for _, request in asked[1:4]]
        self.assertEqual(len(asked), 4, codes)

    def test_a_poll_is_sent_often_enough_to_keep_the_association(self):
        decoder = started()
        asked = requests(decoder, 1000, 9000)
        times = [now_ms for now_ms, _ in asked]
        for index in range(1, len(times)):
            self.assertTrue(times[index] - times[index - 1] <= 4500, times)

    def test_silence_ends_the_session_and_a_new_one_begins(self):
        decoder = started()
        asked = requests(decoder, 1000, 16000)
        self.assertEqual(asked[-1][1][5], 0x0D)
        self.assertEqual(damage(drain(decoder)), {"timeout": 2})

    def test_refusal_and_abort_are_waited_out(self):
        decoder = IntellivueDecoder({})
        requests(decoder, 0, 100)
        self.assertEqual(decode(decoder, REFUSE), [["damage", "refused", 1]])
        self.assertEqual(requests(decoder, 100, 2000), [])
        self.assertEqual(len(requests(decoder, 2000, 3000)), 1)
        decode(decoder, ACCEPT + CREATE + ABORT)
        self.assertEqual(requests(decoder, 3000, 4500), [])

    def test_a_monitor_without_extended_polls_is_asked_each_second(self):
        decoder = started()
        requests(decoder, 1000, 1200)
        error = framed(bytes.fromhex("e1000002 0003 0006 0001 0009 0000"))
        decode(decoder, error)
        asked = [
            now_ms
            for now_ms, request in requests(decoder, 1200, 4200)
            if b"\x0c\x16" in request and b"\x00\x01\x00\x06\x00\x00" in request
        ]
        self.assertTrue(len(asked) >= 3, asked)

    def test_no_waves_are_asked_for_when_they_are_not_wanted(self):
        decoder = IntellivueDecoder({"waves": False})
        requests(decoder, 0, 100)
        decode(decoder, ACCEPT + CREATE)
        for _, request in requests(decoder, 100, 60000):
            self.assertFalse(b"\x00\x01\x00\x09" in request)

    def test_wrong_options_are_refused(self):
        for options in ({"waves": 1}, {"poll_ms": 5}):
            with self.assertRaises(ConfigError):
                IntellivueDecoder(options)


class TestValues(unittest.TestCase):
    def value(self, *arguments):
        events = decode(started(), numeric(*arguments))
        return events[0][3][0][1:] if events else None

    def test_numbers_are_exact(self):
        for text, expected in (
            ("0000004c", "76"),
            ("ff0003d9", "98.5"),
            ("fe002694", "98.76"),
            ("01000007", "70"),
            ("00ffffff", "-1"),
        ):
            self.assertEqual(self.value(bytes.fromhex(text)), [expected, "valid"])

    def test_what_is_no_number_or_not_of_a_patient_is_no_value(self):
        for text in ("007fffff", "00800000", "007ffffe", "00800002"):
            self.assertEqual(self.value(bytes.fromhex(text)), [None, "no value"])
        for state in (0x8000, 0x2000, 0x1000, 0x0800, 0x0400):
            self.assertEqual(self.value(bytes.fromhex("0000004c"), state), [None, "no value"])
        self.assertEqual(self.value(bytes.fromhex("0000004c"), 0x4000), ["76", "questionable"])
        self.assertEqual(self.value(bytes.fromhex("0000004c"), 0x0002), ["76", "valid"])

    def test_a_value_in_another_unit_is_not_relabelled(self):
        self.assertIsNone(self.value(bytes.fromhex("0000004c"), 0, 0x4182, 0x0F20))
        events = decode(started(), numeric(bytes.fromhex("ff000032"), 0, 0x50B0, 0x0F03))
        self.assertEqual(events[0][3], [["EtCO2 kPa", "5.0", "valid"]])


if __name__ == "__main__":
    unittest.main()
