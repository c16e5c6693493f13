"""The same journal on every medium: it fills sectors, loses its power, and goes on."""

import unittest

from bridge.core.journal.reader import verify_seal
from bridge.core.journal.seal import FIRST_SEAL, next_chain_key
from hil.virtual_board.nor import PowerCut
from tests.support.gateway import CHAIN_KEYS, KEY_BLOCKS, observation, read_all, values_of
from tests.support.media import MEDIA, MediumGateway, provisioned_image

_SECTORS = 9
_BLANK = 5  # the rest holds what some other use left there: it has to be erased
_BEFORE = 12  # commits that are left in the first sector
_STEPS = 18
_PARAMETERS = 16


def image():
    data = bytearray(provisioned_image(_SECTORS))
    for index in range((KEY_BLOCKS + _BLANK) * 4096, len(data)):
        data[index] = index * 7 & 0xFE
    return bytes(data)


def work(gateway, steps, noted):
    """Boot and append; note each observation before its commit, and confirm it after.

    `noted` is a list of [boot, time, values, confirmed].
    """
    journal, clock = gateway.boot()
    for step in range(steps):
        clock.now_ms += 1000
        made, values = observation(step, _PARAMETERS)
        entry = [clock.boot, clock.now_ms, values, False]
        noted.append(entry)
        journal.observation(0, 0, made, clock.now_ms)
        journal.commit(0)
        entry[3] = True
        journal.idle()
    return journal


def operations(chip):
    return chip.programs + chip.erases


def steps_of_a_sector():
    """Return how many observations the first sector takes; the same on every medium."""
    gateway = MediumGateway(MEDIA[0], image())
    journal, clock = gateway.boot()
    steps = 0
    while journal.newest(0)[0] == 0:
        clock.now_ms += 1000
        journal.observation(0, 0, observation(steps, _PARAMETERS)[0], clock.now_ms)
        journal.commit(0)
        steps += 1
    return steps


class TestMedia(unittest.TestCase):
    def test_sectors_are_filled_sealed_and_erased(self):
        steps = 4 * steps_of_a_sector()
        for medium in MEDIA:
            with self.subTest(medium=medium.name):
                gateway = MediumGateway(medium, image())
                self.addCleanup(gateway.remove)
                noted = []
                journal = work(gateway, steps, noted)
                self.assertGreater(journal.newest(0)[0], 2)
                self.assertGreater(gateway.chip.erases, 0)
                self.assertEqual((journal.worn, journal.lost_commits), (0, 0))
                self.check(gateway, journal, noted)

    def test_a_cut_at_any_operation_around_the_end_of_a_sector_loses_nothing(self):
        steps = steps_of_a_sector() - _BEFORE
        for medium in MEDIA:
            with self.subTest(medium=medium.name):
                first = MediumGateway(medium, image())
                self.addCleanup(first.remove)
                noted = []
                work(first, steps, noted)
                start = first.carrier.contents()
                count = self.count_operations(medium, start)
                self.assertGreater(count, _STEPS + 6)
                for cut in range(1, count + 1):
                    gateway = MediumGateway(medium, start, boots=1)
                    try:
                        self.cut_at(gateway, cut, list(noted))
                    finally:
                        gateway.remove()

    def count_operations(self, medium, start):
        gateway = MediumGateway(medium, start, boots=1)
        self.addCleanup(gateway.remove)
        journal = work(gateway, _STEPS, [])
        self.assertEqual(journal.newest(0)[0], 1)
        self.assertGreater(gateway.chip.erases, 0)
        return operations(gateway.chip)

    def cut_at(self, gateway, cut, noted):
        gateway.chip.cut_after(cut, cut)
        try:
            work(gateway, _STEPS, noted)
            self.fail("no cut at operation %d" % cut)
        except PowerCut:
            pass
        # The next boot is cut short too, in the midst of its recovery, then one is left alone.
        gateway.chip.power_on()
        gateway.chip.cut_after(1 + cut % 4, cut + 1)
        try:
            gateway.boot()
        except PowerCut:
            pass
        gateway.chip.power_on()
        self.check(gateway, work(gateway, 4, noted), noted)

    def check(self, gateway, journal, noted):
        self.assertEqual(gateway.chip.violations, 0)
        found = [(r.boot, r.mono_ms, values_of(r)) for r in read_all(journal, 0)]
        confirmed = [tuple(entry[:3]) for entry in noted if entry[3]]
        self.assertEqual([entry for entry in confirmed if entry not in found], [])
        # Nothing invented, nothing twice, order kept: it is a subsequence of what was handed in.
        at = 0
        for entry in found:
            while at < len(noted) and tuple(noted[at][:3]) != entry:
                at += 1
            self.assertLess(at, len(noted))
            at += 1
        key, tag = CHAIN_KEYS[0], FIRST_SEAL
        for number in range(journal.newest(0)[0]):
            sector = bytearray(4096)
            self.assertTrue(journal.read(0, number, 0, sector))
            tag = verify_seal(sector, key, tag)
            key = next_chain_key(key)


if __name__ == "__main__":
    unittest.main()
