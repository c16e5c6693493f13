"""Who keeps count of airtime, also over reboots: starting again gives no new hour. Pure."""

from array import array

from micropython import const

_PARTS = const(60)  # of a window
_AHEAD = const(8)
_SHORT_MS = const(60000)  # a window so short is waited for after each start instead


class Budget:
    """Keeps what is transmitted within `airtime_ms` of any `window_ms`. Refuses, never waits.

    Airtime is counted by parts of a window, and a part is forgotten only when its whole length
    lies outside: so what it allows is the law's measure or less, never more.
    """

    def __init__(self, window_ms, airtime_ms):
        self.window_ms = window_ms
        self.limit_us = airtime_ms * 1000
        self.spent_us = 0  # within the window
        self._part_ms = (window_ms + _PARTS - 1) // _PARTS
        self._parts = array("I", bytes(4 * (_PARTS + 2)))
        self._newest = 0

    def _advance(self, part):
        """Forget what is older than a window before the end of `part`."""
        parts = self._parts
        for number in range(self._newest + 1, min(part, self._newest + len(parts)) + 1):
            place = number % len(parts)
            self.spent_us -= parts[place]
            parts[place] = 0
        self._newest = max(self._newest, part)

    def left_us(self, now_ms):
        """Return how much airtime is left now."""
        self._advance(now_ms // self._part_ms)
        return max(0, self.limit_us - self.spent_us)

    def spend(self, airtime_us, now_ms):
        """Take the airtime of a frame that begins now; returns False where it is not there."""
        if airtime_us > self.left_us(now_ms):
            return False
        self.charge(airtime_us, now_ms)
        return True

    def charge(self, airtime_us, now_ms):
        """Count airtime that was used, or may have been, whether or not it was there."""
        self._advance(now_ms // self._part_ms)
        # In the part in which the frame ends: it must not be forgotten before its last moment.
        self._advance((now_ms + airtime_us // 1000) // self._part_ms)
        airtime_us = min(airtime_us, self.limit_us)
        self._parts[self._newest % len(self._parts)] += airtime_us
        self.spent_us += airtime_us

    def wait_ms(self, airtime_us, now_ms):
        """Return when a frame of that airtime could begin: in so many ms, 0 for now."""
        missing = airtime_us - self.left_us(now_ms)
        if missing <= 0:
            return 0
        parts = self._parts
        oldest = self._newest - len(parts) + 1
        for number in range(oldest, self._newest + 1):
            missing -= parts[number % len(parts)]
            if missing <= 0:
                return max(1, (number + len(parts)) * self._part_ms - now_ms)
        return self.window_ms + 2 * self._part_ms


class KeptBudget(Budget):
    """A Budget that a restart does not refill.

    What is kept is one number, always at least the airtime of the last window: it is written ahead
    by an eighth of the budget, so that not every frame is written down. After a start nobody knows
    when it was used, so all of it counts as used at that moment.

    plan      a Plan
    load      load() -> the text that was kept, None when there is none
    save      save(text) keeps it; raises OSError when it cannot
    unsaved   how often that was
    """

    def __init__(self, plan, load, save, now_ms):
        super().__init__(plan.window_ms, plan.airtime_ms)
        self.unsaved = 0
        self._save = save
        self._kept_us = -1
        if plan.window_ms > _SHORT_MS:
            self._kept_us = self._read(load)
        self.charge(self.limit_us if self._kept_us < 0 else self._kept_us, now_ms)

    def _read(self, load):
        try:
            text = load()
            return 0 if text is None else min(max(0, int(text)), self.limit_us)
        except ValueError:
            return self.limit_us  # damaged: all of it may have been used

    def spend(self, airtime_us, now_ms):
        """Take the airtime of a frame that begins now; returns False where it is not there."""
        if not super().spend(airtime_us, now_ms):
            return False
        used, ahead = self.spent_us, self.limit_us // _AHEAD
        if self._kept_us >= 0 and not used <= self._kept_us <= used + 2 * ahead:
            kept_us = min(used + ahead, self.limit_us)
            try:
                self._save(str(kept_us))
                self._kept_us = kept_us
            except OSError:
                self.unsaved += 1
        return True
