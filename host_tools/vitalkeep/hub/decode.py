"""Records of a log to rows of the store. Pure: no I/O, no clock."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from bridge.core import codes
from bridge.core.journal import records
from bridge.core.journal.layout import CLASSES, SEAL_AT, Header
from vitalkeep.hub.sectors import Place

_KNOWN = {entry[0]: (entry[1], entry[4]) for entry in codes.PARAMETERS}

Row = dict[str, Any]

OF_THE_HUB = 0  # an event that no gateway wrote


@lru_cache(maxsize=1 << 14)
def decimal(value: int | None, decimals: int) -> str | None:
    """Return a scaled integer as a decimal string, exactly: 72 with decimals 1 is "7.2"."""
    if value is None or not decimals:
        return None if value is None else str(value)
    sign = "-" if value < 0 else ""
    digits = str(abs(value)).rjust(decimals + 1, "0")
    return f"{sign}{digits[:-decimals]}.{digits[-decimals:]}"


def readings(values: Any) -> dict[str, list[Any]]:
    """Return {label: [decimal string or None, state, unit]} of an observation's values."""
    found: dict[str, list[Any]] = {}
    for value in values:
        label, unit = _KNOWN.get(value.parameter, (value.label, value.unit))
        if not label:
            # Written by a gateway whose table is newer than ours: keep it under its number.
            label, unit = f"#{value.parameter}", unit or ""
        text = decimal(value.value, value.decimals)
        entry = [text, value.state, unit]
        if label in found and text is None:
            continue  # the same parameter with other decimals, blank in this observation
        found[label] = entry
    return found


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
        row |= {"grp": record.group, "readings": json.dumps(readings(record.values))}
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
