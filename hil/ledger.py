"""What the simulated devices really put on the wire: one side of the comparison."""

import json
import time
from collections.abc import Mapping
from pathlib import Path

from hil.verdict import Sent


class Ledger:
    """Ordered rows by bed, device and group; a row is made when the last byte has left."""

    def __init__(self) -> None:
        self.damaged = 0  # messages that were spoilt on the wire on purpose
        self._rows: dict[tuple[str, str, int], list[Sent]] = {}

    def record(self, bed: str, device: str, group: int, values: Mapping[str, str | None]) -> None:
        """Note one observation: decimal strings in the unit of the parameter table, or None."""
        row = Sent(round(time.time() * 1000), dict(values))
        self._rows.setdefault((bed, device, group), []).append(row)

    def rows(self, bed: str) -> dict[tuple[str, int], list[Sent]]:
        """Return a bed's rows by (device, group)."""
        return {key[1:]: list(rows) for key, rows in self._rows.items() if key[0] == bed}

    def produced_since(self, utc_ms: int) -> int:
        """Return how many observations were put on the wire since `utc_ms`."""
        return sum(row.utc_ms >= utc_ms for rows in self._rows.values() for row in rows)

    def dump(self, path: Path) -> None:
        """Write every row as a line of JSON."""
        with path.open("w") as file:
            for (bed, device, group), rows in self._rows.items():
                for row in rows:
                    entry = {"bed": bed, "device": device, "group": group, "utc_ms": row.utc_ms}
                    file.write(json.dumps(entry | {"values": row.values}) + "\n")
