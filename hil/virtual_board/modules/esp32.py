"""`esp32.Partition` on a strict NOR chip in a file. Its erases and programs take their time.

The rig cuts the power in mid-write: it writes "cut <operations> <seed>" into the power switch; at
that operation the chip is torn, the board says "dead" and does nothing more until it is killed.
"""

import errno
import time

import vboard

from hil.virtual_board import nor

_flash = vboard.settings["flash"]


def _dead():
    vboard.tell("power", "dead")
    while True:
        time.sleep(1)


class _Chip(nor.NorChip):
    """A chip that looks at the rig's power switch before it changes anything."""

    def program(self, offset, data):
        self._heed_the_rig()
        super().program(offset, data)

    def erase(self, sector):
        self._heed_the_rig()
        super().erase(sector)

    def _heed_the_rig(self):
        asked = vboard.take_switch("power")
        if asked:
            _, operations, seed = asked.split()
            self.cut_after(int(operations), int(seed))


_chip = _Chip(
    nor.FileStore(_flash["path"], _flash["size"]),
    _flash["size"],
    program_unit=_flash.get("program_unit", 1),
    timing=nor.Timing(time.sleep_ms),
    on_cut=_dead,
)


class Partition:
    """esp32.Partition; Partition("journal") or Partition.find(label="journal")."""

    TYPE_APP = 0
    TYPE_DATA = 1
    BOOT = 0
    RUNNING = 1

    def __init__(self, label):
        if label not in _flash["partitions"]:
            raise OSError(errno.ENOENT)
        offset, size = _flash["partitions"][label]
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
        labels = sorted(_flash["partitions"])
        return [Partition(name) for name in labels if label is None or name == label]

    def info(self):
        """Return (type, subtype, address, size, label, encrypted)."""
        return self.TYPE_DATA, 0x40, self._place[0], self._place[1], self._label, False
