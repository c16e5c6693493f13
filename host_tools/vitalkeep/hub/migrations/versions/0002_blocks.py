"""Observations in blocks of columns; the last ones apart; how far each sector is decoded.

The rows of release 0.1 become blocks of one observation's columns each: of the sealed bytes they
could be made again, but not here, where there are no keys. On PostgreSQL the blocks are
partitioned by day.
"""

import json
from itertools import groupby
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa
from alembic import op

from vitalkeep.hub.columns import Block

revision = "0002"
down_revision = "0011"

_PLACE = ("gateway", "log", "cls", "sector")
_DAY_MS = 24 * 3600 * 1000
_AT_ONCE = 1000
_ROWS = ("observations", "alarms", "events", "gaps")


def upgrade() -> None:
    op.rename_table("observations", "observations_of_0_1")
    _extend_sectors()
    _create_blocks()
    _create_latest()
    _convert()
    op.drop_table("observations_of_0_1")
    # A release before this one looks here, and refuses.
    op.execute(
        sa.text("UPDATE meta SET value = :two WHERE name = 'schema'").bindparams(two=b"\x02")
    )


def _place() -> list[sa.Column[object]]:
    return [
        sa.Column("gateway", sa.LargeBinary(8), nullable=False),
        sa.Column("log", sa.LargeBinary(8), nullable=False),
        sa.Column("cls", sa.Integer, nullable=False),
        sa.Column("sector", sa.BigInteger, nullable=False),
        sa.Column("offset", sa.Integer, nullable=False),
        sa.Column("idx", sa.Integer, nullable=False),
    ]


def _extend_sectors() -> None:
    for name in ("decoded", "day"):
        column = sa.Column(name, sa.Integer, nullable=False, server_default="0")
        op.add_column("sectors", column)
    op.execute(f"UPDATE sectors SET day = stored_ms / {_DAY_MS}, decoded = length")
    # Of an open sector, all up to the last commit with a row was decoded, and maybe more.
    ends = " UNION ALL ".join(
        f'SELECT MAX("offset") + 1 AS decoded FROM {name} AS r WHERE '
        + " AND ".join(f"r.{key} = sectors.{key}" for key in _PLACE)
        for name in ("observations_of_0_1", *_ROWS[1:])
    )
    ends = f"SELECT MAX(decoded) FROM ({ends}) AS ends"
    op.execute(f"UPDATE sectors SET decoded = COALESCE(({ends}), 0) WHERE length < 4096")
    op.create_index(
        "sectors_undecoded",
        "sectors",
        ["stored_ms"],
        sqlite_where=sa.text("decoded < length"),
        postgresql_where=sa.text("decoded < length"),
    )


def _create_blocks() -> None:
    op.create_table(
        "observations",
        *_place(),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("boot", sa.BigInteger, nullable=False),
        sa.Column("first_ms", sa.BigInteger, nullable=False),
        sa.Column("last_ms", sa.BigInteger, nullable=False),
        sa.Column("stored_ms", sa.BigInteger, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("device", sa.Text, nullable=False),
        sa.Column("protocol", sa.Text, nullable=False),
        sa.Column("unit", sa.Integer, nullable=False),
        sa.Column("grp", sa.Integer, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint(*_PLACE, "offset", "idx", "day", name="observations_by_place"),
        postgresql_partition_by="RANGE (day)",
    )
    op.create_index("observations_by_time", "observations", ["gateway", "boot", "first_ms"])
    if op.get_bind().dialect.name == "postgresql":
        op.execute("CREATE TABLE observations_rest PARTITION OF observations DEFAULT")
        # They are compact, and grow in place: neither compressed again nor moved out of their row.
        op.execute("ALTER TABLE observations ALTER COLUMN data SET STORAGE EXTERNAL")


def _create_latest() -> None:
    op.create_table(
        "latest",
        *_place(),
        sa.Column("boot", sa.BigInteger, nullable=False),
        sa.Column("mono_ms", sa.BigInteger, nullable=False),
        sa.Column("device", sa.Text, nullable=False),
        sa.Column("protocol", sa.Text, nullable=False),
        sa.Column("unit", sa.Integer, nullable=False),
        sa.Column("grp", sa.Integer, nullable=False),
        sa.Column("values", sa.Text, nullable=False),
        sa.Column("stored_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("gateway", "device", "grp"),
    )
    op.execute(
        f"""
        INSERT INTO latest SELECT {", ".join(_LATEST)} FROM (
            SELECT {", ".join(_LATEST)}, row_number() OVER (
                PARTITION BY gateway, device, grp
                ORDER BY stored_ms DESC, sector DESC, "offset" DESC, idx DESC
            ) AS place FROM observations_of_0_1
        ) AS ranked WHERE place = 1
        """
    )


_LATEST = (
    *(*_PLACE, '"offset"', "idx", "boot", "mono_ms"),
    *("device", "protocol", "unit", "grp", '"values"', "stored_ms"),
)


def _convert() -> None:
    connection = op.get_bind()
    found = sa.MetaData()
    found.reflect(connection, only=("observations", "observations_of_0_1", "sectors"))
    old, sectors = found.tables["observations_of_0_1"], found.tables["sectors"]
    same = sa.and_(*(old.c[name] == sectors.c[name] for name in _PLACE))
    key = [old.c[name] for name in (*_PLACE, "device", "grp", "boot")]
    query = (
        sa.select(old, sectors.c.day)
        .select_from(old.join(sectors, same))
        .order_by(*key, old.c.offset, old.c.idx)
    )
    names = [column.name for column in key]
    made: list[dict[str, Any]] = []
    rows = connection.execute(query.execution_options(yield_per=_AT_ONCE)).mappings()
    for _, group in groupby(rows, lambda row: tuple(row[name] for name in names)):
        block = None
        for row in group:
            record = _record(row)
            if block is None or not block.has_room(record):
                block = Block(record, row["stored_ms"])
                made.append({"first": row, "block": block})
            block.add(record, row["stored_ms"])
        if len(made) >= _AT_ONCE:
            _insert(connection, found.tables["observations"], made)
    _insert(connection, found.tables["observations"], made)


def _insert(connection: sa.Connection, table: sa.Table, made: list[dict[str, Any]]) -> None:
    rows = []
    for entry in made:
        first, block = entry["first"], entry["block"]
        row = {name: first[name] for name in (*_PLACE, "offset", "idx", "day", "boot", "device")}
        row |= {name: first[name] for name in ("protocol", "unit", "grp")}
        row |= {"first_ms": block.first_ms, "last_ms": block.last_ms, "count": len(block)}
        rows.append(row | {"stored_ms": block.stored_ms, "data": block.pack()})
    if rows:
        connection.execute(sa.insert(table), rows)
    made.clear()


def _record(row: Any) -> SimpleNamespace:
    """Return an observation of 0.1 as the journal's reader would."""
    device = SimpleNamespace(name=row["device"], protocol=row["protocol"], unit=row["unit"])
    values = []
    for label, (text, state, unit) in json.loads(row["values"]).items():
        whole, _, part = (text or "").partition(".")
        value = SimpleNamespace(parameter=-1, label=label, unit=unit, state=state)
        value.value = int(whole + part) if text is not None else None
        value.decimals = len(part)
        values.append(value)
    return SimpleNamespace(
        device=device,
        group=row["grp"],
        boot=row["boot"],
        offset=row["offset"],
        index=row["idx"],
        mono_ms=row["mono_ms"],
        values=values,
    )
