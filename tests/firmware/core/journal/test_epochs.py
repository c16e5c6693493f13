"""Key epochs: a gateway that lost its slots goes on, and its past stays shut."""

import hashlib
import unittest

from bridge.core.errors import FormatError, TagError
from bridge.core.journal import layout, records
from bridge.core.journal.keyring import SLOT_SIZE, KeyRing
from bridge.core.journal.reader import SectorReader, verify_seal
from bridge.core.journal.ring import Journal
from bridge.core.journal.seal import (
    FIRST_SEAL,
    epoch_key,
    next_chain_key,
    resume_key,
    sector_key,
)
from tests.support.epochs import lose_slots
from tests.support.gateway import (
    CHAIN_KEYS,
    DEVICES,
    EXTRAS,
    SEEDS,
    Flash,
    HandClock,
    cipher,
    observation,
    values_of,
)

_WALK = 12  # further than any number in these tests


class Source:
    """A board's random bytes, the same for the same seed."""

    def __init__(self, seed):
        self._state = b"seed %d" % seed

    def take(self, count):
        self._state = hashlib.sha256(self._state).digest()
        return self._state[:count]


class Spy:
    """A cipher that notes which counter blocks were used under which key."""

    def __init__(self):
        self.used = set()

    def make(self, key):
        return SpyKey(self.used, bytes(key))


class SpyKey:
    def __init__(self, used, key):
        self._used = used
        self._key = key
        self._cipher = cipher(key)

    def encrypt(self, block, out):
        self._used.add((self._key, bytes(block)))
        self._cipher.encrypt(block, out)


def boot(flash, seed, make_cipher=cipher):
    """Return (journal, clock) after a power-on whose random bytes follow from `seed`.

    Every boot has the same boot id and starts at the same time: only the random bytes differ.
    """
    ring = KeyRing(flash.keys)
    ring.recover()
    devices = [records.Device(*device) for device in DEVICES]
    clock = HandClock(1)
    parts = (ring, make_cipher, Source(seed).take, clock, devices, EXTRAS)
    journal = Journal(flash.log, *parts)
    journal.recover()
    return journal, clock


def fill(journal, clock, sectors, cls=0, first=0):
    """Append until the open sector is `sectors` further; return the values of every commit.

    first  the values are those of the steps from there on
    """
    expected = []
    last = journal.newest(cls)[0] + sectors
    while journal.newest(cls)[0] < last:
        clock.now_ms += 1000
        made, values = observation(first + clock.now_ms // 1000)
        journal.observation(cls, 0, made, clock.now_ms)
        journal.commit(cls)
        journal.idle()
        expected.append(values)
    return expected


def sector(journal, number, cls=0):
    data = bytearray(layout.SECTOR_SIZE)
    assert journal.read(cls, number, 0, data)
    data[layout.RELEASED_AT] = layout.BLANK
    return data


def chain_key(header):
    """Return the chain key of a sector, as a holder of the first keys and seeds derives it."""
    if header.epoch:
        key = epoch_key(SEEDS[header.epoch - 1], header.cls, header.epoch_first)
    else:
        key = CHAIN_KEYS[header.cls]
    for _ in range(header.number - header.epoch_first):
        key = next_chain_key(key)
    return key


def values_in(data):
    """Return the values of all observations in a sector."""
    found = SectorReader(cipher, chain_key(layout.parse_header(data))).feed(data)
    return [values_of(record) for record in found if record.kind == records.OBSERVATION]


def image(flash):
    return bytes(flash.chip.store)


def restored(data):
    """Return a Flash with these contents."""
    flash = Flash(key_blocks=4)
    flash.chip.store[:] = data
    return flash


class TestEpochs(unittest.TestCase):
    def setUp(self):
        self.flash = Flash(key_blocks=4)
        self.journal, clock = boot(self.flash, 1)
        self.before = fill(self.journal, clock, 2)
        clock.now_ms += 1000
        made, values = observation(clock.now_ms // 1000)
        self.journal.observation(0, 0, made, clock.now_ms)
        self.journal.commit(0)
        self.before.append(values)

    def test_class_without_a_slot_goes_on_in_a_new_epoch(self):
        lose_slots(self.flash.keys, 0)
        journal, clock = boot(self.flash, 2)
        self.assertEqual(journal.newest(0)[0], 3)
        after = fill(journal, clock, 2)
        header = layout.parse_header(sector(journal, 3))
        self.assertEqual((header.epoch, header.epoch_first), (1, 3))
        self.assertEqual(layout.parse_header(sector(journal, 0, 1)).epoch, 0)
        found = []
        for number in range(6):
            found += values_in(sector(journal, number))
        self.assertEqual(found, self.before + after)
        self.assertEqual(self.events_in(sector(journal, 3)), [records.KEYS_LOST])
        self.assertEqual(self.flash.chip.violations, 0)

    def events_in(self, data):
        found = SectorReader(cipher, chain_key(layout.parse_header(data))).feed(data)
        return [record.event for record in found if record.kind == records.EVENT]

    def test_new_epoch_is_a_chain_of_its_own(self):
        lose_slots(self.flash.keys, 0)
        journal, clock = boot(self.flash, 2)
        fill(journal, clock, 3)
        tag = FIRST_SEAL
        for number in range(3, 6):
            data = sector(journal, number)
            tag = verify_seal(data, chain_key(layout.parse_header(data)), tag)
        with self.assertRaises(FormatError):
            verify_seal(sector(journal, 2), chain_key(layout.parse_header(data)), FIRST_SEAL)

    def test_next_loss_takes_the_next_seed(self):
        for seed in range(2, 5):
            lose_slots(self.flash.keys, 0)
            journal, _ = boot(self.flash, seed)
        header = layout.parse_header(sector(journal, 5))
        self.assertEqual((header.epoch, header.epoch_first), (3, 5))
        lose_slots(self.flash.keys)
        journal, _ = boot(self.flash, 5)
        for cls, number in ((0, 6), (1, 1), (2, 1)):
            header = layout.parse_header(sector(journal, number, cls))
            self.assertEqual((header.epoch, header.epoch_first), (4, number))
        for spent in SEEDS[:4]:
            self.assertEqual(image(self.flash).find(spent), -1)
        self.assertEqual(journal.keys.spares, 4)


class TestStolen(unittest.TestCase):
    """Whoever has the whole flash, keys included, has the open sectors and the future."""

    def setUp(self):
        self.flash = Flash(sectors=24, key_blocks=4)
        journal, clock = boot(self.flash, 1)
        fill(journal, clock, 3)
        self.early = image(self.flash)
        journal, clock = boot(self.flash, 2)  # leaves a resume, which has a key of its own
        fill(journal, clock, 1)
        lose_slots(self.flash.keys, 0)
        journal, clock = boot(self.flash, 3)
        fill(journal, clock, 3)
        made, self.last = observation(7)
        journal.observation(0, 0, made, clock.now_ms)
        journal.commit(0)
        self.journal = journal
        # Sector 4 was open when its slot was lost: its key is gone as a closed one's is.
        self.closed = [sector(journal, number) for number in range(journal.newest(0)[0])]

    def keys_of(self, data):
        """Return every key that opens something in a closed sector."""
        key = chain_key(layout.parse_header(data))
        encrypt = sector_key(key, data[: layout.HEADER_SIZE])
        keys = [key, encrypt]
        for at in range(layout.PAGE_SIZE, layout.SEAL_AT, layout.PAGE_SIZE):
            if layout.look(data, at, layout.SEAL_AT)[0] == layout.RESUME:
                keys.append(resume_key(encrypt, layout.parse_resume(data, at)[0], at))
        return keys

    def reachable(self, stolen):
        """Return every key that some 32 bytes of the key region lead to."""
        region = stolen[: 4 * layout.SECTOR_SIZE]
        found = set()
        for at in range(len(region) - 31):
            window = region[at : at + 32]
            if window in found or window.count(b"\xff") == 32 or window.count(b"\x00") == 32:
                continue
            found.add(window)
            key = window
            for _ in range(_WALK):
                key = next_chain_key(key)
                found.add(key)
        for window in self.secrets(region):
            for first in range(_WALK):
                key = epoch_key(window, 0, first)
                for _ in range(_WALK):
                    found.add(key)
                    key = next_chain_key(key)
        return found

    def secrets(self, region):
        """Return what stands where a slot has its key and a spare seed its secret."""
        found = set()
        for at in range(layout.SECTOR_SIZE, len(region), SLOT_SIZE):
            for start in (at + 4, at + 12):
                window = region[start : start + 32]
                if window.count(b"\xff") < 32 and window.count(b"\x00") < 32:
                    found.add(window)
        return found

    def test_no_window_of_the_key_region_leads_to_a_closed_sector(self):
        found = self.reachable(image(self.flash))
        for data in self.closed:
            for key in self.keys_of(data):
                self.assertFalse(key in found)
        # The search does find keys: that of the open sector, and in an older image more.
        newest = self.journal.newest(0)[0]
        opened = chain_key(layout.parse_header(sector(self.journal, newest)))
        self.assertTrue(opened in found)
        early = self.reachable(self.early)
        self.assertTrue(self.keys_of(self.closed[3])[0] in early)
        self.assertTrue(self.keys_of(self.closed[6])[0] in early)
        self.assertFalse(self.keys_of(self.closed[2])[0] in early)

    def test_no_key_of_a_closed_sector_stands_anywhere_on_the_flash(self):
        stolen = image(self.flash)
        for data in self.closed:
            for key in self.keys_of(data):
                self.assertEqual(stolen.find(key), -1)

    def test_slots_and_seeds_decrypt_no_closed_commit_and_fit_no_seal(self):
        held = [slot.key for slot in self.journal.keys.slots]
        for spare in self.secrets(image(self.flash)[: 4 * layout.SECTOR_SIZE]):
            for first in range(len(self.closed) + 2):
                held.append(epoch_key(spare, 0, first))
        known = []
        for data in self.closed:
            known += values_in(data)
        self.assertTrue(len(known) > 100)
        for key in held:
            for _ in range(3):
                for data in self.closed:
                    self.assertShut(key, data, known)
                key = next_chain_key(key)
        newest = self.journal.newest(0)[0]
        self.assertTrue(self.last in values_in(sector(self.journal, newest)))

    def assertShut(self, key, data, known):
        try:
            found = SectorReader(cipher, key).feed(data)
        except (FormatError, ValueError):
            found = []
        for record in found:
            if record.kind == records.OBSERVATION:
                self.assertFalse(values_of(record) in known)
        with self.assertRaises((FormatError, TagError)):
            verify_seal(data, key, FIRST_SEAL)


class TestRestored(unittest.TestCase):
    """An image that is flashed back starts twice from the same bytes, keys and seeds."""

    def blocks_of(self, data, seed):
        spy = Spy()
        flash = restored(data)
        journal, clock = boot(flash, seed, spy.make)
        fill(journal, clock, 2, first=1000 * seed)
        fill(journal, clock, 1, cls=1, first=1000 * seed)
        return spy.used

    def images(self):
        flash = Flash(key_blocks=4)
        yield "provisioned", image(flash)
        journal, clock = boot(flash, 1)
        fill(journal, clock, 2)
        made, _ = observation(3)
        journal.observation(0, 0, made, clock.now_ms)
        journal.commit(0)
        yield "open sector", image(flash)
        # As a cut leaves it between the next key's slot and the next header.
        slot = journal.keys.newest(0)
        end = journal.newest(0)[1]
        tag = journal.flash.tag(journal.pool.find(0, slot.number), slot, end)
        key = next_chain_key(slot.key)
        journal.keys.put(0, slot.epoch, slot.first, slot.number + 1, key, tag)
        yield "change of sector", image(flash)
        lose_slots(flash.keys)
        yield "lost slots", image(flash)
        ring = KeyRing(flash.keys)
        ring.recover()
        ring.begin_epoch(0, 9)
        yield "epoch half begun", image(flash)

    def test_no_counter_block_is_used_twice_under_one_key(self):
        for name, data in self.images():
            with self.subTest(image=name):
                first = self.blocks_of(data, 10)
                second = self.blocks_of(data, 11)
                self.assertGreater(len(first), 300)
                self.assertEqual(len(first & second), 0)

    def test_spy_sees_reuse_when_the_random_bytes_repeat(self):
        for name, data in self.images():
            with self.subTest(image=name):
                first = self.blocks_of(data, 10)
                self.assertTrue(len(first & self.blocks_of(data, 10)) > 300)


if __name__ == "__main__":
    unittest.main()
