"""What one commit adds to a site, and what it is made from: values that only carry."""

from __future__ import annotations

from dataclasses import dataclass, field

from vitalkeep.hub.decode import Row, Rows
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

    The store must have `old` bytes of it, or refuse the whole batch.
    decoded, spans  None: as the store has them
    tags  of the runs that `piece` came in, see tags.py
    """

    place: Place
    old: int
    piece: bytes
    length: int
    state: int
    whole: bytes | None
    day: int = 0
    decoded: int | None = None
    spans: str | None = None
    tags: bytes = b""


@dataclass
class Batch:
    """What one commit adds.

    rows      by table; observations are one by one here, as people want to see them
    blocks    what the store keeps of the observations
    touched   what the receipts are about
    worker, fences  who writes, and under which fence each gateway of the batch is its own; no
                    fences where there is one hub alone
    replaced  sectors whose bytes were wrong: what was decoded of them goes, what is in the right
              ones is in `rows` and `blocks`. Others are decoded after their bytes are committed
    spoilt    sectors that were found to be spoilt
    mended    spoilt sectors that are stored anew: what the store had of their bytes goes
    refused   sealed sectors of another site that are not stored, each with the reason
    """

    now_ms: int
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
    spoilt: list[Place] = field(default_factory=list)
    mended: set[Place] = field(default_factory=set)
    refused: list[tuple[Place, str]] = field(default_factory=list)

    def add(self, table: str, row: Row) -> None:
        self.rows.setdefault(table, []).append(row)

    def is_empty(self) -> bool:
        return not (self.changes or self.rows or self.heads or self.radio or self.story)

    def gateways(self) -> set[bytes]:
        """Return whom it is about."""
        found = {change.place.gateway for change in self.changes}
        found |= {row["gateway"] for rows in self.rows.values() for row in rows}
        found |= {row["gateway"] for row in self.story if row["gateway"] is not None}
        return found | set(self.heads) | set(self.radio)
