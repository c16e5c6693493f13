"""The MQTT codec: packets as the standard draws them, any splitting, hostile lengths."""

import unittest

from bridge.core import mqtt
from bridge.core.errors import ProtocolError

INCOMING = (
    b"\x20\x02\x01\x00",  # CONNACK, session present
    b"\x90\x03\x00\x05\x01",  # SUBACK 5, QoS 1
    b"\x30\x06\x00\x01aabc",  # PUBLISH QoS 0
    b"\x33\x07\x00\x02a/\x00\x09x",  # PUBLISH QoS 1, retained
    b"\x40\x02\x12\x34",  # PUBACK
    b"\xd0\x00",  # PINGRESP
)


def facts(packet):
    return (packet.type, packet.packet_id, packet.codes, packet.topic, packet.payload, packet.qos)


EXPECTED = [
    (mqtt.CONNACK, 0, b"", "", b"", 0),
    (mqtt.SUBACK, 5, b"\x01", "", b"", 0),
    (mqtt.PUBLISH, 0, b"", "a", b"abc", 0),
    (mqtt.PUBLISH, 9, b"", "a/", b"x", 1),
    (mqtt.PUBACK, 0x1234, b"", "", b"", 0),
    (mqtt.PINGRESP, 0, b"", "", b"", 0),
]


class TestDecoder(unittest.TestCase):
    def test_packets_are_the_same_however_the_bytes_are_cut(self):
        stream = b"".join(INCOMING)
        for size in range(1, len(stream) + 1):
            decoder = mqtt.Decoder(64)
            found = []
            at = 0
            while at < len(stream):
                at += decoder.feed(stream[at : at + size])
                packet = decoder.next_packet()
                while packet is not None:
                    found.append(facts(packet))
                    packet = decoder.next_packet()
            self.assertEqual(found, EXPECTED)

    def test_two_byte_length_is_read(self):
        decoder = mqtt.Decoder(400)
        decoder.feed(mqtt.publish("t", bytes(300), 1, 7))
        self.assertEqual(len(decoder.next_packet().payload), 300)

    def test_broken_packets_are_protocol_errors(self):
        for data in (
            b"\x30\xff\xff\xff\xff\x01",  # a length of five bytes
            b"\x30\xff\xff\xff\x7f",  # a giant
            b"\x36\x05\x00\x01a\x00\x01",  # QoS 3
            b"\x34\x05\x00\x01a\x00\x01",  # QoS 2, which nobody asked for
            b"\x32\x05\x00\x01a\x00\x00",  # packet identifier 0
            b"\x30\x03\x00\x09a",  # topic longer than the packet
            b"\x30\x03\x00\x01\xff",  # topic that is no UTF-8
            b"\x30\x02\x00\x00",  # empty topic
            b"\x30\x04\x00\x02a\x00",  # null character in the topic
            b"\x30\x00",
            b"\x20\x01\x00",
            b"\x20\x02\x07\x00",
            b"\x40\x01\x00",
            b"\x41\x02\x00\x01",
            b"\x90\x02\x00\x01",
            b"\xd0\x01\x00",
            b"\x10\x00",  # CONNECT to a client
            b"\x00\x00",
            b"H",  # of HTTP: there is nothing to wait for
        ):
            decoder = mqtt.Decoder(256)
            decoder.feed(data)
            with self.assertRaises(ProtocolError):
                decoder.next_packet()

    def test_incomplete_packet_waits(self):
        decoder = mqtt.Decoder(64)
        for byte in INCOMING[3][:-1]:
            decoder.feed(bytes((byte,)))
            self.assertIsNone(decoder.next_packet())


class TestUnacknowledged(unittest.TestCase):
    def test_identifiers_go_round_and_are_never_zero(self):
        waiting = mqtt.Unacknowledged()
        last = 0
        for _ in range(3):
            for _ in range(65535):
                packet_id = waiting.take()
                self.assertEqual(packet_id, last % 65535 + 1)
                last = packet_id
                waiting.acknowledge(packet_id)
        self.assertEqual(waiting.count, 0)

    def test_window_is_full_until_the_oldest_is_acknowledged(self):
        waiting = mqtt.Unacknowledged()
        taken = [waiting.take() for _ in range(mqtt.WINDOW)]
        self.assertTrue(waiting.full())
        for packet_id in reversed(taken[1:]):
            waiting.acknowledge(packet_id)
        self.assertTrue(waiting.full())
        waiting.acknowledge(taken[0])
        self.assertFalse(waiting.full())

    def test_what_was_not_sent_or_is_done_cannot_be_acknowledged(self):
        waiting = mqtt.Unacknowledged()
        packet_id = waiting.take()
        for other in (0, 2, 1 + mqtt.WINDOW, 65535):
            with self.assertRaises(ProtocolError):
                waiting.acknowledge(other)
        waiting.acknowledge(packet_id)
        with self.assertRaises(ProtocolError):
            waiting.acknowledge(packet_id)


class TestEncoder(unittest.TestCase):
    def test_connect_is_as_the_standard_draws_it(self):
        packet = mqtt.connect("vk", 10, "w", b"gone", True)
        expected = b"\x10\x17\x00\x04MQTT\x04\x2e\x00\x0a\x00\x02vk\x00\x01w\x00\x04gone"
        self.assertEqual(packet, expected)
        self.assertEqual(mqtt.connect("a", 0), b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01a")

    def test_small_packets(self):
        self.assertEqual(mqtt.puback(0x1234), b"\x40\x02\x12\x34")
        self.assertEqual(mqtt.subscribe(1, [("a", 1)]), b"\x82\x06\x00\x01\x00\x01a\x01")
        self.assertEqual(mqtt.unsubscribe(2, ["a", "b"]), b"\xa2\x08\x00\x02\x00\x01a\x00\x01b")
        self.assertEqual(mqtt.pingreq(), b"\xc0\x00")
        self.assertEqual(mqtt.disconnect(), b"\xe0\x00")

    def test_what_does_not_fit_is_refused(self):
        with self.assertRaises(ValueError):
            mqtt.publish("t" * 65536, b"", 0)
        with self.assertRaises(ValueError):
            mqtt.connect("vk", 10, "w", bytes(65536))
        with self.assertRaises(ValueError):
            mqtt.publish("t", b"", 1)  # at QoS 1 without an identifier
        with self.assertRaises(ValueError):
            mqtt._length(268435456)
        self.assertEqual(mqtt._length(268435455), b"\xff\xff\xff\x7f")

    def test_publish_head_is_publish_without_a_copy(self):
        for size in (1, 100, 120, 200, 1047):
            whole = mqtt.publish("vk/x/log/A", bytes(size), 1, 300)
            buffer = bytearray(1200)
            head = mqtt.publish_head(buffer, b"vk/x/log/A", size, 300)
            self.assertEqual(bytes(buffer[: head + size]), whole)


if __name__ == "__main__":
    unittest.main()
