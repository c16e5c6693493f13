"""Monotonic time that does not wrap, and how far UTC is to be trusted."""

import time

from bridge.core.journal.layout import CLOCK_SITE, CLOCK_UNKNOWN

_STEP_MS = 200  # a site's time that differs by more is a new clock record
_REFRESH_MS = 3600000


class Clock:
    """Milliseconds since this boot, 64 bits wide; UTC once a source has answered.

    boot   random 32-bit number of this boot
    state  CLOCK_UNKNOWN or CLOCK_SITE
    """

    def __init__(self, boot):
        self.boot = boot
        self.state = CLOCK_UNKNOWN
        self._ticks = time.ticks_ms()
        self._mono_ms = 0
        self._offset_ms = 0
        self._set_ms = 0

    def mono_ms(self):
        """Return milliseconds since the boot; call it at least once in six days."""
        now = time.ticks_ms()
        # The counter of boards wraps after 12.4 days; differences do not.
        self._mono_ms += time.ticks_diff(now, self._ticks)
        self._ticks = now
        return self._mono_ms

    def utc_ms(self):
        """Return milliseconds since 1970 UTC, 0 while unknown."""
        return 0 if self.state == CLOCK_UNKNOWN else self.mono_ms() + self._offset_ms

    def site_time(self, utc_ms, at_ms):
        """Take a site's authenticated time `utc_ms` for the monotonic time `at_ms`.

        Returns True when the log must be told: the first time, after a step, and once an hour.
        """
        offset = utc_ms - at_ms
        news = (
            self.state != CLOCK_SITE
            or abs(offset - self._offset_ms) > _STEP_MS
            or at_ms - self._set_ms > _REFRESH_MS
        )
        if news:
            self.state = CLOCK_SITE
            self._offset_ms = offset
            self._set_ms = at_ms
        return news
