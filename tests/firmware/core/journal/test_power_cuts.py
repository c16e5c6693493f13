"""Power is cut at flash operations of many workloads, in every way a NOR chip fails.

This is a sample that runs on both interpreters; `vitalkeep power-cuts` makes all cuts there are.
"""

import unittest

from hil.power_cuts.lineage import Lineage, cut_at

_SEEDS = 12
_STRIDE = 37  # of operations, prime to what repeats in a workload


class TestPowerCuts(unittest.TestCase):
    def test_work_without_a_cut_is_all_there(self):
        for seed in range(_SEEDS):
            with self.subTest(seed=seed):
                lineage = Lineage(seed)
                lineage.judge.check(lineage.work())
                self.assertEqual(lineage.judge.failures, [])

    def test_no_cut_breaks_what_the_log_promises(self):
        for seed in range(_SEEDS):
            operation = seed + 1
            while True:
                with self.subTest(cut=(seed, operation, operation % 4)):
                    found = cut_at(seed, operation, operation % 4)
                    self.assertEqual(found or [], [])
                if found is None:
                    break
                operation += _STRIDE
            self.assertGreater(operation, 2 * _STRIDE)


if __name__ == "__main__":
    unittest.main()
