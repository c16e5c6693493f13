"""How much of the backlog may be under way at once, so that live commits do not wait for it. Pure.

What is sent waits twice: on a slow link, and at a site that is busy, perhaps with a thousand other
gateways. Both show in how long receipts take. The share begins with one run; it doubles each round
trip until receipts come later than the best of them by more than a live commit should wait, halves
then, and grows by a run a round trip from there on, as TCP's congestion window does.
"""

from micropython import const

from bridge.core.wire import RUN_BYTES_MAX

_QUEUE_MS = const(140)
_NEVER_MS = const(1 << 29)


class Share:
    """The bytes of the backlog that may wait for receipts.

    most   bytes at the most
    bytes  now: one run at least
    """

    def __init__(self, most):
        self._most = max(most, RUN_BYTES_MAX)
        self.restart()

    def restart(self):
        """A new session: the path may be another one."""
        self.bytes = RUN_BYTES_MAX
        self._doubles = True
        self._least_ms = _NEVER_MS  # that a run has waited in this session
        self._round_ms = 0  # when this round began
        self._stored = 0  # bytes, and the least that any waited, in this round
        self._best_ms = _NEVER_MS

    def receipted(self, size, sent_ms, now_ms):
        """Take note that a run of `size` bytes sent at `sent_ms` is stored at the site."""
        if 2 * size < RUN_BYTES_MAX:
            return  # the rest of a sector, or its seal: no work for the site
        self._stored += size
        self._best_ms = min(self._best_ms, now_ms - sent_ms)
        if sent_ms < self._round_ms:
            return
        # What was sent since the round began is back: a stall of one run is none of the path.
        self._least_ms = min(self._least_ms, self._best_ms)
        if self._best_ms - self._least_ms <= _QUEUE_MS:
            more = self._stored if self._doubles else RUN_BYTES_MAX
            self.bytes = min(self._most, self.bytes + more)
        else:
            if self.bytes == RUN_BYTES_MAX:
                # Alone on its way it waited for nothing of ours: the path has become longer.
                self._least_ms = self._best_ms
            self._doubles = False
            self.bytes = max(RUN_BYTES_MAX, self.bytes // 2)
        self._round_ms = now_ms
        self._stored = 0
        self._best_ms = _NEVER_MS
