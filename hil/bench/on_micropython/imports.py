"""What importing the firmware takes, from a file a module, from a bundle, or from ROMFS in place.

The files are on littlefs in memory; a bundle is mounted by the board's own loader.
"""

import gc
import json
import os
import sys
import time

import vfs

_BLOCK = 4096
_BLOCKS = 256


class _Ram:
    """A block device whose operations take no time."""

    def __init__(self):
        self._data = memoryview(bytearray(_BLOCKS * _BLOCK))

    def readblocks(self, number, buffer, offset=0):
        at = number * _BLOCK + offset
        buffer[:] = self._data[at : at + len(buffer)]

    def writeblocks(self, number, buffer, offset=0):
        at = number * _BLOCK + offset
        self._data[at : at + len(buffer)] = buffer

    def ioctl(self, operation, argument):
        return {4: _BLOCKS, 5: _BLOCK, 6: 0}.get(operation)


def _copy(source, target):
    with open(source, "rb") as file:
        data = file.read()
    with open(target, "wb") as file:
        file.write(data)


def _copy_tree(source, target):
    os.mkdir(target)
    for row in os.ilistdir(source):
        copy = _copy_tree if row[1] & 0x4000 else _copy
        copy(source + "/" + row[0], target + "/" + row[0])


def main():
    with open(sys.argv[1]) as file:
        order = json.load(file)
    device = _Ram()
    vfs.VfsLfs2.mkfs(device)
    vfs.mount(vfs.VfsLfs2(device), "/flash")
    os.chdir("/flash")
    before = os.statvfs("/flash")[3]
    if order["how"] == "files":
        _copy_tree(order["files"], "/flash/lib")
    elif order["how"] == "bundle":
        os.mkdir("bundles")
        _copy(order["bundle"], "bundles/a")
        with open("bundles/state", "w") as file:
            file.write('{"now": "a"}')
    blocks = before - os.statvfs("/flash")[3]
    sys.path[:] = [order["loader"], ".frozen"]
    rom = None
    if order["how"] == "romfs":
        with open(order["romfs"], "rb") as file:
            rom = file.read()
    gc.collect()
    start, began = gc.mem_alloc(), time.ticks_us()
    if rom is not None:
        vfs.mount(vfs.VfsRom(rom), "/app")
        sys.path.insert(0, "/app")
    elif order["how"] == "bundle":
        __import__("loader").start()
    else:
        sys.path.insert(0, "/flash/lib")
    for name in order["modules"]:
        __import__(name)
    took_us = time.ticks_diff(time.ticks_us(), began)
    gc.collect()
    print(json.dumps({"blocks": blocks, "heap": gc.mem_alloc() - start, "us": took_us}))


main()
