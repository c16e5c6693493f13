"""Records of a log to rows of the store. Pure: no I/O, no clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from bridge.core.journal import records
from bridge.core.journal.layout import CLASSES, SEAL_AT, SECTOR_SIZE, Header
from bridge.core.journal.reader import SectorReader
from vitalkeep.hub.columns import Block, Blocks
from vitalkeep.hub.sectors import Place
from vitalkeep.hub.spans import Spans
from vitalkeep.hub.values import readings

Row = dict[str, Any]
Rows = dict[str, list[Row]]  # by table

OF_THE_HUB = 0  # an event that no gateway wrote
DECODED = ("observations", "alarms", "events", "gaps")  # tables whose rows name their sector
RECENT = 90  # observations of a device that people see one by one; blocks have them all


class Found(NamedTuple):
    """What was decoded of a sector after its bytes were committed.

    was, decoded  the store must have its rows up to the one, and has them up to the other then
    rows, blocks  as in a Batch
    error         why not all of it could be decoded, "" for all
    """

    place: Place
    was: int
    decoded: int
    spans: str
    rows: Rows
    blocks: list[Row]
    error: str


class SectorDecoder:
    """Reads the records of one sector as it grows, each once.

    key      of the sector's chain
    after    where the commits begin of which the store has no rows yet
    decoded  where those begin that are not read yet; all of it when none are left
    spans, blocks  of what was read
    """

    def __init__(
        self, cipher: Callable[[bytes], Any], place: Place, key: bytes, after: int
    ) -> None:
        self.decoded = after
        self.spans = Spans(place.cls)
        self.blocks = Blocks()
        self._place = place
        self._reader = SectorReader(cipher, key)
        self._damaged = False

    def feed(self, grown: bytes, now_ms: int, recent: int | None = None) -> tuple[Rows, str]:
        """Read what has come: `grown` is all of the sector so far.

        recent   how many observations of each device and group become rows, the last ones; None:
                 all. The others are in `blocks` alone
        Returns  (rows that the store does not have, "" or why all behind it cannot be read; that
                 is said once)
        """
        # Any exception: what one gateway wrote under its own key must not stop all others.
        read: list[Any] = []
        error = ""
        if not self._damaged:
            try:
                self._reader.feed(grown, read)
            except Exception as wrong:
                error = _words(wrong)
        senseless = self._note(read, now_ms)
        error = error or senseless
        rows: Rows = {}
        news = [record for record in read if record.offset >= self.decoded]
        for record in _recent(news, recent):
            try:
                found = row_of(record, self._place, now_ms)
            except Exception as wrong:
                error = error or _words(wrong)
                continue
            if found:
                rows.setdefault(found[0], []).append(found[1])
        self._damaged = self._damaged or bool(error)
        whole = len(grown) == SECTOR_SIZE
        self.decoded = len(grown) if whole or self._damaged else self._reader.at
        return rows, error

    def _note(self, read: list[Any], now_ms: int) -> str:
        """Add observations to spans and blocks; returns "" or why one cannot be."""
        error = ""
        for record in read:
            if record.kind != records.OBSERVATION:
                continue
            self.spans.add(record.device.name, record.boot, record.mono_ms)
            if record.offset >= self.decoded:
                try:
                    self.blocks.add(record, now_ms)
                except Exception as wrong:
                    error = error or _words(wrong)
        return error


def _words(wrong: Exception) -> str:
    return str(wrong) or type(wrong).__name__


def _recent(read: list[Any], count: int | None) -> list[Any]:
    """Return records without the observations before the last `count` of a device and group."""
    seen: Counter[tuple[str, int]] = Counter()
    kept = []
    for record in reversed(read):
        if count is not None and record.kind == records.OBSERVATION:
            of = (record.device.name, record.group)
            seen[of] += 1
            if seen[of] > count:
                continue
        kept.append(record)
    kept.reverse()
    return kept


def add_rows(rows: Rows, more: Rows) -> None:
    """Add rows to others, table by table."""
    for table, found in more.items():
        rows.setdefault(table, []).extend(found)


def row_of(record: Any, place: Place, now_ms: int) -> tuple[str, Row] | None:
    """Return (table name, row) for a record, None for a kind this hub does not keep.

    now_ms  the hub's UTC, for when a row was stored
    """
    row: Row = {
        "gateway": place.gateway,
        "log": place.log,
        "cls": place.cls,
        "sector": place.sector,
        "offset": record.offset,
        "idx": record.index,
        "boot": record.boot,
        "mono_ms": record.mono_ms,
    }
    if record.kind == records.OBSERVATION:
        device = record.device
        row |= {"device": device.name, "protocol": device.protocol, "unit": device.unit}
        row |= {"grp": record.group, "readings": readings(record.values)}
        row["stored_ms"] = now_ms
        return "observations", row
    if record.kind == records.ALARM:
        row |= {"device": record.device.name, "page": record.page, "code": record.code}
        row |= {"priority": record.priority, "active": record.active, "text": record.text}
        return "alarms", row
    if record.kind == records.EVENT:
        name = records.EVENT_NAMES.get(record.event, f"event-{record.event}")
        row |= {"event": record.event, "name": name, "text": record.text, "stored_ms": now_ms}
        return "events", row
    if record.kind == records.GAP:
        row |= {"gap_cls": record.cls, "first": record.first, "last": record.last}
        return "gaps", row | {"stored_ms": now_ms}
    if record.kind == records.CLOCK:
        return "clocks", {
            "gateway": place.gateway,
            "boot": record.boot,
            "mono_ms": record.exact_ms,
            "utc_ms": record.utc_ms,
            "error_ms": record.error_ms,
            "quality": record.clock,
        }
    return None


def block_row(block: Block, place: Place, day: int) -> Row:
    """Return the row of a block of observations as it is now."""
    return place._asdict() | {
        "offset": block.offset,
        "idx": block.index,
        "day": day,
        "boot": block.boot,
        "first_ms": block.first_ms,
        "last_ms": block.last_ms,
        "stored_ms": block.stored_ms,
        "count": len(block),
        "device": block.device.name,
        "protocol": block.device.protocol,
        "unit": block.device.unit,
        "grp": block.group,
        "data": block.pack(),
    }


def epoch_row(header: Header, place: Place, now_ms: int) -> Row:
    """Return the events row of a new key epoch, at its first sector's header: it is told once."""
    where = place._replace(sector=header.epoch_first)
    name = f"class {CLASSES[place.cls]} goes on with sector {where.sector} in epoch {header.epoch}"
    return _hub_row(header, where, 0, "key-epoch", name, now_ms)


def orphan_row(header: Header, place: Place, now_ms: int) -> Row:
    """Return the events row of a sector that will get no seal, at the place of that seal."""
    text = f"class {CLASSES[place.cls]} sector {place.sector}: its key is lost, it has no seal"
    return _hub_row(header, place, SEAL_AT, "orphan", text, now_ms)


def silent_row(header: Header, place: Place, now_ms: int) -> Row:
    """Return the events row of a sector whose gateway fell silent, at the place of its seal."""
    where = f"class {CLASSES[place.cls]} sector {place.sector}"
    text = f"{where}: nothing was heard of its gateway for long, it has no seal"
    return _hub_row(header, place, SEAL_AT, "orphan", text, now_ms)


def _hub_row(header: Header, place: Place, offset: int, name: str, text: str, now_ms: int) -> Row:
    # No record starts at these offsets, so the position is the row's own.
    row: Row = place._asdict() | {"offset": offset, "idx": 0}
    row |= {"boot": header.boot, "mono_ms": header.mono_ms}
    return row | {"event": OF_THE_HUB, "name": name, "text": text, "stored_ms": now_ms}
