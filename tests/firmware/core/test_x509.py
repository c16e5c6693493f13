"""The dates in a certificate, and bytes that are none."""

import unittest
from binascii import unhexlify

from bridge.core.errors import FormatError
from bridge.core.x509 import validity


def element(tag, body):
    size = len(body)
    head = bytes((tag, size)) if size < 128 else bytes((tag, 0x82)) + size.to_bytes(2, "big")
    return head + body


def certificate(before, after, version=True, padding=200):
    dates = element(0x30, before + after)
    parts = element(0xA0, unhexlify("020102")) if version else b""
    parts += element(0x02, b"\x05") + element(0x30, b"") + element(0x30, bytes(padding)) + dates
    return element(0x30, element(0x30, parts + element(0x30, b"")) + b"")


UTC = element(0x17, b"261124155959Z")
GENERAL = element(0x18, b"20520229000000Z")


class TestValidity(unittest.TestCase):
    def test_both_forms_of_a_date_are_read(self):
        for version in (True, False):
            data = certificate(UTC, GENERAL, version)
            self.assertEqual(validity(data), (1795535999, 2592777600))

    def test_years_of_two_digits_are_1950_to_2049(self):
        old = element(0x17, b"500101000000Z")
        young = element(0x17, b"491231235959Z")
        self.assertEqual(validity(certificate(old, young)), (-631152000, 2524607999))

    def test_what_is_cut_short_is_refused_wherever_it_is_cut(self):
        data = certificate(UTC, GENERAL, padding=20)
        for size in range(len(data)):
            with self.assertRaises(FormatError):
                validity(data[:size])

    def test_other_bytes_are_refused_or_read_and_nothing_else(self):
        data = certificate(UTC, GENERAL, padding=20)
        for at in range(len(data)):
            for byte in (0x00, 0x30, 0x84, 0xFF):
                changed = bytearray(data)
                changed[at] = byte
                try:
                    self.assertEqual(len(validity(changed)), 2)
                except FormatError:
                    pass


if __name__ == "__main__":
    unittest.main()
