"""Monotonic time that does not wrap, what is known of UTC, and the board's own clock (RTC).

The RTC is what TLS judges certificates by. Boards start it in 2000 (ESP32) or 2021 (RP2): it goes
to the newest date that is certain to have passed, the *floor*, until a source answers. The floor
is no time of day: utc_ms() stays 0.
"""

import time

from machine import RTC
from micropython import const

from bridge.core.belief import SET, STEPPED, Belief
from bridge.core.dates import utc_s
from bridge.core.journal.layout import CLOCK_UNKNOWN

_LIFE_MS = const(631152000000)  # 20 years: no board of this firmware is older


class Clock:
    """Milliseconds since this boot, 64 bits wide; UTC once a source has answered.

    boot       random 32-bit number of this boot
    released   (year, month, day) of the firmware
    state      CLOCK_UNKNOWN, CLOCK_SNTP or CLOCK_SITE
    latest_ms  UTC after which this firmware believes no clock
    """

    def __init__(self, boot, released):
        self.boot = boot
        self.state = CLOCK_UNKNOWN
        self._released_ms = utc_s(*released) * 1000
        self.latest_ms = self._released_ms + _LIFE_MS
        self._belief = Belief(self._released_ms, self.latest_ms)
        self._ticks = time.ticks_ms()
        self._mono_ms = 0

    def mono_ms(self):
        """Return milliseconds since the boot; call it at least once in six days."""
        now = time.ticks_ms()
        # The counter of boards wraps after 12.4 days; differences do not.
        self._mono_ms += time.ticks_diff(now, self._ticks)
        self._ticks = now
        return self._mono_ms

    def utc_ms(self):
        """Return milliseconds since 1970 UTC, 0 while unknown."""
        return 0 if self.state == CLOCK_UNKNOWN else self.mono_ms() + self._belief.offset_ms

    def error_ms(self):
        """Return by how much utc_ms() may be off, None while it is unknown."""
        return None if self.state == CLOCK_UNKNOWN else self._belief.error_ms(self.mono_ms())

    def start(self, log_ms, proven_ms):
        """Start the RTC at the floor, unless what it shows can be right.

        log_ms     the last UTC in the log, 0 where there is none
        proven_ms  the last that came from a site: no SNTP goes behind it
        """
        self._belief.proven_ms = proven_ms
        floor_ms = max(self._released_ms, log_ms)
        year, month, day, _, hour, minute, second, _ = RTC().datetime()
        # It may have gone on through a reset that was no loss of power.
        if not floor_ms <= utc_s(year, month, day, hour, minute, second) * 1000 <= self.latest_ms:
            _set_rtc(floor_ms)

    def take(self, offset_ms, error_ms, source):
        """Judge an answer that has just come; returns one of belief.KEPT to ABSURD.

        offset_ms, error_ms  UTC minus mono_ms(), and by how much it may be off
        source               a site's number, or belief.SNTP
        """
        verdict = self._belief.take(offset_ms, error_ms, source, self.mono_ms())
        if verdict in (SET, STEPPED):
            self.state = self._belief.state()
            _set_rtc(self.utc_ms())
        return verdict


def _set_rtc(utc_ms):
    # Ports differ in what gmtime() counts from.
    epoch_s = utc_s(time.gmtime(0)[0], 1, 1)
    year, month, day, hour, minute, second, weekday = time.gmtime(utc_ms // 1000 - epoch_s)[:7]
    RTC().datetime((year, month, day, weekday, hour, minute, second, utc_ms % 1000 * 1000))
