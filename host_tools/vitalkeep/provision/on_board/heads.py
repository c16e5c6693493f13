"""What runs on a board to say how far its log goes; prints one literal. ORDER comes before.

ORDER = {"feed": as in look.py}

For each class: the oldest sector held, the newest, the bytes in it, and 8 bytes of their SHA-256,
the released mark as never cleared. -1 for none.
"""

import binascii
import hashlib

import machine
import wiring

from bridge.core.journal import layout
from bridge.core.journal.flash import SectorFlash
from bridge.core.journal.keyring import KeyRing
from bridge.core.journal.pool import Pool
from bridge.storage.medium import open_medium

_RELEASED_AT = 7


def _digest(medium, sector, end):
    state = hashlib.sha256()
    data = bytearray(256)
    view = memoryview(data)
    for offset in range(0, end, 256):
        medium.readblocks(sector, data, offset)
        if not offset:
            data[_RELEASED_AT] = 0xFF
        state.update(view[: min(256, end - offset)])
    return binascii.hexlify(state.digest()[:8]).decode()


if ORDER["feed"]:
    machine.WDT(timeout=8000).feed()
_medium = open_medium(wiring.JOURNAL)
_flash = SectorFlash(_medium)
_who = KeyRing(open_medium(wiring.KEYS)).identity
_pool = Pool(_medium, _flash, _who.gateway, _who.log_id)
_pool.mount(1 << 62)
_found = {}
for _cls, _name in enumerate(layout.CLASSES):
    _newest = _pool.newest(_cls)
    if _newest < 0:
        _found[_name] = (-1, -1, 0, "")
        continue
    _sector = _pool.find(_cls, _newest)
    _end = _flash.used_end(_sector)
    _found[_name] = (_pool.oldest(_cls), _newest, _end, _digest(_medium, _sector, _end))
print(_found)
