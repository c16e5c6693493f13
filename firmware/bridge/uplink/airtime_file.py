"""The airtime a gateway has used, kept over reboots: restarting gives no new hour.

The file holds one number, and that is always at least what was used within the last window: it is
written ahead by an eighth of the budget, so that not every frame writes the file system. After a
boot nobody knows when it was used, so all of it counts as used at that moment.
"""

import os

from micropython import const

from bridge.core.airtime import Budget

_FILE = "airtime"
_FRESH = "airtime.new"
_AHEAD = const(8)
_SHORT_MS = const(60000)  # a window so short is waited for after each boot instead


class KeptBudget:
    """A Budget that a reboot does not refill.

    plan      a Plan
    now_ms    milliseconds since the boot
    unsaved   how often the file system refused
    """

    def __init__(self, plan, now_ms):
        self.unsaved = 0
        self._budget = Budget(plan.window_ms, plan.airtime_ms)
        self._saved_us = 0
        if plan.window_ms <= _SHORT_MS:
            self._saved_us = -1
            self._budget.charge(self._budget.limit_us, now_ms)
        else:
            self._saved_us = self._read()
            self._budget.charge(self._saved_us, now_ms)

    def _read(self):
        try:
            with open(_FILE) as file:
                return min(max(0, int(file.read())), self._budget.limit_us)
        except OSError:
            return 0  # the first boot with a radio
        except ValueError:
            return self._budget.limit_us  # damaged: the whole may have been used

    def left_us(self, now_ms):
        return self._budget.left_us(now_ms)

    def wait_ms(self, airtime_us, now_ms):
        return self._budget.wait_ms(airtime_us, now_ms)

    def spend(self, airtime_us, now_ms):
        """Take the airtime of a frame that begins now; returns False where it is not there."""
        if not self._budget.spend(airtime_us, now_ms):
            return False
        used, ahead = self._budget.spent_us, self._budget.limit_us // _AHEAD
        if self._saved_us >= 0 and not used <= self._saved_us <= used + 2 * ahead:
            self._save(min(used + ahead, self._budget.limit_us))
        return True

    def _save(self, airtime_us):
        try:
            with open(_FRESH, "w") as file:
                file.write(str(airtime_us))
            os.rename(_FRESH, _FILE)
            self._saved_us = airtime_us
        except OSError:
            self.unsaved += 1
