"""Commands and replies: what was packed is what is read, and nothing else is."""

import json
import unittest

from bridge.core.command_wire import (
    COMMAND_MAX,
    REPLY_BYTES_MAX,
    Command,
    pack_command,
    pack_replies,
    parse_command,
    parse_reply,
)
from bridge.core.errors import FormatError, TagError

KEY = b"K" * 32
GATEWAY = b"gateway1"
NONCE = b"nonce--1"
NUMBER = 1_790_000_000_123


def command(**fields):
    return Command(NONCE, NUMBER, fields)


class TestCommands(unittest.TestCase):
    def test_command_is_read_as_it_was_packed(self):
        found = parse_command(pack_command(command(do="report", n=3), KEY, GATEWAY), KEY, GATEWAY)
        self.assertEqual((found.nonce, found.number), (NONCE, NUMBER))
        self.assertEqual(found.fields, {"do": "report", "n": 3})

    def test_each_changed_byte_is_refused(self):
        payload = pack_command(command(do="report"), KEY, GATEWAY)
        for place in range(len(payload)):
            changed = bytearray(payload)
            changed[place] ^= 1
            with self.assertRaises(TagError):
                parse_command(bytes(changed), KEY, GATEWAY)
        for size in range(len(payload)):
            with self.assertRaises((TagError, FormatError)):
                parse_command(payload[:size], KEY, GATEWAY)

    def test_command_of_another_gateway_or_key_and_a_reply_are_refused(self):
        payload = pack_command(command(do="report"), KEY, GATEWAY)
        reply = next(pack_replies({}, command(do="report"), KEY, GATEWAY))
        for wrong, key, gateway in (
            (payload, b"L" * 32, GATEWAY),
            (payload, KEY, b"gateway2"),
            (reply, KEY, GATEWAY),
        ):
            with self.assertRaises(TagError):
                parse_command(wrong, key, gateway)
        with self.assertRaises(TagError):
            parse_reply(payload, KEY, GATEWAY)

    def test_what_is_too_long_or_says_nothing_is_refused(self):
        with self.assertRaises(FormatError):
            pack_command(command(do="x" * COMMAND_MAX), KEY, GATEWAY)
        for fields in ({}, {"do": 7}, [], "report"):
            payload = pack_command(Command(NONCE, NUMBER, fields), KEY, GATEWAY)
            with self.assertRaises(FormatError):
                parse_command(payload, KEY, GATEWAY)

    def test_long_reply_comes_in_parts(self):
        fields = {"text": "z" * 3 * REPLY_BYTES_MAX}
        payloads = list(pack_replies(fields, command(do="report"), KEY, GATEWAY))
        parts = [parse_reply(payload, KEY, GATEWAY) for payload in payloads]
        self.assertEqual([part.part for part in parts], list(range(4)))
        self.assertEqual([part.parts for part in parts], [4] * 4)
        self.assertTrue(all(part.number == NUMBER for part in parts))
        self.assertEqual(json.loads(b"".join(part.data for part in parts)), fields)
        self.assertTrue(all(len(payload) <= COMMAND_MAX for payload in payloads))

    def test_reply_that_no_session_could_carry_is_refused(self):
        with self.assertRaises(FormatError):
            list(pack_replies({"text": "z" * 100000}, command(do="report"), KEY, GATEWAY))


if __name__ == "__main__":
    unittest.main()
