"""Power is cut at every flash operation of a workload, in every way a NOR chip fails."""

import unittest

from bridge.core.journal.reader import verify_seal
from bridge.core.journal.seal import FIRST_SEAL, next_chain_key
from hil.virtual_board.nor import PowerCut
from tests.support.gateway import CHAIN_KEYS, Flash, observation, read_all, values_of

_STEPS = 180  # two changes of sectors


def work(flash, acknowledged, boots):
    """Boot and append; note each observation before its commit, and confirm it after.

    `acknowledged` is a list of [boot, time, values, confirmed].
    """
    journal, clock = flash.boot()
    boots.append(clock.boot)
    for step in range(_STEPS):
        clock.now_ms += 1000
        made, values = observation(step, 16)
        entry = [clock.boot, clock.now_ms, values, False]
        acknowledged.append(entry)
        journal.observation(0, 0, made, clock.now_ms)
        journal.commit(0)
        entry[3] = True
        journal.idle()
    return journal


class TestPowerCuts(unittest.TestCase):
    def test_every_cut_loses_nothing_acknowledged_and_invents_nothing(self):
        clean = Flash(sectors=16)
        start = clean.chip.programs + clean.chip.erases
        work(clean, [], [])
        operations = clean.chip.programs + clean.chip.erases - start
        self.assertGreater(operations, _STEPS)
        for cut in range(1, operations + 1):
            with self.subTest(cut=cut):
                self.cut_at(cut, cut)

    def cut_at(self, cut, seed):
        flash = Flash(sectors=16)
        acknowledged = []
        boots = []
        flash.chip.cut_after(cut, seed)
        try:
            work(flash, acknowledged, boots)
        except PowerCut:
            pass
        # The next boot is cut short too, in the midst of its recovery, then one is left alone.
        flash.chip.power_on()
        flash.chip.cut_after(1 + seed % 4, seed + 1)
        try:
            flash.boot()
        except PowerCut:
            pass
        flash.chip.power_on()
        erases = flash.chip.erases
        flash.boot()
        self.assertEqual(flash.chip.erases, erases)
        journal = work(flash, acknowledged, boots)
        self.assertEqual(flash.chip.violations, 0)
        self.check(journal, acknowledged)

    def check(self, journal, acknowledged):
        found = [(r.boot, r.mono_ms, values_of(r)) for r in read_all(journal, 0)]
        confirmed = [tuple(entry[:3]) for entry in acknowledged if entry[3]]
        possible = [tuple(entry[:3]) for entry in acknowledged]
        self.assertEqual(journal.pool.oldest(0), 0)
        self.assertEqual([entry for entry in confirmed if entry not in found], [])
        # Nothing invented, nothing twice, order kept: it is a subsequence of what was handed in.
        at = 0
        for entry in found:
            while at < len(possible) and possible[at] != entry:
                at += 1
            self.assertLess(at, len(possible))
            at += 1
        self.check_seals(journal)

    def check_seals(self, journal):
        key, tag = CHAIN_KEYS[0], FIRST_SEAL
        for number in range(journal.newest(0)[0]):
            sector = bytearray(4096)
            if journal.read(0, number, 0, sector):
                tag = verify_seal(sector, key, tag)
            key = next_chain_key(key)


if __name__ == "__main__":
    unittest.main()
