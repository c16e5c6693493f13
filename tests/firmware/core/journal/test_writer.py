"""A commit holds what was kept of it, whatever had to be taken back."""

import unittest

from bridge.core.journal import records
from bridge.core.journal.reader import RecordReader
from bridge.core.journal.writer import RecordWriter
from hil.virtual_board.nor import Random
from tests.support.gateway import DEVICES, EXTRAS, observation, values_of


def writer():
    made = RecordWriter([records.Device(*device) for device in DEVICES], EXTRAS)
    made.restart(0)
    return made


class TestUndo(unittest.TestCase):
    def test_commit_ends_well_behind_a_record_of_any_kind_that_did_not_fit(self):
        full = 0
        for seed in range(1, 400):
            draw = Random(seed)
            made = writer()
            shape = made.shape_of(0, 0x24)
            limit = 60 + draw.below(400)
            made.begin(limit)
            expected = []
            for step in range(40):
                made.mark()
                now_ms = 1000 * step
                if draw.below(3):
                    seen, values = observation(step, 12)
                    shape.match(seen)
                    if not made.knows(shape):
                        made.define(shape)
                        made.define(shape)
                    made.observation(shape, now_ms)
                    kept = (now_ms, values)
                else:
                    made.event(records.SITE_UP, "x" * draw.below(20), now_ms)
                    kept = (now_ms, None)
                if made.is_full:
                    made.undo()
                    full += 1
                    break
                expected.append(kept)
            if not made.records:
                continue
            size = made.finish()
            self.assertLessEqual(size, limit)
            found = RecordReader().read(bytes(made.coder.data[:size]))
            said = [
                (r.mono_ms, values_of(r) if r.kind == records.OBSERVATION else None) for r in found
            ]
            self.assertEqual(said, expected)
        self.assertGreater(full, 100)

    def test_commit_that_just_fits_has_its_end(self):
        for seed in range(1, 400):
            draw = Random(seed)
            made = writer()
            made.begin(12 + seed % 40)
            kept = 0
            while True:
                made.mark()
                made.event(1 + draw.below(9), "", 10 * kept)
                if made.is_full:
                    made.undo()
                    break
                kept += 1
            if made.records:
                size = made.finish()
                self.assertLessEqual(size, 12 + seed % 40)
                found = RecordReader().read(bytes(made.coder.data[:size]))
                self.assertEqual(len(found), kept)


if __name__ == "__main__":
    unittest.main()
