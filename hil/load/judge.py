"""What a site must have: every byte that it receipted, as the gateway wrote it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bridge.core.journal.layout import CLASSES
from hil.load.replay import Replay
from hil.load.shape import Identity
from vitalkeep.hub.sectors import Place, Stored

Marks = Mapping[tuple[int, int], int]  # {(class, sector): bytes that were receipted}

_FOUND_MAX = 20


@dataclass
class Findings:
    """What comparing has found.

    sectors, bytes  that were compared
    missing         receipted and not stored; changed: stored otherwise; each in words
    """

    sectors: int = 0
    bytes: int = 0
    missing: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not self.missing and not self.changed

    def add(self, other: Findings) -> None:
        self.sectors += other.sectors
        self.bytes += other.bytes
        self.missing += other.missing[: _FOUND_MAX - len(self.missing)]
        self.changed += other.changed[: _FOUND_MAX - len(self.changed)]


def places(who: Identity, marks: Marks) -> list[Place]:
    """Return what to ask a store for, of one gateway."""
    return [Place(who.id, who.log, cls, number) for cls, number in sorted(marks)]


def compare(
    who: Identity, log: Replay, marks: Marks, stored: Mapping[Place, Stored | None]
) -> Findings:
    """Compare what a store has of one gateway with what was receipted to it."""
    found = Findings()
    for place in places(who, marks):
        known, length = stored.get(place), marks[(place.cls, place.sector)]
        data = known.data if known else b""
        name = f"gateway {who.number} class {CLASSES[place.cls]} sector {place.sector}"
        found.sectors += 1
        found.bytes += len(data)
        if len(data) < length:
            found.missing.append(f"{name}: {length} bytes receipted, {len(data)} stored")
        want = log.prefix(place.cls, place.sector, len(data))
        if data != want:
            at = next(n for n in range(len(want)) if data[n] != want[n])
            found.changed.append(f"{name}: byte {at} is not what was sent")
    return found


def observations(logs: Iterable[tuple[Replay, Marks]]) -> int:
    """Return how many observations are in all that was receipted."""
    return sum(
        log.observations(cls, number, length)
        for log, marks in logs
        for (cls, number), length in marks.items()
    )
