"""What runs on a board to forget; prints how many blocks there are. ORDER comes before this text.

ORDER = {"place": name in the wiring, "first": block, "count": how many, "files": [paths],
         "feed": as in look.py}

A key is cleared to zeros where it stands before its block is erased: an erase that is cut short
may leave what it should take.
"""

import os

import machine
import wiring

from bridge.storage.medium import open_medium

_ZEROS = bytes(256)
_BLANK = b"\xff" * 256


def _is_blank(medium, block, data):
    for offset in range(0, 4096, 256):
        medium.readblocks(block, data, offset)
        if data != _BLANK:
            return False
    return True


def _wipe(medium, block, data):
    if _is_blank(medium, block, data):
        return
    if ORDER["place"] == "KEYS":
        for offset in range(0, 4096, 256):
            medium.writeblocks(block, _ZEROS, offset)
    medium.ioctl(6, block)
    if not _is_blank(medium, block, data):
        raise OSError("block %d is not blank after its erase" % block)


_medium = open_medium(getattr(wiring, ORDER["place"]))
_count = _medium.ioctl(4, 0)
_data = bytearray(256)
for _block in range(ORDER["first"], min(_count, ORDER["first"] + ORDER["count"])):
    if ORDER["feed"]:
        machine.WDT(timeout=8000).feed()
    _wipe(_medium, _block, _data)
for _path in ORDER["files"]:
    try:
        os.remove(_path)
    except OSError:
        pass  # it was not there
print(_count)
