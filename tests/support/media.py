"""Each medium of the log, on a chip of its own, provisioned as in tests.support.gateway."""

import os
from binascii import hexlify

from bridge.core.journal.layout import SECTOR_SIZE
from bridge.storage.file_medium import FileMedium
from bridge.storage.page_flash import PageFlash
from bridge.storage.spi_nor import SpiNor
from hil.virtual_board.nor import NorChip, Partition, PowerCut
from hil.virtual_board.rp2_flash import Rp2Flash
from hil.virtual_board.w25q import W25q
from tests.support.gateway import KEY_BLOCKS, Flash

MEGABYTE = 1 << 20
_KEYS_SIZE = KEY_BLOCKS * SECTOR_SIZE
_START = 2 * SECTOR_SIZE  # what lies before is not ours


def fresh_path():
    """Return the name of a file that is not there yet."""
    return "/tmp/vitalkeep_media_" + hexlify(os.urandom(8)).decode()


class HandTime:
    """A board's time that passes when it is looked at, 10 us a look, and when it is slept."""

    def __init__(self):
        self.us = (1 << 30) - 5000
        self.slept_ms = 0

    def now_us(self):
        self.us += 10
        return self.us

    def ticks_ms(self):
        return self.now_us() // 1000 % (1 << 30)

    def ticks_diff(self, end, start):
        return (end - start + (1 << 29)) % (1 << 30) - (1 << 29)

    def sleep_ms(self, duration_ms):
        self.slept_ms += duration_ms
        self.us += 1000 * duration_ms


class ByteChip:
    """Programs bytes, as `esp32.Partition`."""

    name = "partition"

    def __init__(self, image):
        self.chip = NorChip(_blank(image, _START + len(image)), _START + len(image))

    def open(self):
        """Return (keys, log), as a boot finds them."""
        size = self.chip.size - _START
        return (
            Partition(self.chip, _START, _KEYS_SIZE),
            Partition(self.chip, _START + _KEYS_SIZE, size - _KEYS_SIZE),
        )

    def contents(self):
        return bytes(self.chip.store[_START : self.chip.size])


class PageChip(ByteChip):
    """Programs pages: the flash of an RP2."""

    name = "rp2"

    def __init__(self, image):
        size = _START + len(image)
        self.chip = NorChip(_blank(image, size), size, program_unit=256)

    def open(self):
        size = self.chip.size - _START - _KEYS_SIZE
        return (
            PageFlash(Rp2Flash(self.chip, _START, _KEYS_SIZE), _KEYS_SIZE),
            PageFlash(Rp2Flash(self.chip, _START + _KEYS_SIZE, size), size),
        )


class SpiChip:
    """A W25Q80 behind the driver."""

    name = "spi_nor"

    def __init__(self, image):
        self.chip = NorChip(_blank(image, MEGABYTE), MEGABYTE, program_unit=256)
        self.time = HandTime()
        self.w25q = W25q(self.chip, self.time.now_us)
        self._size = len(image)

    def open(self):
        self.w25q.restart()
        bus = (self.w25q, self.w25q.select, self.time)
        return (
            SpiNor(*bus, start=_START, size=_KEYS_SIZE),
            SpiNor(*bus, start=_START + _KEYS_SIZE, size=self._size - _KEYS_SIZE),
        )

    def contents(self):
        return bytes(self.chip.store[_START : _START + self._size])


class _CutFile(FileMedium):
    """A file whose writes may be cut short, as a chip's are."""

    def __init__(self, chip, *part):
        super().__init__(*part)
        self._chip = chip

    def _write(self, address, data):
        if self._chip.is_cut():
            super()._write(address, data[: len(data) // 2])
            raise PowerCut
        super()._write(address, data)
        self._chip.writes += 1


class FileChip:
    """A plain file. It is its own chip: the power may go in the midst of one write."""

    name = "file"
    programs = violations = 0

    def __init__(self, image):
        self.path = fresh_path()
        with open(self.path, "wb") as file:
            file.write(b"\xff" * _START)
            file.write(image)
        self.chip = self
        self.writes = 0
        self._left = -1
        self._size = len(image)
        self._parts = ()

    @property
    def erases(self):
        return self.writes

    def cut_after(self, operations, seed):
        self._left = operations

    def is_cut(self):
        self._left -= self._left > 0
        return self._left == 0

    def power_on(self):
        self._left = -1

    def open(self):
        self.close()
        self._parts = (
            _CutFile(self, self.path, _START, _KEYS_SIZE),
            _CutFile(self, self.path, _START + _KEYS_SIZE, self._size - _KEYS_SIZE),
        )
        return self._parts

    def contents(self):
        with open(self.path, "rb") as file:
            return file.read()[_START:]

    def close(self):
        for part in self._parts:
            part.close()

    def remove(self):
        self.close()
        os.remove(self.path)


def _blank(image, size):
    store = bytearray(b"\xff" * size)
    store[_START : _START + len(image)] = image
    return store


MEDIA = (ByteChip, PageChip, SpiChip, FileChip)


def provisioned_image(sectors):
    """Return what the keys and a blank log of `sectors` are right after provisioning."""
    return bytes(Flash(sectors).chip.store)


class MediumGateway(Flash):
    """A gateway whose keys and log are on one of MEDIA.

    image  what the chip holds, as from `provisioned_image` or `contents`
    boots  how often it has booted before
    """

    def __init__(self, carrier, image, boots=0):
        super().__init__()
        self.carrier = carrier(image)
        self.chip = self.carrier.chip
        self.boots = boots

    def boot(self):
        """Return (journal, clock) after a power-on."""
        self.keys, self.log = self.carrier.open()
        self.medium = self.log
        return super().boot()

    def remove(self):
        """Leave nothing behind."""
        if isinstance(self.carrier, FileChip):
            self.carrier.remove()
