"""Which classes go now: A always, B and C when the hub is idle, or once an hour. Pure."""

from __future__ import annotations

_ALL = (0, 1, 2)
_A_LAST = (1, 2, 0)
_A = (0,)


class Schedule:
    """The classes' turns with one peer.

    every_s  for how long B and C may wait for an idle moment
    """

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._served_s: float | None = None  # when nothing of B and C was missing
        self._turn = 0

    def classes(self, now_s: float, idle: bool, waiting: bool) -> tuple[int, ...]:
        """Return the classes to ask for, the first first.

        waiting  something of B or C is missing
        """
        if not waiting or self._served_s is None:
            self._served_s = now_s
        if now_s - self._served_s >= self._every_s:
            # However much of A there is, every second turn is theirs.
            self._turn += 1
            return _A_LAST if self._turn % 2 else _ALL
        return _ALL if idle else _A
