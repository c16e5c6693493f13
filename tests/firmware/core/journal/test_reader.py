"""What a commit may mean is bounded, whatever its bytes."""

import unittest

from bridge.core.errors import FormatError
from bridge.core.events import VALID, Observation
from bridge.core.journal import records
from bridge.core.journal.layout import COMMIT_MAX
from bridge.core.journal.reader import RECORDS_MAX, RecordReader
from bridge.core.journal.writer import RecordWriter


def commit_of(count):
    """Return a commit of so many observations of which nothing changes."""
    made = RecordWriter([records.Device("vent", "draeger_medibus", 0)], {})
    made.restart(0)
    made.begin(COMMIT_MAX)
    seen = Observation(1)
    seen.begin(0, 1)
    seen.add(1, 97, 0, VALID)
    shape = made.shape_of(0, 1)
    shape.match(seen)
    made.mark()
    made.define(shape)
    made.define(shape)
    for step in range(count):
        made.mark()
        made.observation(shape, 1000 * step)
    return bytes(made.coder.data[: made.finish()])


class TestBounds(unittest.TestCase):
    def test_more_records_than_a_gateway_writes_make_no_sense(self):
        self.assertEqual(len(RecordReader().read(commit_of(RECORDS_MAX))), RECORDS_MAX)
        with self.assertRaises(FormatError) as caught:
            RecordReader().read(commit_of(RECORDS_MAX + 1))
        self.assertIn("records", str(caught.exception))


if __name__ == "__main__":
    unittest.main()
