"""What a gateway noticed: its events, from its own flash, which it gives, or a hub's store.

Both sources are asked again and again by whoever follows; each gives an event once.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from bridge.core.journal import records
from bridge.core.journal.layout import CLASSES, SECTOR_SIZE
from vitalkeep.diagnose import Asker, meanings
from vitalkeep.errors import ToolError
from vitalkeep.hub.chains import KeyChains
from vitalkeep.hub.clocks import best_offsets
from vitalkeep.hub.store import Store
from vitalkeep.journal import chain, survey
from vitalkeep.journal.export import clock_row
from vitalkeep.keys.vault import Gateway

_PIECE = 2048  # bytes that a gateway gives at once
_STORED_MAX = 10_000
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Place(NamedTuple):
    """Where an event stands in the log; sorts as it was written."""

    cls: int
    sector: int
    offset: int
    idx: int


@dataclass(frozen=True)
class Entry:
    """One event.

    utc_ms   None while its boot has no clock record
    mono_ms  since the boot `boot`
    """

    place: Place
    boot: int
    mono_ms: int
    utc_ms: int | None
    name: str
    text: str

    @property
    def meaning(self) -> str:
        return meanings.EVENTS.get(self.name, "an event that this release does not know")

    def as_dict(self) -> dict[str, Any]:
        return {
            "utc": None if self.utc_ms is None else iso(self.utc_ms),
            "class": CLASSES[self.place.cls],
            "event": self.name,
            "text": self.text,
            "meaning": self.meaning,
            "boot": self.boot,
            "mono_ms": self.mono_ms,
            "sector": self.place.sector,
            "offset": self.place.offset,
            "index": self.place.idx,
        }


def iso(utc_ms: int) -> str:
    """Return a time as ISO 8601, to the millisecond."""
    when = _EPOCH + timedelta(milliseconds=utc_ms)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class FromGateway:
    """Events on a gateway's own flash, which it gives as they are there: sealed.

    sectors  how many of the newest of each class are read
    """

    def __init__(self, asker: Asker, gateway: Gateway, sectors: int = 2) -> None:
        self._asker = asker
        self._gateway = gateway
        self._count = sectors
        self._bytes: dict[tuple[int, int], bytearray] = {}  # by class and sector
        self._read: set[tuple[int, int]] = set()  # sectors that are closed and read
        self._seen: dict[int, Place] = {}  # the last event given, by class
        self._clocks: list[dict[str, int]] = []
        self._chains: dict[tuple[bytes, int], KeyChains] = {}

    async def fetch(self) -> list[Entry]:
        """Return events that were not given yet, by time; raises ToolError."""
        said = await self._asker.ask("report")
        log = bytes.fromhex(said["log"])
        found = []
        for cls, name in enumerate(CLASSES):
            oldest, newest, end = said["heads"][name]
            for sector in range(max(oldest, newest - self._count + 1, 0), newest + 1):
                stop = end if sector == newest else SECTOR_SIZE
                found += await self._sector(log, cls, sector, stop)
        offsets = best_offsets(self._clocks)
        return _in_order(_entry(place, record, offsets) for place, record in found)

    async def _sector(
        self, log: bytes, cls: int, sector: int, stop: int
    ) -> list[tuple[Place, Any]]:
        if (cls, sector) in self._read:
            return []
        data = self._bytes.setdefault((cls, sector), bytearray())
        if not await self._bring(data, cls, sector, stop):
            return []
        found = self._open(log, cls, sector, bytes(data))
        if stop == SECTOR_SIZE:
            self._read.add((cls, sector))
            del self._bytes[cls, sector]
        last = self._seen.get(cls, Place(cls, -1, 0, 0))
        fresh = [(place, record) for place, record in found if place > last]
        if fresh:
            self._seen[cls] = fresh[-1][0]
        return fresh

    async def _bring(self, data: bytearray, cls: int, sector: int, stop: int) -> bool:
        """Bring a sector's bytes up to `stop`; False when it is not on flash any more."""
        while len(data) < stop:
            count = min(_PIECE, stop - len(data))
            reply = await self._asker.ask("log", cls=cls, sector=sector, at=len(data), count=count)
            if reply["data"] is None:
                return False
            data += base64.b64decode(reply["data"])
        return True

    def _open(self, log: bytes, cls: int, number: int, data: bytes) -> list[tuple[Place, Any]]:
        whole = data.ljust(SECTOR_SIZE, b"\xff")
        sector = survey.survey(whole, 0)
        if sector.kind != survey.LOG:
            return []
        gateway = self._gateway
        chains = self._chains.get((log, cls))
        if chains is None:
            chains = self._chains[log, cls] = KeyChains(gateway.root, gateway.id, log, cls)
        if chains.refusal(sector.header):
            return []
        kept = []
        for record in chain.read(sector, whole, chains.key(sector.header))[0]:
            if record.kind == records.CLOCK:
                self._clocks.append(clock_row(record))
            elif record.kind == records.EVENT:
                kept.append((Place(cls, number, record.offset, record.index), record))
        return kept


class FromStore:
    """Events that a hub has stored."""

    def __init__(self, store: Store, gateway: Gateway) -> None:
        self._store = store
        self._gateway = gateway
        self._since_ms = 0
        self._seen: set[tuple[bytes, Place]] = set()

    async def fetch(self) -> list[Entry]:
        """Return events that were not given yet, by time; raises StoreError."""
        rows = self._store.events(self._gateway.id, self._since_ms, _STORED_MAX)
        fresh = []
        offsets = best_offsets(self._store.clocks(self._gateway.id))
        for row in rows:
            place = Place(row["cls"], row["sector"], row["offset"], row["idx"])
            # Rows of one moment may be committed after we looked: that moment is read again.
            self._since_ms = max(self._since_ms, row["stored_ms"] - 5000)
            if (bytes(row["log"]), place) in self._seen:
                continue
            self._seen.add((bytes(row["log"]), place))
            known = offsets.get(row["boot"])
            utc_ms = row["mono_ms"] + known[0] if known else None
            entry = Entry(place, row["boot"], row["mono_ms"], utc_ms, row["name"], row["text"])
            fresh.append(entry)
        return _in_order(fresh)


def _entry(place: Place, record: Any, offsets: dict[int, tuple[int, int, int]]) -> Entry:
    known = offsets.get(record.boot)
    utc_ms = record.mono_ms + known[0] if known else None
    name = records.EVENT_NAMES.get(record.event, f"event-{record.event}")
    return Entry(place, record.boot, record.mono_ms, utc_ms, name, record.text)


def _in_order(entries: Iterable[Entry]) -> list[Entry]:
    """Return entries by time; what the logs of all classes say, a boot, only once."""
    kept: list[Entry] = []
    boots = set()
    for entry in sorted(entries, key=lambda entry: entry.place):
        if entry.name == records.EVENT_NAMES[records.BOOT]:
            if entry.boot in boots:
                continue
            boots.add(entry.boot)
        kept.append(entry)
    return sorted(kept, key=lambda entry: (entry.utc_ms or 0, entry.mono_ms))


def parse_since(text: str, now_ms: int) -> int:
    """Return UTC ms of "2h", "30m", "1d", "90s" ago or of an ISO 8601 time; raises ToolError."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    try:
        if text[-1:] in units:
            return now_ms - round(float(text[:-1]) * units[text[-1]] * 1000)
        when = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise ToolError(
            f"--since {text}: no such time", "As 30m, 2h, 1d, or 2026-03-14T09:26:53Z."
        ) from None
    if when.tzinfo is None:
        when = when.astimezone()
    return round(when.timestamp() * 1000)
