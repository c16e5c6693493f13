"""What a gateway believes of UTC: which answers it takes or refuses, how far it is off. Pure.

A source is a site's place in the ward's order, 0 first, or SNTP. A site's word is authenticated:
no number of SNTP servers moves a clock that a site has set.
"""

from micropython import const

from bridge.core.journal.layout import CLOCK_SITE, CLOCK_SNTP, CLOCK_UNKNOWN

SNTP = const(255)
_NOBODY = const(256)

# What became of an answer
KEPT = const(0)  # it agrees, and adds nothing
SET = const(1)  # it was taken: the log and the RTC are to be told
STEPPED = const(2)  # taken, and the clock moved by more than both errors
REFUSED = const(3)  # it contradicts a better source
ABSURD = const(4)  # before the firmware was made, or decades after

_DRIFT_PPM = const(100)  # crystals of boards have 10 to 50
_STEP_MS = const(200)  # less is a clock being disciplined, not a contradiction
_WORTH_MS = const(200)  # better by less, drift of half an hour, is not worth a record
_SETTLE_MS = const(10000)  # a source that steps its own clock again sooner is not followed
_ABANDONED_MS = const(600000)  # a site so long unheard no longer speaks against another


class Belief:
    """UTC minus monotonic time, by the best answer so far.

    earliest_ms, latest_ms  UTC that this firmware can see
    proven_ms               UTC that a site has vouched for in the log: no SNTP goes behind it
    """

    def __init__(self, earliest_ms, latest_ms):
        self.earliest_ms = earliest_ms
        self.latest_ms = latest_ms
        self.proven_ms = 0
        self.offset_ms = 0
        self.source = _NOBODY
        self._error_ms = 0
        self._set_ms = 0  # when the answer came that the offset is from
        self._heard_ms = 0  # when its source last agreed

    def state(self):
        """Return CLOCK_UNKNOWN, CLOCK_SNTP or CLOCK_SITE."""
        if self.source == _NOBODY:
            return CLOCK_UNKNOWN
        return CLOCK_SNTP if self.source == SNTP else CLOCK_SITE

    def error_ms(self, at_ms):
        """Return by how much the clock may be off by now; meaningless while unknown."""
        return self._error_ms + (at_ms - self._set_ms) * _DRIFT_PPM // 1000000

    def take(self, offset_ms, error_ms, source, at_ms):
        """Judge an answer that came at the monotonic time `at_ms`; returns one of the five."""
        utc_ms = offset_ms + at_ms
        if not self.earliest_ms <= utc_ms <= self.latest_ms:
            return ABSURD
        if source == SNTP and utc_ms + error_ms < self.proven_ms:
            return REFUSED
        if self.source == _NOBODY:
            return self._adopt(SET, offset_ms, error_ms, source, at_ms)
        own_ms = self.error_ms(at_ms)
        apart = abs(offset_ms - self.offset_ms) > max(error_ms + own_ms, _STEP_MS)
        if self.source == SNTP and source != SNTP:
            return self._adopt(STEPPED if apart else SET, offset_ms, error_ms, source, at_ms)
        if self.source != SNTP and source == SNTP:
            return REFUSED if apart else KEPT
        if apart:
            if not self._may_step(source, at_ms):
                return REFUSED
            return self._adopt(STEPPED, offset_ms, error_ms, source, at_ms)
        if source <= self.source:
            self._heard_ms = at_ms
        if own_ms - error_ms > _WORTH_MS:
            return self._adopt(SET, offset_ms, error_ms, min(source, self.source), at_ms)
        return KEPT

    def _may_step(self, source, at_ms):
        if source == self.source:
            return at_ms - self._set_ms >= _SETTLE_MS
        return source < self.source or at_ms - self._heard_ms > _ABANDONED_MS

    def _adopt(self, verdict, offset_ms, error_ms, source, at_ms):
        self.offset_ms = offset_ms
        self.source = source
        self._error_ms = error_ms
        self._set_ms = self._heard_ms = at_ms
        return verdict
