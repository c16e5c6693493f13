"""What one commit adds to a site, and what it is made from: values that only carry."""

from __future__ import annotations

from dataclasses import dataclass, field

from vitalkeep.hub.decode import DECODED, OF_THE_HUB, Row, Rows, row_place
from vitalkeep.hub.sectors import Place


@dataclass(frozen=True)
class Run:
    """A run whose tag is right: bytes at `offset` of a sector, released mark as never cleared.

    tag  empty where it is not that of these very bytes
    """

    place: Place
    offset: int
    data: bytes
    tag: bytes = b""


@dataclass(frozen=True)
class Sealed:
    """A whole sector from another site; `previous` is the tag of the one before as it has that,
    None where it has not.
    """

    place: Place
    data: bytes
    previous: bytes | None


@dataclass(frozen=True)
class Hint:
    """A gateway's birth or will: anyone may have written it."""

    gateway: bytes
    online: bool


@dataclass(frozen=True)
class Change:
    """A sector's new state.

    The store must have `old` bytes of it, decoded up to `old_decoded`, or refuse the whole batch.
    spans  None where they are not known, as nothing was decoded
    tags   of the runs that `piece` came in, see tags.py
    """

    place: Place
    old: int
    piece: bytes
    length: int
    state: int
    spans: str | None
    whole: bytes | None
    old_decoded: int = 0
    decoded: int = 0
    day: int = 0
    tags: bytes = b""


@dataclass
class Batch:
    """What one commit adds.

    decode    whether the runs that are taken next are decoded at once, or only their bytes stored
    thorough  also whole sectors are decoded at once: nobody waits for a receipt
    rows      by table, decoded; observations are one by one here, as people want to see them
    blocks    what the store keeps of the observations
    touched   what the receipts are about
    worker, fences  who writes, and under which fence each gateway of the batch is its own; no
                    fences where there is one hub alone
    replaced  sectors whose bytes were wrong: what was decoded of them is wrong, too
    refused   sealed sectors of another site that are not stored, each with the reason
    """

    now_ms: int
    decode: bool = True
    thorough: bool = False
    changes: list[Change] = field(default_factory=list)
    rows: Rows = field(default_factory=dict)
    blocks: list[Row] = field(default_factory=list)
    heads: dict[bytes, Row] = field(default_factory=dict)
    radio: dict[bytes, Row] = field(default_factory=dict)
    story: list[Row] = field(default_factory=list)
    touched: dict[tuple[bytes, bytes], dict[Place, None]] = field(default_factory=dict)
    alarms: list[tuple[bytes, str]] = field(default_factory=list)
    dirty: dict[Place, int] = field(default_factory=dict)
    worker: str = ""
    fences: dict[bytes, int] = field(default_factory=dict)
    tags: dict[Place, bytes] = field(default_factory=dict)
    replaced: set[Place] = field(default_factory=set)
    refused: list[tuple[Place, str]] = field(default_factory=list)

    def add(self, table: str, row: Row) -> None:
        self.rows.setdefault(table, []).append(row)

    def take_back(self, place: Place) -> None:
        """Note that a sector's bytes were wrong, and drop what was decoded of them just now."""
        self.replaced.add(place)
        self.tags.pop(place, None)
        for table in DECODED:
            rows = self.rows.pop(table, [])
            kept = [r for r in rows if row_place(r) != place or r.get("event") == OF_THE_HUB]
            if kept:
                self.rows[table] = kept

    def is_empty(self) -> bool:
        return not (self.changes or self.rows or self.heads or self.radio or self.story)

    def gateways(self) -> set[bytes]:
        """Return whom it is about."""
        found = {change.place.gateway for change in self.changes}
        found |= {row["gateway"] for rows in self.rows.values() for row in rows}
        found |= {row["gateway"] for row in self.story if row["gateway"] is not None}
        return found | set(self.heads) | set(self.radio)
