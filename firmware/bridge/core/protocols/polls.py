"""Whose turn it is: requests that repeat, one open at a time."""

from micropython import const

IDLE = const(-1)


class Polls:
    """The schedule of one polled line.

    periods_ms  for each request its time between two askings; 0 is asked once, by `again`
    timeout_ms  of silence after which an open request counts as missed
    open        index of the request that waits for its answer, or IDLE
    missed      requests without an answer that have not been told yet
    """

    def __init__(self, periods_ms, timeout_ms):
        self._periods_ms = periods_ms
        self._due_ms = [0 if period_ms else None for period_ms in periods_ms]
        self._timeout_ms = timeout_ms
        self._heard_ms = 0
        self.open = IDLE
        self.missed = 0

    def next(self, now_ms):
        """Return the index of the request to send now, which becomes the open one, or IDLE."""
        if self.open != IDLE:
            if now_ms - self._heard_ms < self._timeout_ms:
                return IDLE
            self.open = IDLE
            self.missed += 1
        found = IDLE
        late_ms = 0
        for index in range(len(self._due_ms)):
            due_ms = self._due_ms[index]
            if (
                due_ms is not None
                and now_ms >= due_ms
                and (found == IDLE or now_ms - due_ms > late_ms)
            ):
                found = index
                late_ms = now_ms - due_ms
        if found != IDLE:
            period_ms = self._periods_ms[found]
            # From the time it was due, so that readings keep their pace.
            self._due_ms[found] = (
                now_ms + period_ms - (late_ms if late_ms < period_ms else 0) if period_ms else None
            )
            self.open = found
            self._heard_ms = now_ms
        return found

    def again(self, index):
        """Ask for this one as soon as the line is free."""
        self._due_ms[index] = 0

    def heard(self, now_ms):
        """Say that bytes have come: a slow answer is not a missing one."""
        self._heard_ms = now_ms

    def answered(self):
        """Close the open request."""
        self.open = IDLE
