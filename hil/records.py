"""What the hub has stored, read from its database: the other side of the comparison."""

from typing import Any

from bridge.core.journal.layout import CLASSES
from hil.verdict import Stored
from vitalkeep.hub import account
from vitalkeep.hub.clocks import best_offsets
from vitalkeep.hub.store import Store

_ROWS_MAX = 1_000_000


class HubRecords:
    """A reader of a hub's database.

    url  an SQLAlchemy URL
    """

    def __init__(self, url: str) -> None:
        self._store = Store(url)

    def _offsets(self, gateway: bytes) -> dict[int, int]:
        clocks = self._store.clocks(gateway)
        return {boot: best[0] for boot, best in best_offsets(clocks).items()}

    def _rows(self, gateway: bytes) -> list[tuple[dict[str, Any], Stored]]:
        offsets = self._offsets(gateway)
        found = []
        for row in self._store.observations(gateway, count=_ROWS_MAX):
            if row["boot"] in offsets:
                said = row["readings"]
                values = {label: entry[0] for label, entry in said.items()}
                utc_ms = row["mono_ms"] + offsets[row["boot"]]
                found.append((row, Stored(utc_ms, row["stored_ms"], values)))
        return found

    def by_device(self, gateway: bytes) -> dict[tuple[str, int], list[Stored]]:
        """Return the stored rows by (device, group)."""
        found: dict[tuple[str, int], list[Stored]] = {}
        for row, stored in self._rows(gateway):
            found.setdefault((row["device"], row["grp"]), []).append(stored)
        return found

    def by_class(self, gateway: bytes) -> dict[str, list[Stored]]:
        """Return the stored rows of each class."""
        found: dict[str, list[Stored]] = {cls: [] for cls in CLASSES}
        for row, stored in self._rows(gateway):
            found[CLASSES[row["cls"]]].append(stored)
        return found

    def clock_error_ms(self, gateways: list[bytes]) -> int:
        """Return how far the worst of the gateways' clocks may be off by its site's word."""
        found = [best_offsets(self._store.clocks(gateway)) for gateway in gateways]
        return max(error_ms for clocks in found for _, _, error_ms in clocks.values())

    def devices(self, gateways: list[bytes]) -> int:
        """Return how many devices have at least one dated value."""
        names = [{device for device, _ in self.by_device(gateway)} for gateway in gateways]
        return sum(len(found) for found in names)

    def micropython(self) -> list[str]:
        """Return the versions of MicroPython in the boards' sealed boot events, each once."""
        boots = [
            row["text"]
            for row in self._store.recent("events", 0, _ROWS_MAX)
            if row["name"] == "boot"
        ]
        return sorted({text.split("; ", 2)[2] for text in boots})

    def account(self, beds: dict[str, bytes], start_ms: int, until_ms: int) -> dict[str, Any]:
        """Return the hub's loss account from `start_ms` to `until_ms`, by bed and class."""
        found: dict[str, Any] = {}
        for bed, gateway in beds.items():
            spans, offsets = self._store.spans(gateway, start_ms), self._offsets(gateway)
            facts = account.Facts(spans, [], offsets, None, False)
            found[bed] = {
                name: _seconds(account.account(facts, cls, start_ms, until_ms).as_dict())
                for cls, name in enumerate(CLASSES)
            }
        return found


def _seconds(entry: dict[str, Any]) -> dict[str, Any]:
    causes = dict(entry["causes"])
    unknown = causes.pop(account.UNKNOWN, 0.0)
    return {
        "stored_s": entry["stored_s"],
        "on_its_way_s": entry["coming_s"],
        "gap_s": causes,
        "unknown_s": unknown,
    }
