"""From when to when a bed had no current values of a class: RTO as it was attained. Pure.

An outage begins with the last value that is stored, once that is late (half of the class's RPO),
and ends when a value that is not late is stored: backlog, however much, ends none.
"""

from __future__ import annotations

from collections.abc import Iterable

from bridge.core.journal.layout import CLASSES
from vitalkeep.hub.account import SILENT
from vitalkeep.hub.decode import Row
from vitalkeep.hub.ward import STALE_S

LATE_MS = tuple(STALE_S[name][0] * 1000 for name in CLASSES)


class Outages:
    """The outages that go on, and which began or ended.

    lag_ms  the age of the newest value by class, the worst bed deciding; 0 where none is known
    """

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self._open = {(bytes(row["gateway"]), row["cls"]): dict(row) for row in rows}
        self.lag_ms = dict.fromkeys(range(len(CLASSES)), 0)

    def __len__(self) -> int:
        return len(self._open)

    def longest_ms(self, now_ms: int) -> dict[int, int]:
        """Return by class how long the longest of those that go on already lasts."""
        found: dict[int, int] = {}
        for (_, cls), row in self._open.items():
            found[cls] = max(found.get(cls, 0), now_ms - row["start_ms"])
        return found

    def begin_round(self, gateways: Iterable[bytes]) -> None:
        """Begin to look at these gateways; what goes on at others is another hub's to end."""
        served = set(gateways)
        self._open = {key: row for key, row in self._open.items() if key[0] in served}
        self.lag_ms = dict.fromkeys(self.lag_ms, 0)

    def look(
        self, gateway: bytes, cls: int, newest_ms: int, now_ms: int, cause: str
    ) -> Row | None:
        """Take the time of the newest value of a class; returns a row of `outages` that changed.

        cause  why nothing newer is there; "" for a device that is off: no outage
        """
        late = now_ms - newest_ms > LATE_MS[cls]
        if cause or not late:
            self.lag_ms[cls] = max(self.lag_ms[cls], now_ms - newest_ms)
        found = self._open.get((gateway, cls))
        if found is None and late and cause:
            row = {"gateway": gateway, "cls": cls, "start_ms": newest_ms, "end_ms": None}
            row["cause"] = cause
            self._open[gateway, cls] = row
            return dict(row)
        if found is not None and not (late and cause):
            del self._open[gateway, cls]
            ended = found | {"end_ms": now_ms}
            # Heard again, and the device is off: nobody knows since when, so it is no RTO of ours.
            return ended if cause else ended | {"cause": SILENT}
        return None
