"""Mounts the files of an RP2 board whose own flash also holds the log; in place of the port's.

The port's own _boot.py takes the whole storage area for files and formats it when in doubt, log
and all. This one keeps to `wiring.FILES` and formats nothing but blank flash.
"""

import rp2
import vfs
import wiring

_files = rp2.Flash(start=wiring.FILES["start"], len=wiring.FILES["size"])
try:
    vfs.mount(vfs.VfsLfs2(_files, progsize=256), "/")
except OSError:
    _block = bytearray(4096)
    _files.readblocks(0, _block)
    if any(_byte != 0xFF for _byte in _block):
        print("files: cannot be read, and were left as they are (vitalkeep flash --format-files)")
    else:
        vfs.VfsLfs2.mkfs(_files, progsize=256)
        vfs.mount(vfs.VfsLfs2(_files, progsize=256), "/")
