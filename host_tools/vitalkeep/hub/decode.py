"""Records of a log to rows of the store. Pure: no I/O, no clock."""

from __future__ import annotations

import struct
from typing import Any

from bridge.core.errors import FormatError
from bridge.core.journal import records
from bridge.core.journal.layout import CLASSES, SEAL_AT, SECTOR_SIZE, Header
from vitalkeep.hub.columns import Block
from vitalkeep.hub.sectors import Place, Sector
from vitalkeep.hub.values import readings

Row = dict[str, Any]
Rows = dict[str, list[Row]]  # by table

_WRONG = (FormatError, ValueError, IndexError, KeyError, OverflowError, struct.error)
_OF_THE_HUB = 0  # an event that no gateway wrote


def decode(sector: Sector, grown: bytes, now_ms: int) -> tuple[Rows, str]:
    """Decode what `sector.reader` has not yet seen of a sector's prefix.

    Returns (rows of what the store has none of yet, "" or why all behind it cannot be decoded);
    the sector's blocks, spans and `decoded` follow.
    """
    rows: Rows = {}
    read: list[Any] = []
    error = ""
    reader, spans = sector.reader, sector.spans
    assert reader is not None
    assert spans is not None
    try:
        reader.feed(grown, read)
    except _WRONG as wrong:
        error = str(wrong) or type(wrong).__name__
    for record in read:
        if record.kind == records.OBSERVATION:
            spans.add(record.device.name, record.boot, record.mono_ms)
        if record.offset < sector.decoded:
            continue
        try:
            if record.kind == records.OBSERVATION:
                sector.blocks.add(record, now_ms)
            found = row_of(record, sector.place, now_ms)
        except _WRONG as wrong:
            error = error or str(wrong)
            continue
        if found:
            rows.setdefault(found[0], []).append(found[1])
    whole = len(grown) == SECTOR_SIZE
    sector.decoded = SECTOR_SIZE if whole else len(grown) if error else reader.at
    return rows, error


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


def _hub_row(header: Header, place: Place, offset: int, name: str, text: str, now_ms: int) -> Row:
    # No record starts at these offsets, so the position is the row's own.
    row: Row = place._asdict() | {"offset": offset, "idx": 0}
    row |= {"boot": header.boot, "mono_ms": header.mono_ms}
    return row | {"event": _OF_THE_HUB, "name": name, "text": text, "stored_ms": now_ms}
