"""An append takes nothing from the heap once the log is warm."""

import gc
import unittest

from bridge.core.journal import layout
from tests.support.heap import PlainFlash, Ward

try:
    from micropython import heap_lock, heap_unlock

    gc.mem_alloc()
except (ImportError, AttributeError):
    heap_lock = None

_SECTORS = 24
_ROWS = 1000


@unittest.skipIf(heap_lock is None, "no heap to lock on this interpreter")
class TestAppend(unittest.TestCase):
    def test_a_thousand_appends_allocate_nothing(self):
        ward = Ward(PlainFlash(_SECTORS))
        ward.boot()
        number = self.warm(ward, 0)
        locked = 0
        while locked < _ROWS:
            if ward.journal.newest(0)[1] > layout.SEAL_AT - 600:
                ward.next_sector()
                number = self.warm(ward, number)
            ward.clock.now_ms += 1000
            ward.fill(ward.monitor, 1, number)
            heap_lock()
            try:
                ward.journal.observation(0, 0, ward.monitor, ward.clock.now_ms)
                ward.journal.commit(0)
            finally:
                heap_unlock()
            locked += 1
            number += 1
        self.assertGreater(ward.journal.newest(0)[0], 1)

    def warm(self, ward, number):
        """Have the dictionary of a new sector written; returns the number of the next append."""
        for _ in range(3):
            ward.append_monitor(number)
            ward.append_ventilator(number)
            ward.append_wave(number)
            number += 1
        return number


if __name__ == "__main__":
    unittest.main()
