"""A token bucket: how many bytes may go now. Pure; whoever calls brings the time."""

from __future__ import annotations

_BURST_S = 2.0
_PIECE_S = 2.0  # several may wait for each other, and whoever asked hangs up after 15


class Bucket:
    """Lets `rate` bytes a second through on average, and a burst of two seconds' worth.

    rate     0 for no limit
    least    the burst is at least so large, or what has to go in one piece would never go
    """

    def __init__(self, rate: float, least: int = 0) -> None:
        self.rate = rate
        self._size = max(rate * _BURST_S, least)
        self._level = self._size
        self._at_s: float | None = None

    def _fill(self, now_s: float) -> None:
        if self._at_s is not None and now_s > self._at_s:
            self._level = min(self._size, self._level + (now_s - self._at_s) * self.rate)
        self._at_s = now_s

    def room(self, now_s: float) -> int | None:
        """Return how many bytes may go now; None for no limit."""
        if not self.rate:
            return None
        self._fill(now_s)
        return max(0, int(self._level))

    def piece(self, most: int) -> int:
        """Return how many bytes, `most` or less, go in so short a time that nobody gives up."""
        return min(most, max(1, int(self.rate * _PIECE_S))) if self.rate else most

    def take(self, count: int, now_s: float) -> float:
        """Note that `count` bytes went; returns for how many seconds to wait before more go."""
        if not self.rate:
            return 0.0
        self._fill(now_s)
        # It may go below nothing: what was larger than it was said to be is paid for later.
        self._level -= count
        return max(0.0, -self._level / self.rate)
