"""`esp32.Partition` on a strict NOR chip in a file. Its erases and programs take their time."""

import errno

import uart
import vflash

from hil.virtual_board import nor

_partitions = vflash.settings["partitions"]
_chip = vflash.open_chip(vflash.settings.get("program_unit", 1), nor.Timing(uart.stand_still_ms))


class Partition:
    """esp32.Partition; Partition("journal") or Partition.find(label="journal")."""

    TYPE_APP = 0
    TYPE_DATA = 1
    BOOT = 0
    RUNNING = 1

    def __init__(self, label):
        if label not in _partitions:
            raise OSError(errno.ENOENT)
        offset, size = _partitions[label]
        self._label = label
        self._place = (offset, size)
        part = nor.Partition(_chip, offset, size)
        self.readblocks = part.readblocks
        self.writeblocks = part.writeblocks
        self.ioctl = part.ioctl

    @staticmethod
    def find(type=TYPE_APP, subtype=0xFF, label=None, block_size=4096):
        if type != Partition.TYPE_DATA:
            return []
        labels = sorted(_partitions)
        return [Partition(name) for name in labels if label is None or name == label]

    def info(self):
        """Return (type, subtype, address, size, label, encrypted)."""
        return self.TYPE_DATA, 0x40, self._place[0], self._place[1], self._label, False
