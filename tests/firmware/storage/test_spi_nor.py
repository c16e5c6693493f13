"""The driver against a chip that is as strict as its data sheet, and every way a chip fails it."""

import errno
import unittest

from micropython import heap_lock, heap_unlock

from bridge.core.errors import MediumError
from bridge.storage.spi_nor import SpiNor
from hil.virtual_board.nor import NorChip, Random
from hil.virtual_board.w25q import W25q
from tests.support.media import MEGABYTE, HandTime

_POWER_DOWN = b"\xb9"


class SparseStore:
    """A chip's contents, of which only the pages that are not blank take memory."""

    def __init__(self):
        self._pages = {}

    def read(self, offset, buffer):
        blank = b"\xff" * 256
        for index in range(len(buffer)):
            place = offset + index
            buffer[index] = self._pages.get(place // 256, blank)[place % 256]

    def write(self, offset, data):
        self._pages[offset // 256] = bytes(data)


def make_chip(kind=W25q, size=MEGABYTE, store=None):
    """Return a blank chip on its bus, with its time in `time`."""
    time = HandTime()
    store = store or bytearray(b"\xff" * size)
    chip = kind(NorChip(store, size, program_unit=256), time.now_us)
    chip.time = time
    return chip


def open_part(chip, *part):
    return SpiNor(chip, chip.select, chip.time, *part)


def command(chip, data):
    chip.select(0)
    chip.write(data)
    chip.select(1)


def read(part, block, offset, size):
    buffer = bytearray(size)
    part.readblocks(block, buffer, offset)
    return bytes(buffer)


class OtherId(W25q):
    """A chip, or none, that answers every command with the same three bytes."""

    answer = b"\xff\xff\xff"

    def readinto(self, buffer, write=0x00):
        if len(buffer) == 3:
            buffer[:] = self.answer
        elif self.answer[0] in (0x00, 0xFF):
            buffer[:] = self.answer[:1] * len(buffer)
        else:
            super().readinto(buffer, write)


class Deaf(W25q):
    """A chip that hears no program and no erase, though it says that it would."""

    def _change(self, code):
        self.ignored += 1


class Stubborn(W25q):
    """A chip that takes no permission to write."""

    def write(self, data):
        if data[0] != 0x06:
            super().write(data)


class TestIdentity(unittest.TestCase):
    def test_the_size_is_what_the_chip_says(self):
        for power in (20, 22, 24):
            chip = make_chip(size=1 << power, store=SparseStore())
            part = open_part(chip)
            self.assertEqual(part.chip_size, 1 << power)
            self.assertEqual((part.ioctl(4, 0), part.ioctl(5, 0)), (1 << power - 12, 4096))
            self.assertIsNone(part.ioctl(1, 0))
            last = (1 << power - 12) - 1
            part.writeblocks(last, b"end", 4093)
            self.assertEqual(read(part, last, 4092, 4), b"\xffend")
            for block in (0, 15, 127):  # where fewer bits of the address would lead
                self.assertEqual(read(part, block, 4092, 4), b"\xff" * 4)
            self.assertEqual((chip.ignored, chip.unknown), (0, 0))

    def test_what_is_no_such_chip_is_refused(self):
        for answer, word in (
            (b"\xff\xff\xff", "not there"),  # nothing pulls the line down: it looks busy
            (b"\x00\x00\x00", "none answers"),
            (b"\xef\x40\x19", "id ef4019, want"),  # 32 MB
            (b"\xef\x40\x13", "id ef4013, want"),  # 512 KB
        ):
            chip = make_chip(OtherId)
            chip.answer = answer
            with self.assertRaises(MediumError) as caught:
                open_part(chip)
            self.assertIn(word, str(caught.exception))

    def test_a_chip_that_sleeps_is_woken(self):
        chip = make_chip()
        command(chip, _POWER_DOWN)
        part = open_part(chip)
        self.assertFalse(chip.powered_down)
        part.writeblocks(0, b"abc", 0)
        self.assertEqual(read(part, 0, 0, 3), b"abc")

    def test_an_erase_that_a_reset_left_under_way_is_waited_for(self):
        chip = make_chip()
        chip.erase_us = 400000
        command(chip, b"\x06")
        command(chip, b"\x20\x00\x00\x00")
        self.assertTrue(chip.is_busy())
        self.assertEqual(open_part(chip).chip_size, MEGABYTE)
        self.assertGreater(chip.time.slept_ms, 300)

    def test_a_part_outside_the_chip_is_refused(self):
        for part in (
            (0, MEGABYTE + 4096),
            (MEGABYTE,),
            (MEGABYTE - 4096, 8192),
            (-4096, 4096),
            (100, 4096),
            (0, 4097),
            (0, 0),
        ):
            with self.assertRaises(MediumError):
                open_part(make_chip(), *part)


class TestWork(unittest.TestCase):
    def setUp(self):
        self.chip = make_chip()
        self.part = open_part(self.chip, 8192, 16384)
        self.store = self.chip.chip.store

    def tearDown(self):
        self.assertEqual(self.chip.chip.violations, 0)
        self.assertEqual((self.chip.ignored, self.chip.unknown), (0, 0))

    def test_any_length_at_any_offset_is_programmed_where_it_belongs(self):
        random = Random(5)
        model = bytearray(b"\xff" * 16384)
        for _ in range(300):
            size = 1 + random.below(700)
            at = random.below(16384 - size)
            data = bytearray(random.below(256) for _ in range(size))
            for index in range(size):
                data[index] &= model[at + index]  # only what clears bits
            model[at : at + size] = data
            self.part.writeblocks(at // 4096, data, at % 4096)
        self.assertEqual(self.store[8192 : 8192 + 16384], model)
        self.assertEqual(self.store[:8192], b"\xff" * 8192)
        self.assertEqual(self.store[8192 + 16384 :], b"\xff" * (MEGABYTE - 24576))
        self.assertEqual(read(self.part, 1, 77, 5000), bytes(model[4173:9173]))
        self.assertEqual(self.chip.chip.erases, 0)

    def test_ones_around_the_bytes_change_nothing_and_cost_no_program(self):
        self.part.writeblocks(0, b"\x00" * 256, 0)
        before = self.chip.chip.programs
        self.part.writeblocks(0, b"\xff" * 700, 0)
        self.assertEqual(self.chip.chip.programs, before)
        # As the journal pads: the ones reach into the next page, the bytes do not.
        self.part.writeblocks(0, b"ab" + b"\xff" * 14, 508)
        self.assertEqual(self.chip.chip.programs, before + 1)
        self.assertEqual(read(self.part, 0, 508, 3), b"ab\xff")

    def test_a_write_across_pages_is_one_program_a_page(self):
        self.part.writeblocks(0, b"\x00" * 600, 250)
        self.assertEqual(self.chip.chip.programs, 4)
        self.assertEqual(read(self.part, 0, 249, 602), b"\xff" + bytes(600) + b"\xff")

    def test_a_write_without_offset_erases_first(self):
        self.part.writeblocks(1, b"\x00" * 10, 4000)
        self.part.writeblocks(0, b"\x55" * 8192)
        self.assertEqual(read(self.part, 0, 0, 8192), b"\x55" * 8192)
        self.assertEqual(list(self.chip.chip.wear)[:6], [0, 0, 1, 1, 0, 0])
        with self.assertRaises(OSError):
            self.part.writeblocks(0, b"short")

    def test_an_erase_sets_one_block_to_ones(self):
        self.part.writeblocks(0, bytes(8192), 0)
        self.assertEqual(self.part.ioctl(6, 1), 0)
        self.assertEqual(read(self.part, 0, 4095, 2), b"\x00\xff")
        self.assertEqual(list(self.chip.chip.wear)[:6], [0, 0, 0, 1, 0, 0])

    def test_nothing_outside_the_part_is_touched(self):
        for call in (
            lambda: self.part.ioctl(6, 4),
            lambda: self.part.ioctl(6, -1),
            lambda: self.part.writeblocks(4, b"a", 0),
            lambda: self.part.writeblocks(3, b"ab", 4095),
            lambda: self.part.writeblocks(3, bytes(8192)),
            lambda: self.part.writeblocks(0, b"a", -1),
            lambda: self.part.readblocks(-1, bytearray(1)),
            lambda: self.part.readblocks(3, bytearray(2), 4095),
        ):
            with self.assertRaises(OSError) as caught:
                call()
            self.assertEqual(caught.exception.args[0], errno.EINVAL)
        self.assertEqual(self.chip.chip.erases + self.chip.chip.programs, 0)

    def test_two_parts_share_a_chip(self):
        other = open_part(self.chip, 0, 8192)
        other.writeblocks(1, b"other", 4091)
        self.part.writeblocks(0, b"part", 0)
        self.assertEqual(self.store[8187:8196], b"otherpart")


class TestTime(unittest.TestCase):
    def test_the_slowest_chip_that_the_data_sheet_allows_is_waited_for(self):
        chip = make_chip()
        chip.program_us, chip.erase_us = 3000, 400000
        part = open_part(chip)
        part.writeblocks(0, b"\x00" * 300, 0)
        part.ioctl(6, 0)
        self.assertEqual(read(part, 0, 0, 1), b"\xff")
        self.assertEqual(chip.ignored, 0)

    def test_a_slower_chip_is_given_up(self):
        chip = make_chip()
        part = open_part(chip)
        chip.program_us, chip.erase_us = 20000, 500000
        for call in (lambda: part.writeblocks(0, b"a", 0), lambda: part.ioctl(6, 0)):
            with self.assertRaises(OSError) as caught:
                call()
            self.assertEqual(caught.exception.args[0], errno.ETIMEDOUT)
            # Nor is what it says meanwhile taken for its contents.
            self.assertTrue(chip.is_busy())
            with self.assertRaises(OSError) as caught:
                part.readblocks(0, bytearray(1), 0)
            self.assertEqual(caught.exception.args[0], errno.ETIMEDOUT)
            while chip.is_busy():
                chip.time.sleep_ms(1)
        self.assertEqual(part.page, b"\xff" * 256)

    def test_a_chip_that_is_busy_for_ever_is_refused_at_start(self):
        chip = make_chip()
        chip.erase_us = 1 << 29
        command(chip, b"\x06")
        command(chip, b"\x20\x00\x00\x00")
        with self.assertRaises(MediumError) as caught:
            open_part(chip)
        self.assertIn("busy for 400 ms", str(caught.exception))


class TestRefusals(unittest.TestCase):
    def assert_errno(self, number, *call):
        with self.assertRaises(OSError) as caught:
            call[0](*call[1:])
        self.assertEqual(caught.exception.args[0], number)

    def test_a_protected_chip_is_found_before_a_write_is_lost(self):
        for status, status_2 in ((0x04, 0), (0x1C, 0), (0x00, 0x40)):
            chip = make_chip()
            chip.status, chip.status_2 = status, status_2
            part = open_part(chip)
            with self.assertRaises(MediumError) as caught:
                part.check_protection()
            self.assertIn("unprotect", str(caught.exception))
            part.unprotect()
            part.check_protection()
            part.writeblocks(0, b"abc", 0)
            self.assertEqual(read(part, 0, 0, 3), b"abc")

    def test_protection_held_by_a_pin_stays_and_is_said(self):
        chip = make_chip()
        chip.status, chip.protected_pin = 0x9C, True
        part = open_part(chip)
        self.assertRaises(MediumError, part.unprotect)

    def test_a_chip_that_is_protected_later_takes_no_write_silently(self):
        chip = make_chip()
        part = open_part(chip)
        chip.status = 0x1C
        self.assert_errno(errno.EACCES, part.writeblocks, 0, b"abc", 0)
        self.assert_errno(errno.EACCES, part.ioctl, 6, 0)
        self.assertEqual(chip.chip.programs + chip.chip.erases, 0)

    def test_other_makers_are_not_asked_for_a_second_status(self):
        # To some of them that command means something else.
        chip = make_chip(OtherId)
        chip.answer = b"\xc2\x20\x14"
        chip.status_2 = 0x40
        open_part(chip).check_protection()
        chip.status = 0x08
        self.assertRaises(MediumError, open_part(chip).check_protection)
        open_part(chip).unprotect()
        self.assertEqual((chip.status, chip.status_2), (0, 0x40))

    def test_a_command_that_was_not_heard_is_an_error(self):
        chip = make_chip(Deaf)
        part = open_part(chip)
        self.assert_errno(errno.EIO, part.writeblocks, 0, b"abc", 0)
        self.assert_errno(errno.EIO, part.ioctl, 6, 0)
        self.assertEqual(chip.ignored, 2)

    def test_a_chip_that_fell_asleep_is_an_error(self):
        chip = make_chip()
        part = open_part(chip)
        command(chip, _POWER_DOWN)
        self.assert_errno(errno.ETIMEDOUT, part.writeblocks, 0, b"abc", 0)
        self.assert_errno(errno.ETIMEDOUT, part.readblocks, 0, bytearray(3), 0)
        self.assertEqual(chip.chip.programs, 0)

    def test_a_chip_that_does_not_let_us_write_is_an_error(self):
        chip = make_chip(Stubborn)
        part = open_part(chip)
        self.assert_errno(errno.EIO, part.writeblocks, 0, b"abc", 0)
        self.assert_errno(errno.EIO, part.ioctl, 6, 0)
        self.assertEqual(chip.chip.programs + chip.chip.erases, 0)

    def test_a_bus_that_fails_leaves_the_chip_deselected(self):
        chip = make_chip()
        part = open_part(chip)
        part.writeblocks(1, b"before", 0)
        good = chip.write
        for failing in range(1, 7):
            calls = []

            def write(data, failing=failing, calls=calls):
                calls.append(1)
                if len(calls) == failing:
                    good(data[:1])
                    raise OSError(errno.EIO)
                good(data)

            chip.write = write
            self.assert_errno(errno.EIO, part.writeblocks, 0, b"a", 0)
            chip.write = good
            while chip.is_busy():
                chip.time.sleep_ms(1)
            self.assertEqual(read(part, 1, 0, 6), b"before")
            part.writeblocks(0, b"a", 0)
            self.assertEqual(read(part, 0, 0, 2), b"a\xff")


class StillBus:
    """A bus and a chip of 8 KB that allocate nothing, so that what is left is the driver."""

    def __init__(self):
        self.cells = bytearray(b"\xff" * 8192)
        self.selected = False
        self.status = 0
        self.code = 0
        self.at = -1

    def select(self, level):
        if level and self.selected:
            if self.code in (0x02, 0x20):
                self.status = 0
            if self.code == 0x06:
                self.status = 2
            if self.code == 0x20:
                for index in range(4096):
                    self.cells[self.at + index] = 0xFF
        self.selected = not level
        self.at = -1

    def write(self, data):
        if self.at < 0:
            self.code = data[0]
            self.at = 0
            if len(data) == 4:
                self.at = data[1] << 16 | data[2] << 8 | data[3]
            return
        for index in range(len(data)):
            self.cells[self.at + index] &= data[index]
        self.at += len(data)

    def readinto(self, buffer):
        for index in range(len(buffer)):
            if self.code == 0x05:
                buffer[index] = self.status
            elif self.code == 0x9F:
                buffer[index] = (0xEF, 0x40, 0x14)[index]
            else:
                buffer[index] = self.cells[self.at + index]


class TestMemory(unittest.TestCase):
    def test_no_read_and_no_write_allocates(self):
        bus = StillBus()
        part = SpiNor(bus, bus.select, HandTime(), 0, 8192)
        data = bytes(range(256)) * 2
        found = bytearray(512)
        heap_lock()
        try:
            part.writeblocks(0, data, 100)
            part.readblocks(0, found, 100)
            same = found == data
            part.ioctl(6, 0)
            part.readblocks(0, found, 100)
        finally:
            heap_unlock()
        self.assertTrue(same)
        self.assertEqual(found, b"\xff" * 512)


if __name__ == "__main__":
    unittest.main()
