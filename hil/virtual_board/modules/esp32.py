"""`esp32.Partition` on a strict NOR chip in a file. Its erases and programs take their time.

The rig cuts the power in mid-write: it writes "cut <operations> <seed>" into the power switch; at
that operation the chip is torn, the board says "dead" and does nothing more until it is killed.
"""

import time

import vboard

from hil.virtual_board.nor import FileStore, NorChip, Timing
from hil.virtual_board.nor import Partition as _Part

_flash = vboard.settings["flash"]


def _dead():
    vboard.tell("power", "dead")
    while True:
        time.sleep(1)


_chip = NorChip(
    FileStore(_flash["path"], _flash["size"]),
    _flash["size"],
    timing=Timing(time.sleep_ms),
    on_cut=_dead,
)


def _heed_the_rig():
    asked = vboard.take_switch("power")
    if asked:
        _, operations, seed = asked.split()
        _chip.cut_after(int(operations), int(seed))


class Partition:
    """esp32.Partition; Partition("journal") or Partition.find(label="journal")."""

    TYPE_APP = 0
    TYPE_DATA = 1
    BOOT = 0
    RUNNING = 1

    def __init__(self, label):
        if label not in _flash["partitions"]:
            raise OSError(2)
        offset, size = _flash["partitions"][label]
        self._label = label
        self._place = (offset, size)
        self._part = _Part(_chip, offset, size)

    @staticmethod
    def find(type=TYPE_APP, subtype=0xFF, label=None):
        if type != Partition.TYPE_DATA or label not in _flash["partitions"]:
            return []
        return [Partition(label)]

    def info(self):
        return self.TYPE_DATA, 0x40, self._place[0], self._place[1], self._label, False

    def readblocks(self, block, buffer, offset=0):
        self._part.readblocks(block, buffer, offset)

    def writeblocks(self, block, buffer, offset=None):
        _heed_the_rig()
        self._part.writeblocks(block, buffer, offset)

    def ioctl(self, operation, argument):
        if operation == 6:
            _heed_the_rig()
        return self._part.ioctl(operation, argument)
