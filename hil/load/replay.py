"""A gateway's log as it was written, growing again: the journal that a sender reads."""

import json
from bisect import bisect_right
from itertools import accumulate
from pathlib import Path

from bridge.core.journal import layout

_SECTOR = layout.SECTOR_SIZE


class Replay:
    """What `bridge.core.sender` asks of a journal, over a file of logs.py.

    now_ms  milliseconds since the gateway's boot up to which it has been written
    pool    itself: nothing is ever overwritten
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            commits = json.loads(file.readline())["commits"]
            data = file.read()
        self.pool = self
        self.now_ms = 0.0
        self._times: list[list[int]] = []
        self._ends: list[list[tuple[int, int]]] = []
        self._places: list[list[int]] = []  # ends as one number each, for a search
        self._values: list[list[int]] = []  # values up to a commit, itself included
        self._sectors: list[list[bytes]] = []
        self._used: list[list[int]] = []  # where what was appended to a sector ends
        self._at: list[int] = []  # the newest commit that was written
        at = 0
        for made in commits:
            self._times.append([when for when, _, _, _ in made])
            self._ends.append([(number, end) for _, number, end, _ in made])
            self._places.append([number * _SECTOR + end for _, number, end, _ in made])
            self._values.append(list(accumulate(values for _, _, _, values in made)))
            stop = at + (made[-1][1] + 1) * _SECTOR
            sectors = [data[s : s + _SECTOR] for s in range(at, stop, _SECTOR)]
            self._sectors.append(sectors)
            seals = [layout.parse_seal(sector) for sector in sectors]
            self._used.append([seal[0] if seal else made[-1][2] for seal in seals])
            self._at.append(0)
            at = stop

    # --- time ---

    @property
    def next_ms(self) -> int | None:
        """Return when the next commit of any class comes, None when the log is at its end."""
        due = [t[at + 1] for t, at in zip(self._times, self._at, strict=True) if at + 1 < len(t)]
        return min(due, default=None)

    @property
    def length_ms(self) -> int:
        return max(times[-1] for times in self._times)

    def advance(self, now_ms: float) -> bool:
        """Let the log grow up to `now_ms`; returns True when it did."""
        self.now_ms = max(self.now_ms, now_ms)
        grew = False
        for cls, times in enumerate(self._times):
            at = bisect_right(times, now_ms) - 1
            if at > self._at[cls]:
                self._at[cls] = at
                grew = True
        return grew

    def due_ms(self, cls: int, number: int, offset: int) -> int:
        """Return when the commit with the byte at `offset` of a sector was made."""
        at = bisect_right(self._places[cls], number * _SECTOR + offset)
        return self._times[cls][min(at, len(self._times[cls]) - 1)]

    def values(self, cls: int, number: int, offset: int, end: int) -> int:
        """Return how many values are in the commits that end behind `offset`, up to `end`."""
        places, values = self._places[cls], self._values[cls]
        first = bisect_right(places, number * _SECTOR + offset)
        last = bisect_right(places, number * _SECTOR + end)
        before = values[first - 1] if first else 0
        return (values[last - 1] if last else 0) - before

    def observations(self, cls: int, number: int, length: int) -> int:
        """Return how many commits with values end within the first `length` bytes of a sector."""
        values, places = self._values[cls], self._places[cls]
        first = bisect_right(places, number * _SECTOR)
        last = bisect_right(places, number * _SECTOR + length)
        return sum(values[at] > values[at - 1] for at in range(max(first, 1), last))

    # --- the journal ---

    def newest(self, cls: int) -> tuple[int, int]:
        return self._ends[cls][self._at[cls]]

    def oldest(self, cls: int) -> int:
        return 0

    def read(self, cls: int, number: int, offset: int, buffer: bytearray | memoryview) -> bool:
        buffer[:] = self._sectors[cls][number][offset : offset + len(buffer)]
        return True

    def closed_end(self, cls: int, number: int) -> int:
        return self._used[cls][number]

    def is_orphan(self, cls: int, number: int) -> bool:
        return False

    def is_copied(self, cls: int, number: int) -> bool:
        return False

    def prefix(self, cls: int, number: int, length: int) -> bytes:
        """Return the first bytes of a sector, as a site should have them."""
        return self._sectors[cls][number][:length]
