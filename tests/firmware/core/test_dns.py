"""Questions to a name server, and answers good and bad."""

import unittest

from bridge.core import dns
from bridge.core.errors import FormatError

HOST = "broker.ward.example"
QUESTION = dns.query(0x1234, HOST)
POINTER = b"\xc0\x0c"  # to the name in the question


def message(*records, flags=0x8180, question=QUESTION, count=None):
    count = len(records) if count is None else count
    head = question[:2] + flags.to_bytes(2, "big") + b"\x00\x01"
    head += count.to_bytes(2, "big") + bytes(4)
    return head + question[12:] + b"".join(records)


def record(name, kind, data, ttl=300):
    head = kind.to_bytes(2, "big") + b"\x00\x01" + ttl.to_bytes(4, "big")
    return name + head + len(data).to_bytes(2, "big") + data


ADDRESS = record(POINTER, 1, bytes((10, 0, 0, 5)))


class TestQuery(unittest.TestCase):
    def test_question_is_what_the_standard_draws(self):
        expected = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
        expected += b"\x06broker\x04ward\x07example\x00\x00\x01\x00\x01"
        self.assertEqual(QUESTION, expected)

    def test_names_that_cannot_be_asked_for_are_refused(self):
        for host in ("", "a..b", ".a", "x" * 64, ".".join(["x" * 60] * 5)):
            with self.subTest(host=host), self.assertRaises(FormatError):
                dns.query(1, host)


class TestAnswer(unittest.TestCase):
    def test_address_and_its_time_to_live(self):
        self.assertEqual(dns.parse_answer(message(ADDRESS), QUESTION), ("10.0.0.5", 300))

    def test_first_address_of_many_and_other_types_do_not_matter(self):
        text = record(POINTER, 16, b"\x04text")
        other = record(POINTER, 1, bytes((10, 0, 0, 6)))
        answer = message(text, ADDRESS, other)
        self.assertEqual(dns.parse_answer(answer, QUESTION)[0], "10.0.0.5")

    def test_alias_is_followed_wherever_it_stands_and_its_time_counts(self):
        target = b"\x01a\x07example\x00"
        alias = record(POINTER, 5, target, 20)
        address = record(target, 1, bytes((10, 9, 8, 7)), 90)
        for answer in (message(alias, address), message(address, alias)):
            self.assertEqual(dns.parse_answer(answer, QUESTION), ("10.9.8.7", 20))

    def test_capitals_do_not_matter(self):
        loud = message(ADDRESS).replace(b"broker", b"BroKer")
        self.assertEqual(dns.parse_answer(loud, QUESTION)[0], "10.0.0.5")

    def test_no_such_name_and_a_name_without_address_are_no_fault_of_the_server(self):
        for answer in (message(flags=0x8183), message()):
            self.assertEqual(dns.parse_answer(answer, QUESTION), (None, 0))

    def test_what_answers_another_question_is_not_taken(self):
        good = message(ADDRESS)
        others = (
            b"\x12\x35" + good[2:],
            good.replace(b"ward", b"word"),
            message(ADDRESS, flags=0x0100),
            QUESTION,
            b"",
        )
        for answer in others:
            self.assertFalse(dns.is_answer(answer, QUESTION))
            with self.assertRaises(FormatError):
                dns.parse_answer(answer, QUESTION)

    def test_servers_that_fail_and_torn_answers_are_told_apart_from_no_address(self):
        good = message(ADDRESS)
        for flags in (0x8182, 0x8185, 0x8380):
            with self.assertRaises(FormatError):
                dns.parse_answer(message(ADDRESS, flags=flags), QUESTION)
        for end in range(len(QUESTION), len(good)):
            with self.assertRaises(FormatError):
                dns.parse_answer(good[:end], QUESTION)

    def test_names_that_lead_in_circles_have_an_end(self):
        at = len(QUESTION)
        itself = record(b"\xc0" + bytes((at,)), 1, bytes(4))
        forward = record(b"\xc0\xff", 1, bytes(4))
        growing = record(b"\x01a\xc0" + bytes((at,)), 1, bytes(4))
        mutual = record(POINTER, 5, b"\x01a\x00"), record(b"\x01a\x00", 5, POINTER)
        for records in ((itself,), (forward,), (growing,), mutual):
            with self.assertRaises(FormatError):
                dns.parse_answer(message(*records), QUESTION)


if __name__ == "__main__":
    unittest.main()
