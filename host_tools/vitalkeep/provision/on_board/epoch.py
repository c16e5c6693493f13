"""What runs on a board to end its key epoch; prints True. ORDER comes before this text.

ORDER = {"seeds": [(offset in the spare block, hex)], "feed": as in look.py}

Seeds that the board had go first. Then each open sector is sealed, and its chain key cleared: at
the next start the class goes on behind it, from the first of the new seeds. A cut in between
leaves some classes as they were (a sealed sector whose key is there still is one that the next
start goes on behind); it is done again.
"""

import binascii

import machine
import wiring

from bridge.core.journal import layout
from bridge.core.journal.flash import SectorFlash
from bridge.core.journal.keyring import COPY_AT, KeyRing, pack_identity
from bridge.core.journal.pool import Pool
from bridge.storage.medium import open_medium

if ORDER["feed"]:
    machine.WDT(timeout=8000).feed()
_medium = open_medium(wiring.KEYS)
_ring = KeyRing(_medium)
_spare = _medium.ioctl(4, 0) - 1
if _spare < 3:
    raise OSError("key region: no spare block")
_medium.ioctl(6, _spare)
_pieces = [(COPY_AT, pack_identity(_ring.identity))]
_pieces += [(offset, binascii.unhexlify(data)) for offset, data in ORDER["seeds"]]
for _offset, _data in _pieces:
    _medium.writeblocks(_spare, _data, _offset)
    _back = bytearray(len(_data))
    _medium.readblocks(_spare, _back, _offset)
    if _back != _data:
        raise OSError("key region: the spare block does not read back")
_ring.recover()
_log = open_medium(wiring.JOURNAL)
_flash = SectorFlash(_log)
_pool = Pool(_log, _flash, _ring.identity.gateway, _ring.identity.log_id)
_pool.mount(1 << 62)
for _cls in range(len(layout.CLASSES)):
    _slot = _ring.newest(_cls)
    if _slot is None:
        continue  # by an earlier run
    if _ring.find(_cls, _slot.number - 1) is not None:
        raise OSError("log %s: a change of sectors was cut short" % layout.CLASSES[_cls])
    _sector = _pool.find(_cls, _slot.number)
    if _sector >= 0 and not _flash.is_sealed(_sector):
        _end = _flash.used_end(_sector)
        _flash.put(
            _sector, layout.SEAL_AT, layout.pack_seal(_end, _flash.tag(_sector, _slot, _end))
        )
        if not _flash.is_sealed(_sector):
            raise OSError("log %s: the flash takes no seal" % layout.CLASSES[_cls])
    _ring.clear(_slot)
print(True)
