"""What the simulated devices really put on the wire: one side of the comparison."""

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from hil.verdict import Sent

Rows = dict[tuple[str, str, int], list[Sent]]


class Ledger:
    """Ordered rows by bed, device and group; a row is made when the last byte has left.

    Messages that were spoilt on the wire on purpose are kept apart: a receiver may rightly drop
    them, or, where a protocol has no check, take what is left of them for something else.
    """

    def __init__(self) -> None:
        self._rows: Rows = {}
        self._spoilt: Rows = {}

    def record(self, bed: str, device: str, group: int, values: Mapping[str, str | None]) -> None:
        """Note one observation: decimal strings in the unit of the parameter table, or None."""
        _add(self._rows, (bed, device, group), values)

    def record_damaged(
        self, bed: str, device: str, group: int, values: Mapping[str, str | None]
    ) -> None:
        """Note an observation whose message was spoilt; `values` are what it would have said."""
        _add(self._spoilt, (bed, device, group), values)

    @property
    def produced(self) -> int:
        """How many observations were put on the wire."""
        return sum(map(len, self._rows.values()))

    @property
    def damaged(self) -> int:
        """How many more would have been, had their messages not been spoilt."""
        return sum(map(len, self._spoilt.values()))

    def rows(self, bed: str) -> dict[tuple[str, int], list[Sent]]:
        """Return a bed's rows by (device, group)."""
        return _of_bed(self._rows, bed)

    def damaged_rows(self, bed: str) -> dict[tuple[str, int], list[Sent]]:
        """Return what a bed's spoilt messages would have said, by (device, group)."""
        return _of_bed(self._spoilt, bed)

    def produced_since(self, utc_ms: int) -> int:
        """Return how many observations were put on the wire since `utc_ms`."""
        return sum(row.utc_ms >= utc_ms for rows in self._rows.values() for row in rows)

    def dump(self, path: Path) -> None:
        """Write every row as a line of JSON."""
        with path.open("w", encoding="utf-8") as file:
            for entry in self._entries():
                file.write(json.dumps(entry) + "\n")

    def _entries(self) -> Iterator[dict[str, object]]:
        for rows_by_key, damaged in ((self._rows, False), (self._spoilt, True)):
            for (bed, device, group), rows in rows_by_key.items():
                head = {"bed": bed, "device": device, "group": group, "damaged": damaged}
                for row in rows:
                    yield {**head, "utc_ms": row.utc_ms, "values": row.values}


def _add(rows: Rows, key: tuple[str, str, int], values: Mapping[str, str | None]) -> None:
    rows.setdefault(key, []).append(Sent(round(time.time() * 1000), dict(values)))


def _of_bed(rows: Rows, bed: str) -> dict[tuple[str, int], list[Sent]]:
    return {key[1:]: list(found) for key, found in rows.items() if key[0] == bed}
