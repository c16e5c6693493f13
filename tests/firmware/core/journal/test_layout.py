"""The bytes of a sector: headers, frames, checks."""

import unittest

from bridge.core.errors import FormatError
from bridge.core.journal import layout


def header():
    made = layout.Header(1, b"gateway1", b"logid--1", 7, 2, 5, 1, 99, 123456, 1790000000000, 2)
    return made.pack(b"0123456789abcdef")


class TestHeader(unittest.TestCase):
    def test_header_round_trips(self):
        parsed = layout.parse_header(header())
        self.assertEqual(parsed.cls, 1)
        self.assertEqual(parsed.number, 7)
        self.assertEqual(parsed.epoch, 2)
        self.assertEqual(parsed.boot, 99)
        self.assertEqual(parsed.mono_ms, 123456)
        self.assertEqual(parsed.utc_ms, 1790000000000)
        self.assertEqual(parsed.clock, 2)
        self.assertEqual(parsed.random, b"0123456789abcdef")
        self.assertFalse(parsed.released)

    def test_released_mark_is_outside_the_check(self):
        data = header()
        for mark, copied, released in (
            (0x00, True, True),
            (0x0F, True, False),
            (0x5A, False, False),
        ):
            data[layout.RELEASED_AT] = mark
            self.assertEqual(layout.parse_header(data).copied, copied)
            self.assertEqual(layout.parse_header(data).released, released)

    def test_every_cleared_or_missing_bit_is_found(self):
        whole = header()
        for index in range(layout.HEADER_SIZE):
            if index == layout.RELEASED_AT:
                continue
            for bit in range(8):
                data = bytearray(whole)
                data[index] ^= 1 << bit
                with self.assertRaises(FormatError):
                    layout.parse_header(data)

    def test_short_header_is_refused(self):
        with self.assertRaises(FormatError):
            layout.parse_header(header()[:20])


def frame(plain):
    made = bytearray(len(plain) + layout.COMMIT_OVERHEAD)
    start = layout.put_length(made, len(plain))
    made[start : start + len(plain)] = plain
    return made[: layout.put_check(made, start + len(plain))]


class TestFrames(unittest.TestCase):
    def test_frame_size_is_what_is_written(self):
        for length in (1, 30, 31, 222, 223, 224, 1000, layout.COMMIT_MAX):
            self.assertEqual(len(frame(bytes(length))), layout.frame_size(length))

    def test_frame_is_found_and_ends_never_with_ones(self):
        for length in (1, 30, 31, 223, 224, 1000):
            for fill in (0x00, 0xFF, 0x55):
                made = frame(bytes((fill,)) * length)
                self.assertNotEqual(made[-1], 0xFF)
                sector = bytearray(b"\xff" * layout.SECTOR_SIZE)
                sector[70 : 70 + len(made)] = made
                kind, start, stop, after = layout.look(sector, 70, 4096)
                self.assertEqual(kind, layout.COMMIT)
                self.assertEqual(stop - start, length)
                self.assertEqual(after, 70 + len(made))

    def test_torn_frame_that_a_resume_would_complete_is_no_commit(self):
        # Power went when seven bytes of a commit were programmed, up to the end of a page; the
        # next boot's resume stands behind them, and now and then the count happens to fit.
        at = 249
        fitting = 0
        for number in range(2000):
            sector = bytearray(b"\xff" * layout.SECTOR_SIZE)
            sector[at : at + 7] = b"\x0b" + bytes(
                (number * 7 + index & 0xFF for index in range(6))
            )
            random = bytes(((number * index * 31 + number >> 3) & 0xFF for index in range(8)))
            resume = layout.pack_resume(random, 5, 1000, 0, 0)
            sector[256 : 256 + len(resume)] = resume
            zeros = sum(8 - bin(byte).count("1") for byte in sector[at : at + 12])
            fitting += sector[at + 12] == zeros
            for end in range(at + 1, 256 + len(resume) + 1):
                self.assertEqual(layout.look(sector, at, end)[0], layout.END)
            self.assertEqual(layout.look(sector, at, 4096)[0], layout.END)
        self.assertGreater(fitting, 5)

    def test_commit_with_the_first_byte_of_a_resume_on_a_page_is_one(self):
        plain = b"\xfdVK" + bytes(8)
        made = frame(plain)
        sector = bytearray(b"\xff" * layout.SECTOR_SIZE)
        sector[255 : 255 + len(made)] = made
        self.assertEqual(layout.look(sector, 255, 255 + len(made))[0], layout.COMMIT)

    def test_no_torn_frame_passes(self):
        # Every prefix, and many random subsets of the bits still to be cleared.
        random = 12345
        for length in (1, 2, 29, 30, 31, 40, 223, 224):
            made = frame(bytes(index * 37 & 0xFF for index in range(length)))
            for cut in range(len(made)):
                self.assert_torn(made[:cut])
            for _ in range(60):
                torn = bytearray(made)
                for index in range(len(torn)):
                    random = (random * 1103515245 + 12345) & 0x3FFFFFFF
                    torn[index] |= random >> 8 & 0xFF
                if torn != made:
                    self.assert_torn(torn)

    def assert_torn(self, written):
        sector = bytearray(b"\xff" * layout.SECTOR_SIZE)
        sector[70 : 70 + len(written)] = written
        self.assertEqual(layout.look(sector, 70, 4096)[0], layout.END)

    def test_resume_counts_only_on_a_page(self):
        resume = layout.pack_resume(b"12345678", 5, 77, 0, 0)
        for at, kind in ((256, layout.RESUME), (300, layout.END), (3840, layout.RESUME)):
            sector = bytearray(b"\xff" * layout.SECTOR_SIZE)
            sector[at : at + len(resume)] = resume
            self.assertEqual(layout.look(sector, at, 4096)[0], kind)
            self.assertEqual(layout.parse_resume(sector, at), (b"12345678", 5, 77, 0, 0))

    def test_seal_round_trips_and_a_torn_one_is_none(self):
        seal = layout.pack_seal(2000, b"0123456789abcdef")
        self.assertEqual(len(seal), layout.SEAL_SIZE)
        self.assertEqual(layout.parse_seal(seal, 0), (2000, b"0123456789abcdef"))
        for index in range(len(seal)):
            torn = bytearray(seal)
            torn[index] = 0xFF
            if torn != seal:
                self.assertIsNone(layout.parse_seal(torn, 0))


if __name__ == "__main__":
    unittest.main()
