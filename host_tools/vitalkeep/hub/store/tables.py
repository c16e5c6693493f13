"""The tables, for SQLite and PostgreSQL alike. Rows are addressed by position, so an insert that
comes twice is harmless: (gateway, log, class, sector, offset, index) never has two meanings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    and_,
    literal_column,
    or_,
)

from vitalkeep.hub.sectors import PROVEN, Place

metadata = MetaData()


def _place() -> Sequence[Column[object]]:
    """The first four parts of a position; fresh objects, as each table wants its own."""
    return (
        Column("gateway", LargeBinary(8), nullable=False),
        Column("log", LargeBinary(8), nullable=False),
        Column("cls", Integer, nullable=False),
        Column("sector", BigInteger, nullable=False),
    )


def _position() -> Sequence[Column[object]]:
    return (
        *_place(),
        Column("offset", Integer, nullable=False),
        Column("idx", Integer, nullable=False),
        Column("boot", BigInteger, nullable=False),
        Column("mono_ms", BigInteger, nullable=False),
    )


PLACE = ("gateway", "log", "cls", "sector")
POSITION = (*PLACE, "offset", "idx")

meta = Table(
    "meta",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

# length  bytes of the prefix that is stored
# state   one of sectors.OPEN, WHOLE, PROVEN, BROKEN, ORPHAN
# data    all 4096 bytes once it is whole; until then they stand in `pieces`
# spans   JSON, which device has values from when to when: see spans.py
# decoded  where in it the commits begin of which the rows are not stored yet; all of it once
#          nothing is left
# day     since 1970 in UTC, on which its first bytes came
sectors = Table(
    "sectors",
    metadata,
    *_place(),
    Column("length", Integer, nullable=False),
    Column("state", Integer, nullable=False),
    Column("data", LargeBinary),
    Column("spans", Text, nullable=False),
    Column("stored_ms", BigInteger, nullable=False),
    Column("decoded", Integer, nullable=False, server_default="0"),
    Column("day", Integer, nullable=False, server_default="0"),
    PrimaryKeyConstraint(*PLACE),
    Index("sectors_by_time", "gateway", "stored_ms"),
)
_NOT_DECODED = sectors.c.decoded < sectors.c.length
Index(
    "sectors_undecoded",
    sectors.c.stored_ms,
    sqlite_where=_NOT_DECODED,
    postgresql_where=_NOT_DECODED,
)
NOT_PROVEN = sectors.c.state != literal_column(str(PROVEN))
# A few of years of sectors. Its key stays as they grow, so that commits have no work with it.
Index(
    "sectors_unproven",
    sectors.c.gateway,
    sqlite_where=NOT_PROVEN,
    postgresql_where=NOT_PROVEN,
)

# What a sector came in, until its seal is proven; tags: those of the runs, see hub/tags.py
pieces = Table(
    "pieces",
    metadata,
    *_place(),
    Column("offset", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("tags", LargeBinary),
    PrimaryKeyConstraint(*PLACE, "offset"),
)

# Columns of up to 64 observations of one device and group in one sector: `data` is a block of
# hub/columns.py. Its position is that of its first observation, whose times `first_ms` (monotonic)
# and `stored_ms` (UTC) are. `day` is the sector's; PostgreSQL has a partition for each.
observations = Table(
    "observations",
    metadata,
    *_place(),
    Column("offset", Integer, nullable=False),
    Column("idx", Integer, nullable=False),
    Column("day", Integer, nullable=False),
    Column("boot", BigInteger, nullable=False),
    Column("first_ms", BigInteger, nullable=False),
    Column("last_ms", BigInteger, nullable=False),
    Column("stored_ms", BigInteger, nullable=False),
    Column("count", Integer, nullable=False),
    Column("device", Text, nullable=False),
    Column("protocol", Text, nullable=False),
    Column("unit", Integer, nullable=False),
    Column("grp", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
    PrimaryKeyConstraint(*POSITION, "day"),
    Index("observations_by_time", "gateway", "boot", "first_ms"),
    postgresql_partition_by="RANGE (day)",
)

# The last observation of each device's group, wherever it stands in the log.
# values: JSON {label: [decimal string or null, state, unit]}
latest = Table(
    "latest",
    metadata,
    *_position(),
    Column("device", Text, nullable=False),
    Column("protocol", Text, nullable=False),
    Column("unit", Integer, nullable=False),
    Column("grp", Integer, nullable=False),
    Column("values", Text, key="readings", nullable=False),
    Column("stored_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("gateway", "device", "grp"),
)

alarms = Table(
    "alarms",
    metadata,
    *_position(),
    Column("device", Text, nullable=False),
    Column("page", Integer, nullable=False),
    Column("code", Integer, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("text", Text, nullable=False),
    PrimaryKeyConstraint(*POSITION),
)

events = Table(
    "events",
    metadata,
    *_position(),
    Column("event", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("stored_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint(*POSITION),
    Index("events_by_time", "stored_ms"),
)

gaps = Table(
    "gaps",
    metadata,
    *_position(),
    Column("gap_cls", Integer, nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("stored_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint(*POSITION),
)

# Every class's log carries the same clock record: one row is enough.
clocks = Table(
    "clocks",
    metadata,
    Column("gateway", LargeBinary(8), nullable=False),
    Column("boot", BigInteger, nullable=False),
    Column("mono_ms", BigInteger, nullable=False),
    Column("utc_ms", BigInteger, nullable=False),
    Column("error_ms", Integer, nullable=False),
    Column("quality", Integer, nullable=False),
    PrimaryKeyConstraint("gateway", "boot", "mono_ms"),
)

# Authenticated bytes that contradict what is stored, kept for whoever has to find out why.
quarantine = Table(
    "quarantine",
    metadata,
    *_place(),
    Column("offset", Integer, nullable=False),
    Column("digest", LargeBinary(8), nullable=False),
    Column("reason", Text, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint(*PLACE, "offset", "digest"),
)

# The last authenticated word of each gateway on what its logs hold; payload: as it came.
heads = Table(
    "heads",
    metadata,
    Column("gateway", LargeBinary(8), primary_key=True),
    Column("log", LargeBinary(8), nullable=False),
    Column("boot", BigInteger, nullable=False),
    Column("mono_ms", BigInteger, nullable=False),
    Column("fields", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("payload", LargeBinary),
)

# The last frame of each gateway that came by radio; `content` is JSON of what all of them say.
radio = Table(
    "radio",
    metadata,
    Column("gateway", LargeBinary(8), primary_key=True),
    Column("log", LargeBinary(8), nullable=False),
    Column("sector", BigInteger, nullable=False),
    Column("offset", Integer, nullable=False),
    Column("counter", Integer, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("rssi", Integer, nullable=False),
    Column("content", Text, nullable=False),
)

# What the hub itself noticed: links, its own starts, refusals.
story = Table(
    "story",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("gateway", LargeBinary(8)),
    Column("tone", Text, nullable=False),
    Column("text", Text, nullable=False),
)

# Packs that were read back after they were written. kind: "backup" or "cold"
packs = Table(
    "packs",
    metadata,
    Column("name", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("cls", Integer, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("count", Integer, nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)

# Where in which pack the longest known prefix of a sector is. start: its first byte in the pack;
# tag: to which the next sector is chained, for a whole one; cold: the pack alone has it.
archived = Table(
    "archived",
    metadata,
    *_place(),
    Column("length", Integer, nullable=False),
    Column("state", Integer, nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("tag", LargeBinary(16), nullable=False),
    Column("pack", Text, nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("cold", Boolean, nullable=False),
    PrimaryKeyConstraint(*PLACE),
    Index("archived_by_pack", "pack"),
)

# The decoded rows of a closed sector, compressed.
warm = Table(
    "warm",
    metadata,
    *_place(),
    Column("count", Integer, nullable=False),
    Column("rows", LargeBinary, nullable=False),
    PrimaryKeyConstraint(*PLACE),
)

# One row a backup, good or not; `why` says what was wrong.
backups = Table(
    "backups",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("cls", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("began_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger, nullable=False),
    Column("ok", Boolean, nullable=False),
    Column("why", Text, nullable=False),
    Column("sectors", Integer, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("manifest", Text, nullable=False),
    Index("backups_by_time", "cls", "began_ms"),
)

# What one hub stored of each class since its last row, and how large the database then was.
usage = Table(
    "usage",
    metadata,
    Column("at_ms", BigInteger, nullable=False),
    Column("worker", LargeBinary(8), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("bytes_a", BigInteger, nullable=False),
    Column("bytes_b", BigInteger, nullable=False),
    Column("bytes_c", BigInteger, nullable=False),
    PrimaryKeyConstraint("at_ms", "worker"),
)

# The loss account of one class in one hour: span = stored + coming + gap, in ms.
# causes   JSON {cause: ms} of the gaps; rpo_ms: the longest loss that touches the hour, whole
# final    settled: never changes again; until then it is looked at again, last at looked_ms, which
#          has gone on for waited_ms
account_hours = Table(
    "account_hours",
    metadata,
    Column("gateway", LargeBinary(8), nullable=False),
    Column("hour_ms", BigInteger, nullable=False),
    Column("cls", Integer, nullable=False),
    Column("span_ms", Integer, nullable=False),
    Column("stored_ms", Integer, nullable=False),
    Column("coming_ms", Integer, nullable=False),
    Column("gap_ms", Integer, nullable=False),
    Column("causes", Text, nullable=False),
    Column("rpo_ms", BigInteger, nullable=False),
    Column("undated", Integer, nullable=False),
    Column("final", Boolean, nullable=False),
    Column("looked_ms", BigInteger, nullable=False),
    Column("waited_ms", BigInteger, nullable=False, server_default="0"),
    PrimaryKeyConstraint("gateway", "hour_ms", "cls"),
    Index("account_hours_by_time", "hour_ms"),
    Index("account_hours_open", "final", "looked_ms"),
)

# From the last current value that was stored until there was one again; end_ms: NULL, it goes on.
outages = Table(
    "outages",
    metadata,
    Column("gateway", LargeBinary(8), nullable=False),
    Column("cls", Integer, nullable=False),
    Column("start_ms", BigInteger, nullable=False),
    Column("end_ms", BigInteger),
    Column("cause", Text, nullable=False),
    PrimaryKeyConstraint("gateway", "cls", "start_ms"),
    Index("outages_by_end", "end_ms"),
)

# Tables whose rows a commit only ever adds, by the name that Batch.rows uses.
ADDED: dict[str, Table] = {
    table.name: table for table in (observations, alarms, events, gaps, clocks, quarantine)
}


def place_of(row: Any) -> Place:
    """Return the place that a row's first columns name."""
    return Place(bytes(row.gateway), bytes(row.log), row.cls, row.sector)


def at_place(table: Table, place: Place) -> list[ColumnElement[bool]]:
    return [table.c[name] == value for name, value in zip(PLACE, place, strict=True)]


def at_places(table: Table, places: Sequence[Place]) -> ColumnElement[bool]:
    return or_(*(and_(*at_place(table, place)) for place in places))


def in_stream(table: Table, stream: tuple[bytes, bytes, int]) -> list[ColumnElement[bool]]:
    """Return the condition for all sectors of one class of a log."""
    return [table.c[name] == value for name, value in zip(PLACE[:3], stream, strict=True)]
