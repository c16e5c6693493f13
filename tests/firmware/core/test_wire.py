"""Payloads between gateway and site: they round-trip, and nothing forged gets in."""

import unittest

from bridge.core import wire
from bridge.core.errors import FormatError, TagError

GATEWAY = b"gateway1"
KEY = b"k" * 32


def run_payload(data=b"log bytes"):
    payload = bytearray(wire.run_size(len(data)))
    payload[wire.RUN_HEAD : wire.RUN_HEAD + len(data)] = data
    wire.pack_run(payload, KEY, GATEWAY, 1, b"logid--1", 70000, 4000, len(data))
    return bytes(payload)


def receipt():
    made = wire.Receipt(b"site---1", b"epoch--1", GATEWAY, b"logid--1", b"nonce--1")
    made.have = True
    made.utc_ms = 1790000000123
    made.echo_ms = 5000
    made.copies = 2
    made.entries = [(0, 5, 1200, b"digest-1"), (2, 70000, 4096, b"digest-2")]
    made.maps = [(0, 3, 10, b"\xff\x01")]
    return made


class TestTopics(unittest.TestCase):
    def test_topic_round_trips(self):
        text = wire.topic(GATEWAY, "log/A")
        self.assertEqual(text, "vk/6761746577617931/log/A")
        self.assertEqual(wire.parse_topic(text), (GATEWAY, "log/A"))

    def test_client_identifier_follows_from_the_key_alone(self):
        text = wire.client_id(b"k" * 32, GATEWAY)
        self.assertEqual(text, wire.client_id(b"k" * 32, GATEWAY))
        self.assertEqual(text[:16], wire.topic(GATEWAY, "")[3:19])
        self.assertEqual(len(text), 32)
        self.assertNotEqual(text, wire.client_id(b"j" * 32, GATEWAY))

    def test_foreign_topics_are_refused(self):
        for text in (
            "",
            "vk",
            "vk/xyz/log/A",
            "vk/67617465776179zz/log/A",
            "a/6761746577617931/b",
        ):
            with self.assertRaises(FormatError):
                wire.parse_topic(text)


class TestRun(unittest.TestCase):
    def test_run_round_trips(self):
        run = wire.parse_run(run_payload(), KEY, GATEWAY, 1)
        self.assertEqual(run.log_id, b"logid--1")
        self.assertEqual((run.cls, run.sector, run.offset), (1, 70000, 4000))
        self.assertEqual(run.data, b"log bytes")

    def test_any_flipped_bit_is_refused(self):
        whole = run_payload()
        for index in range(len(whole)):
            data = bytearray(whole)
            data[index] ^= 1 << index % 8
            with self.assertRaises((TagError, FormatError)):
                wire.parse_run(bytes(data), KEY, GATEWAY, 1)

    def test_run_of_another_class_gateway_or_key_is_refused(self):
        for key, gateway, cls in (
            (KEY, GATEWAY, 0),
            (KEY, b"gateway2", 1),
            (b"x" * 32, GATEWAY, 1),
        ):
            with self.assertRaises(TagError):
                wire.parse_run(run_payload(), key, gateway, cls)

    def test_sizes_out_of_range_are_refused(self):
        for size in (0, 10, 23, 2000):
            with self.assertRaises(FormatError):
                wire.parse_run(bytes(size), KEY, GATEWAY, 1)
        with self.assertRaises(FormatError):
            wire.parse_run(run_payload(bytes(200)), KEY, GATEWAY, 1)


class TestStatus(unittest.TestCase):
    def test_status_round_trips_and_a_forged_one_is_refused(self):
        payload = wire.pack_status(KEY, GATEWAY, {"v": 1, "mono": 5})
        self.assertEqual(wire.parse_status(payload, KEY, GATEWAY)["mono"], 5)
        with self.assertRaises(TagError):
            wire.parse_status(payload[:-1] + b" ", KEY, GATEWAY)
        for fields in ({"v": 2}, [1], "text"):
            with self.assertRaises(FormatError):
                wire.parse_status(wire.pack_status(KEY, GATEWAY, fields), KEY, GATEWAY)
        with self.assertRaises(FormatError):
            wire.parse_status(b"", KEY, GATEWAY)

    def test_status_that_is_too_long_goes_without_its_counts(self):
        fields = {"v": wire.WIRE_VERSION, "counters": {"line0_%d" % n: n for n in range(400)}}
        found = wire.parse_status(wire.pack_status(KEY, GATEWAY, fields), KEY, GATEWAY)
        self.assertEqual(found["counters"], {"left_out": 400})


class TestReceipt(unittest.TestCase):
    def test_receipt_round_trips(self):
        parsed = wire.parse_receipt(wire.pack_receipt(receipt(), KEY), KEY, GATEWAY)
        self.assertEqual((parsed.site, parsed.epoch), (b"site---1", b"epoch--1"))
        self.assertEqual((parsed.log_id, parsed.nonce), (b"logid--1", b"nonce--1"))
        self.assertEqual((parsed.utc_ms, parsed.echo_ms, parsed.copies), (1790000000123, 5000, 2))
        self.assertTrue(parsed.have)
        self.assertEqual(parsed.entries, receipt().entries)
        self.assertEqual(parsed.maps, receipt().maps)

    def test_any_flipped_bit_is_refused(self):
        whole = wire.pack_receipt(receipt(), KEY)
        for index in range(len(whole)):
            data = bytearray(whole)
            data[index] ^= 0x10
            with self.assertRaises(TagError):
                wire.parse_receipt(bytes(data), KEY, GATEWAY)

    def test_receipt_that_is_cut_or_too_long_is_refused(self):
        whole = wire.pack_receipt(receipt(), KEY)
        for size in range(len(whole)):
            with self.assertRaises((TagError, FormatError)):
                wire.parse_receipt(whole[:size], KEY, GATEWAY)
        with self.assertRaises(FormatError):
            wire.parse_receipt(bytes(wire.RECEIPT_MAX + 1), KEY, GATEWAY)

    def test_authentic_nonsense_is_a_format_error(self):
        # A hub that answers nonsense under the right key.
        from bridge.core.mac import hmac_sha256

        for body in (b"", b"\x01", bytes(60), wire.pack_receipt(receipt(), KEY)[:-16] + b"\x00"):
            tag = hmac_sha256(KEY, b"vitalkeep receipt", GATEWAY, body)[:16]
            with self.assertRaises(FormatError):
                wire.parse_receipt(body + tag, KEY, GATEWAY)


if __name__ == "__main__":
    unittest.main()
