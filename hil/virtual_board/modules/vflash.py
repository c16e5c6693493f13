"""The one flash chip of a virtual board, whatever its firmware reaches it through.

The rig cuts the power in mid-write: it writes "cut <operations> <seed>" into the power switch; at
that operation the chip is torn, the board says "dead" and does nothing more until it is killed.
"""

import time

import vboard

from hil.virtual_board import nor

settings = vboard.settings["flash"]


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


def open_chip(program_unit, timing):
    """Return the chip; whoever gives no timing models it by other means."""
    return _Chip(
        nor.FileStore(settings["path"], settings["size"]),
        settings["size"],
        program_unit=program_unit,
        timing=timing,
        on_cut=_dead,
    )
