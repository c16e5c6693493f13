"""Which link carries the sessions, from what is measured on each. Pure; times are milliseconds.

A link is left at once when it is gone (down, or deaf: its last probes were all lost) while
another works. All else waits: at most one change of choice in `hold_ms`, to a link of a better
grade at once, back to a more preferred one of the same grade once that was steady for long.
"""

from array import array

from micropython import const

LOST = const(-1)  # the trip of a probe that nobody answered

# Grades, the best first
GOOD = const(0)
SLOW = const(1)
LOSSY = const(2)
UNKNOWN = const(3)  # too few probes yet
DEAF = const(4)
DOWN = const(5)
GRADES = ("good", "slow", "lossy", "unknown", "deaf", "down")

_WINDOW = const(20)
_ENOUGH = const(5)
_DEAF_RUN = const(3)
_LOSSY_FROM = const(3)  # of the window
_CLEAN_TO = const(1)  # a lossy link is clean again from here down
_TRIP_MAX = const(32767)


class Gauge:
    """The last probes of one link, and the grade that follows.

    slow_ms    a median above it is slow; it is good again at four fifths of it
    median_ms  of the answered probes in the window, 0 for none; lost: how many of it were not
    since_ms   when the grade became what it is
    """

    def __init__(self, slow_ms):
        self.grade = DOWN
        self.since_ms = 0
        self.median_ms = 0
        self.lost = 0
        self.count = 0
        self._slow_ms = slow_ms
        self._lost_run = 0
        self._trips = array("h", [0] * _WINDOW)
        self._sorted = array("h", [0] * _WINDOW)

    def set_up(self, up, now_ms):
        """Begin anew when the link comes or goes."""
        if up != (self.grade != DOWN):
            self.median_ms = self.lost = self.count = self._lost_run = 0
            self._become(UNKNOWN if up else DOWN, now_ms)

    def take(self, trip_ms, now_ms):
        """Take the outcome of one probe: its round trip or LOST."""
        if self.grade == DOWN:
            return
        trips = self._trips
        for index in range(_WINDOW - 1, 0, -1):
            trips[index] = trips[index - 1]
        trips[0] = LOST if trip_ms == LOST else min(trip_ms, _TRIP_MAX)
        self.count = min(self.count + 1, _WINDOW)
        self._lost_run = self._lost_run + 1 if trip_ms == LOST else 0
        self._measure()
        self._become(self._judge(), now_ms)

    def works(self):
        """Say whether somebody answers over this link."""
        return self.grade < DEAF and self.lost < self.count

    def _measure(self):
        ordered = self._sorted
        answered = 0
        for index in range(self.count):
            trip = self._trips[index]
            if trip == LOST:
                continue
            at = answered
            while at and ordered[at - 1] > trip:
                ordered[at] = ordered[at - 1]
                at -= 1
            ordered[at] = trip
            answered += 1
        self.lost = self.count - answered
        self.median_ms = ordered[answered // 2] if answered else 0

    def _judge(self):
        if self._lost_run >= _DEAF_RUN:
            return DEAF
        # Once it was left, it must be better than what it was left for.
        was_lossy = self.grade == LOSSY or self.grade == DEAF
        if self.lost >= _LOSSY_FROM or (was_lossy and self.lost > _CLEAN_TO):
            return LOSSY
        if self.count - self.lost < _ENOUGH:
            return UNKNOWN
        slow_ms = self._slow_ms * 4 // 5 if self.grade == SLOW else self._slow_ms
        return SLOW if self.median_ms > slow_ms else GOOD

    def _become(self, grade, now_ms):
        if grade != self.grade:
            self.grade = grade
            self.since_ms = now_ms


class Route:
    """The choice where every link that is up can be measured.

    count      of the links, which stand in the order of preference
    slow_ms    a median round trip above it is slow
    steady_ms  how long a better link must have kept its grade before it is taken again
    hold_ms    the least time between a change and the next that is not forced
    current    number of the link that carries, None while there is none
    """

    def __init__(self, count, slow_ms, steady_ms, hold_ms):
        self.gauges = [Gauge(slow_ms) for _ in range(count)]
        self.current = None
        self._steady_ms = steady_ms
        self._hold_ms = hold_ms
        self._changed_ms = 0

    def is_wanted(self, link):
        """Say whether a link is to be up: here, all."""
        return True

    def choose(self, now_ms):
        """Choose anew; returns why there is another link now, "" when there is not."""
        chosen, why = self._forced()
        if chosen == self.current and now_ms - self._changed_ms >= self._hold_ms:
            chosen, why = self._better(now_ms)
        if chosen == self.current:
            return ""
        self.current = chosen
        self._changed_ms = now_ms
        return why

    def _forced(self):
        """Return the best link if the current one is gone, and why; else the current one."""
        was = self.current
        grade = DOWN if was is None else self.gauges[was].grade
        if grade < DEAF:
            return was, ""
        best = was if grade == DEAF else None
        for link, gauge in enumerate(self.gauges):
            # A deaf link is as good as another one: the sites may all be gone.
            is_fit = gauge.works() if grade == DEAF else gauge.grade < DOWN
            if is_fit and (best in (None, was) or gauge.grade < self.gauges[best].grade):
                best = link
        return best, GRADES[grade]

    def _better(self, now_ms):
        was = self.current
        if was is None or self.gauges[was].grade == UNKNOWN:
            return was, ""
        grade = self.gauges[was].grade
        best, why = was, ""
        for link, gauge in enumerate(self.gauges):
            if gauge.grade < min(self.gauges[best].grade, LOSSY + 1):
                best, why = link, GRADES[grade]
        if best == was:
            for link in range(was):
                gauge = self.gauges[link]
                if gauge.grade == grade and now_ms - gauge.since_ms >= self._steady_ms:
                    return link, "steady"
        return best, why


class Turns:
    """The choice where only the link that carries can be measured: one is up at a time.

    A link that does not work for `patience_ms` gives way to the next; one that works badly gives
    way to those not known to be as bad. After `retry_ms` all that is known is forgotten, and the
    most preferred has its turn. `current` is never None.
    """

    def __init__(self, count, slow_ms, patience_ms, hold_ms, retry_ms):
        self.gauges = [Gauge(slow_ms) for _ in range(count)]
        self.current = 0
        self._known = [GOOD] * count  # the grade at which each was left; at first, a hope
        self._patience_ms = patience_ms
        self._hold_ms = hold_ms
        self._retry_ms = retry_ms
        self._changed_ms = 0
        self._tried_ms = 0

    def is_wanted(self, link):
        """Say whether a link is to be up: only the one whose turn it is."""
        return link == self.current

    def choose(self, now_ms):
        """Choose anew; returns why there is another link now, "" when there is not."""
        was = self.current
        gauge = self.gauges[was]
        bad_ms = now_ms - max(gauge.since_ms, self._changed_ms)
        if gauge.grade >= DEAF and bad_ms >= self._patience_ms:
            chosen, why = (was + 1) % len(self.gauges), GRADES[gauge.grade]
        elif gauge.grade == UNKNOWN or now_ms - self._changed_ms < self._hold_ms:
            return ""
        elif was and now_ms - self._tried_ms >= self._retry_ms:
            self._tried_ms = now_ms
            for link in range(len(self._known)):
                self._known[link] = GOOD
            chosen, why = 0, "retry"
        else:
            chosen, why = self._better(was, gauge.grade), GRADES[gauge.grade]
        if chosen == was:
            return ""
        self._known[was] = gauge.grade
        self.current = chosen
        self._changed_ms = now_ms
        if not was:
            self._tried_ms = now_ms
        return why

    def _better(self, was, grade):
        best = was
        self._known[was] = grade
        if grade in (SLOW, LOSSY):
            for link, known in enumerate(self._known):
                if known < self._known[best] or (known == self._known[best] and link < best):
                    best = link
        return best
