"""From a place in the wiring to a medium that works, or to words that say what to do."""

import os
import sys
import unittest

from bridge.core.errors import MediumError
from bridge.storage.medium import open_medium, unprotect
from hil.virtual_board.nor import NorChip
from hil.virtual_board.rp2_flash import Rp2Flash
from hil.virtual_board.w25q import W25q
from tests.support.media import MEGABYTE, HandTime, fresh_path

_FILE = fresh_path()


class Esp32:
    """The board's `esp32` module, with one partition that may be encrypted."""

    encrypted = False

    class Partition:
        TYPE_DATA = 1

        @staticmethod
        def find(kind, label):
            return [Esp32.Partition()] if label == "journal" else []

        def info(self):
            return 1, 0x40, 0, 65536, "journal", Esp32.encrypted


class Rp2:
    """The board's `rp2` module, with a storage area of 64 KB."""

    chip = NorChip(bytearray(b"\xff" * 65536), 65536, program_unit=256)

    @staticmethod
    def Flash(start, len):
        return Rp2Flash(Rp2.chip, start, len)


class Machine:
    """The board's `machine` module, with a chip on bus 1 whose select line is pin 5."""

    time = HandTime()
    chip = W25q(NorChip(bytearray(b"\xff" * MEGABYTE), MEGABYTE, program_unit=256), time.now_us)

    class Pin:
        OUT = 1

        def __init__(self, number, mode=-1, value=None):
            self.number = number
            if number == 5:
                Machine.selected = (mode, value)

        def __call__(self, level):
            if self.number == 5:
                Machine.chip.select(level)

    @staticmethod
    def SPI(bus, baudrate, sck, mosi, miso):
        Machine.wires = (bus, baudrate, sck.number, mosi.number, miso.number)
        return Machine.chip


_SPI = {"medium": "spi_nor", "spi": 1, "sck": 2, "mosi": 3, "miso": 4, "cs": 5}


class TestOpenMedium(unittest.TestCase):
    def setUp(self):
        # The chip's time is the driver's: CPython's has no ticks, and neither moves by hand.
        self.modules = {"esp32": Esp32, "rp2": Rp2, "machine": Machine, "time": Machine.time}
        self.before = {}
        for name in self.modules:
            self.before[name] = sys.modules.get(name)
            sys.modules[name] = self.modules[name]

    def tearDown(self):
        for name in self.before:
            if self.before[name] is None:
                del sys.modules[name]
            else:
                sys.modules[name] = self.before[name]
        Esp32.encrypted = False
        Machine.chip.status = 0

    def refusal(self, place):
        with self.assertRaises(MediumError) as caught:
            open_medium(place)
        return str(caught.exception)

    def check(self, place, blocks):
        part = open_medium(place)
        self.assertEqual((part.ioctl(4, 0), part.ioctl(5, 0)), (blocks, 4096))
        part.writeblocks(1, b"there", 300)
        found = bytearray(7)
        open_medium(place).readblocks(1, found, 299)
        self.assertEqual(found, b"\xffthere\xff")

    def test_a_partition_is_found_by_its_label(self):
        part = open_medium({"medium": "partition", "label": "journal"})
        self.assertIsInstance(part, Esp32.Partition)
        text = self.refusal({"medium": "partition", "label": "keys"})
        self.assertIn("'keys': provision", text)

    def test_an_encrypted_partition_is_refused(self):
        Esp32.encrypted = True
        text = self.refusal({"medium": "partition", "label": "journal"})
        self.assertIn("encrypted", text)

    def test_a_part_of_an_rp2_works(self):
        self.check({"medium": "rp2", "start": 8192, "size": 16384}, 4)

    def test_a_part_that_the_image_did_not_set_aside_is_refused(self):
        text = self.refusal({"medium": "rp2", "start": 61440, "size": 8192})
        self.assertIn("image", text)

    def test_an_external_chip_works(self):
        self.check(dict(_SPI, start=4096, size=40960), 10)
        self.assertEqual(Machine.wires, (1, 20000000, 2, 3, 4))
        self.assertEqual(Machine.selected, (Machine.Pin.OUT, 1))
        self.assertEqual(open_medium(_SPI).ioctl(4, 0), 256)

    def test_a_protected_chip_is_refused_until_it_is_not(self):
        Machine.chip.status = 0x1C
        self.assertIn("bridge.storage.medium.unprotect", self.refusal(_SPI))
        unprotect(_SPI)
        self.assertEqual(open_medium(_SPI).ioctl(4, 0), 256)

    def test_a_file_works(self):
        with open(_FILE, "wb") as file:
            file.write(b"\xff" * 20480)
        try:
            self.check({"medium": "file", "path": _FILE}, 5)
            self.check({"medium": "file", "path": _FILE, "start": 8192, "size": 8192}, 2)
        finally:
            os.remove(_FILE)

    def test_another_medium_is_refused_with_those_there_are(self):
        text = self.refusal({"medium": "sd card"})
        self.assertIn("file, partition, rp2, spi_nor", text)


if __name__ == "__main__":
    unittest.main()
