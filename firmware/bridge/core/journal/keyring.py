"""Where a gateway's keys live: a NOR region of their own (docs/formats/log.md, "Key region").

Block 0 is written once, when the gateway is provisioned. The blocks behind it hold slots, one for
each chain key in use; a slot that has served is cleared to zeros on the spot, which NOR can do
without an erase. NVS and littlefs would keep the old bytes. The last of four or more blocks is
spare: seeds for the day the slots are lost, and a copy of block 0. The board never erases it.
"""

import hashlib
import struct

from micropython import const

from bridge.core.checks import count_zero_bits
from bridge.core.errors import FormatError, KeyLost, MediumError
from bridge.core.journal.layout import CLASSES, SECTOR_SIZE
from bridge.core.journal.seal import FIRST_SEAL, epoch_key

SITES_MAX = const(4)
SLOT_SIZE = const(64)
SLOTS = const(64)  # in a block
SPARES = const(8)  # seeds, at the start of the spare block
COPY_AT = const(512)  # of the identity, in the spare block

_IDENTITY = "<4sB8s8s32s32sB"
_IDENTITY_MAGIC = b"VKID"
_IDENTITY_VERSION = const(1)
_SITE = "<8s32s"
_CHECK_SIZE = const(8)

_SLOT = "<BBHII32s16s"
_SLOT_MARK = const(0x5A)
_SEED = "<BBH32s"
_SEED_MARK = const(0xA5)
_SEED_VERSION = const(1)
_CHECKED = const(60)  # of a slot and of a seed

_BLANK = b"\xff" * SLOT_SIZE
_ZEROS = bytes(SLOT_SIZE)

# What a slot is
_FREE = const(0)
_LIVE = const(1)
_SPENT = const(2)
_TORN = const(3)


class Identity:
    """What provisioning wrote: who this gateway is, and the keys that never change.

    sites  list of (site id, receipt key)
    """

    def __init__(self, gateway, log_id, uplink_key, command_key, sites):
        self.gateway = gateway
        self.log_id = log_id
        self.uplink_key = uplink_key
        self.command_key = command_key
        self.sites = sites


def pack_identity(identity):
    """Return the bytes of block 0."""
    body = struct.pack(
        _IDENTITY,
        _IDENTITY_MAGIC,
        _IDENTITY_VERSION,
        identity.gateway,
        identity.log_id,
        identity.uplink_key,
        identity.command_key,
        len(identity.sites),
    )
    for site, key in identity.sites:
        body += struct.pack(_SITE, site, key)
    return body + hashlib.sha256(body).digest()[:_CHECK_SIZE]


def parse_identity(data):
    """Return the Identity in block 0; raises FormatError when the gateway is not provisioned."""
    fields = struct.unpack_from(_IDENTITY, data, 0)
    if fields[0] != _IDENTITY_MAGIC or fields[1] != _IDENTITY_VERSION or fields[6] > SITES_MAX:
        raise FormatError("key region: not provisioned (magic %r)" % fields[0])
    at = struct.calcsize(_IDENTITY)
    sites = []
    for _ in range(fields[6]):
        sites.append(struct.unpack_from(_SITE, data, at))
        at += struct.calcsize(_SITE)
    if hashlib.sha256(data[:at]).digest()[:_CHECK_SIZE] != bytes(data[at : at + _CHECK_SIZE]):
        raise FormatError("key region: identity is damaged")
    return Identity(*fields[2:6], sites)


def identity_size():
    """Return the most bytes an identity takes."""
    return struct.calcsize(_IDENTITY) + SITES_MAX * struct.calcsize(_SITE) + _CHECK_SIZE


def _finish(data):
    struct.pack_into("<H", data, _CHECKED, count_zero_bits(data, 0, _CHECKED))
    return data


def pack_slot(cls, epoch, first, number, key, previous_seal):
    """Return the SLOT_SIZE bytes that hold the chain key of one sector number."""
    data = bytearray(_BLANK)
    struct.pack_into(_SLOT, data, 0, _SLOT_MARK, cls, epoch, first, number, key, previous_seal)
    return _finish(data)


def pack_seed(epoch, seed):
    """Return the SLOT_SIZE bytes of a spare seed; that of epoch e stands at (e - 1) * SLOT_SIZE.

    epoch  1 to SPARES
    seed   32 bytes
    """
    data = bytearray(_BLANK)
    struct.pack_into(_SEED, data, 0, _SEED_MARK, _SEED_VERSION, epoch, seed)
    return _finish(data)


class Slot:
    """A chain key: of class `cls`, for sector `number`, chained to `previous_seal`.

    epoch, first  the key epoch, and the number of the class's first sector in it
    """

    def __init__(self, place, cls, epoch, first, number, key, previous_seal):
        self.place = place
        self.cls = cls
        self.epoch = epoch
        self.first = first
        self.number = number
        self.key = key
        self.previous_seal = previous_seal


class KeyRing:
    """The chain keys in use.

    medium  a block device with block 0 written by provisioning and at least two blocks behind it

    slots    list of live Slots, at most two a class: the one of the open sector, and for the
             length of a change of sectors the next one
    spares   spare seeds that are left, 0 to SPARES; none in a region of three blocks
    worn     slots that did not read back as written, since boot
    copied   True when block 0 is lost and the identity is that of the spare block
    Raises   MediumError, and FormatError when the gateway is not provisioned

    An append calls `put`, `clear`, `find` and `newest`, once for each sector: `put` makes a Slot
    and its bytes, the others make nothing.
    """

    def __init__(self, medium):
        if medium.ioctl(5, 0) != SECTOR_SIZE or medium.ioctl(4, 0) < 3:
            raise MediumError("key region: want at least 3 blocks of %d bytes" % SECTOR_SIZE)
        self._medium = medium
        blocks = medium.ioctl(4, 0)
        # By the count alone: were it by content, damage could make a spare block one of slots.
        self._spare = blocks - 1 if blocks > 3 else -1
        self._end = blocks - 1 if blocks > 3 else blocks  # of the blocks of slots
        self._next = -1  # place of the next free slot, -1 when the block in use is full
        self._block = 1  # the block in use
        self._blank = bytearray(blocks)  # 1 for a block that is erased
        self._data = bytearray(SLOT_SIZE)
        self.worn = 0
        self.copied = False
        self.identity = self._identity()
        self.slots = []
        self.spares = 0

    def _identity(self):
        data = bytearray(identity_size())
        self._medium.readblocks(0, data, 0)
        try:
            return parse_identity(data)
        except FormatError:
            if self._spare < 0:
                raise
            self._medium.readblocks(self._spare, data, COPY_AT)
            self.copied = True
            return parse_identity(data)

    # --- recovery ---

    def recover(self):
        """Read the slots, and finish clearing those whose end was cut short. Erases nothing.

        Returns the number of torn slots and seeds.
        """
        torn = 0
        self.slots = []
        for place in range(SLOTS, self._end * SLOTS):
            state = self._read(place, _SLOT_MARK)
            if state == _TORN:
                torn += 1
                self._zero(place)
            elif state == _LIVE:
                self._take(place)
        self._find_free()
        return torn + self._recover_seeds()

    def _recover_seeds(self):
        torn = self.spares = 0
        for place in self._seed_places():
            state = self._read(place, _SEED_MARK)
            if state == _TORN:
                torn += 1
                self._zero(place)
            elif state == _LIVE:
                self.spares += 1
        return torn

    def _read(self, place, mark):
        """Read a slot or seed into `_data` and say what it is."""
        data = self._data
        self._medium.readblocks(place // SLOTS, data, place % SLOTS * SLOT_SIZE)
        if data == _BLANK:
            return _FREE
        if data == _ZEROS:
            return _SPENT
        check = data[_CHECKED] | data[_CHECKED + 1] << 8
        if data[0] != mark or check != count_zero_bits(data, 0, _CHECKED):
            return _TORN
        return _LIVE

    def _take(self, place):
        _, cls, epoch, first, number, key, seal = struct.unpack_from(_SLOT, self._data, 0)
        for slot in self.slots:
            if slot.cls == cls and slot.number == number and slot.epoch == epoch:
                # A copy made to empty a block, before the first was cleared.
                self._zero(slot.place)
                slot.place = place
                return
        self.slots.append(Slot(place, cls, epoch, first, number, key, seal))

    def _find_free(self):
        # Blocks are filled in turn: the one in use is the one with room that is not blank, if
        # there is one. A block of spent slots waits for `tidy`.
        self._next = -1
        for block in range(1, self._end):
            free = (block + 1) * SLOTS
            while free > block * SLOTS and self._read(free - 1, _SLOT_MARK) == _FREE:
                free -= 1
            self._blank[block] = 1 if free == block * SLOTS else 0
            if free < (block + 1) * SLOTS and (self._next < 0 or free % SLOTS):
                self._next = free
                self._block = block

    def _zero(self, place):
        try:
            self._medium.writeblocks(place // SLOTS, _ZEROS, place % SLOTS * SLOT_SIZE)
        except OSError:
            self.worn += 1  # the next boot finds it torn and tries again

    # --- chain keys ---

    def find(self, cls, number):
        """Return the live Slot of a class and sector number, or None."""
        for slot in self.slots:
            if slot.cls == cls and slot.number == number:
                return slot
        return None

    def newest(self, cls):
        """Return the live Slot of a class with the highest sector number, or None."""
        best = None
        for slot in self.slots:
            if slot.cls == cls and (best is None or slot.number > best.number):
                best = slot
        return best

    def put(self, cls, epoch, first, number, key, previous_seal):
        """Write the chain key of one more sector and return its Slot; erases only if it must.

        A slot that does not read back as written is cleared and the next one taken.
        Raises MediumError when there is no room, or the region is worn out.
        """
        data = pack_slot(cls, epoch, first, number, key, previous_seal)
        place = self._write(data)
        while self._read(place, _SLOT_MARK) != _LIVE or self._data != data:
            self.worn += 1
            if self.worn > 2 * SLOTS:
                raise MediumError("key region: worn out, no slot takes a key")
            self._zero(place)
            place = self._write(data)
        slot = Slot(place, cls, epoch, first, number, bytes(key), bytes(previous_seal))
        self.slots.append(slot)
        return slot

    def _write(self, data):
        if self._next < 0:
            self._open_block()
        place = self._next
        self._blank[place // SLOTS] = 0
        self._next = place + 1 if place % SLOTS < SLOTS - 1 else -1
        try:
            self._medium.writeblocks(place // SLOTS, data, place % SLOTS * SLOT_SIZE)
        except OSError:
            pass  # it will not read back
        return place

    def clear(self, slot):
        """Destroy a chain key: its slot is programmed to zeros."""
        self._zero(slot.place)
        self.slots.remove(slot)

    # --- epochs ---

    def begin_epoch(self, cls, first):
        """Give a class without a live slot a chain key from the next spare seed; returns its Slot.

        first   the class's first sector number in the new epoch, above all it ever had
        Raises  KeyLost when no seed is left

        Call `end_epoch` once every class that needs a key has one and before anything is
        appended, at each boot: a cut before it repeats safely, the seed gives the same keys.
        """
        known = self._epoch()
        for place in self._seed_places():
            if self._read(place, _SEED_MARK) != _LIVE:
                continue
            epoch, seed = self._seed()
            # One that equals a slot's epoch was begun for another class and not ended.
            if epoch >= known:
                return self.put(cls, epoch, first, first, epoch_key(seed, cls, first), FIRST_SEAL)
        raise KeyLost("log %s: no chain key and no spare seed is left" % CLASSES[cls])

    def end_epoch(self):
        """Destroy the seeds of every epoch that has begun; harmless when there is none."""
        known = self._epoch()
        for place in self._seed_places():
            if self._read(place, _SEED_MARK) == _LIVE and self._seed()[0] <= known:
                self._zero(place)
                self.spares -= 1

    def _seed(self):
        return struct.unpack_from(_SEED, self._data, 0)[2:]

    def _epoch(self):
        newest = 0
        for slot in self.slots:
            newest = max(newest, slot.epoch)
        return newest

    def _seed_places(self):
        if self._spare < 0:
            return range(0)
        return range(self._spare * SLOTS, self._spare * SLOTS + SPARES)

    # --- blocks ---

    def tidy(self):
        """Erase one block of spent slots in an idle moment; returns True when there was one."""
        for block in range(1, self._end):
            if block != self._block and not self._blank[block] and not self._lives(block):
                self._erase(block)
                return True
        return False

    def _open_block(self):
        for block in range(1, self._end):
            if self._blank[block]:
                self._use(block)
                return
        # No idle moment came in the time of a whole block of slots.
        for block in range(1, self._end):
            if block != self._block and not self._lives(block):
                self._erase(block)
                self._use(block)
                return
        raise MediumError("key region: no room for another key in %d blocks" % (self._end - 1))

    def _use(self, block):
        self._block = block
        self._next = block * SLOTS
        # What still lives elsewhere moves here at once, so the blocks left behind can be erased.
        for slot in list(self.slots):
            if slot.place // SLOTS != block:
                self._move(slot)

    def _erase(self, block):
        self._medium.ioctl(6, block)
        self._blank[block] = 1

    def _lives(self, block):
        for slot in self.slots:
            if slot.place // SLOTS == block:
                return True
        return False

    def _move(self, slot):
        old = slot.place
        copy = self.put(
            slot.cls, slot.epoch, slot.first, slot.number, slot.key, slot.previous_seal
        )
        self.slots.remove(copy)
        self._zero(old)
        slot.place = copy.place
