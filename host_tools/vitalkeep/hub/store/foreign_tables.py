"""What other systems recorded: no gateway sealed it, and nothing here says that one did."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from vitalkeep.hub.store.tables import metadata

# The text of mapping.toml by which files were read.
foreign_mappings = Table(
    "foreign_mappings",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("text", Text, nullable=False),
)

# One file of another system as it was when it was read, by one mapping.
# size, digest  of all of it; offset, line, read_digest: how far it is read, and of so much
# rows to skipped  what became of its rows; imported counts over all runs, the rest over the last
foreign_files = Table(
    "foreign_files",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("system", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("mapping", LargeBinary(32), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("line", BigInteger, nullable=False),
    Column("read_digest", LargeBinary(32), nullable=False),
    Column("began_ms", BigInteger, nullable=False),
    Column("done_ms", BigInteger),
    Column("rows", BigInteger, nullable=False),
    Column("imported", BigInteger, nullable=False),
    Column("duplicates", BigInteger, nullable=False),
    Column("refused", BigInteger, nullable=False),
    Column("empty", BigInteger, nullable=False),
    Column("skipped", BigInteger, nullable=False),
    Index("foreign_files_by_name", "system", "name"),
)

# What values are of; bed as this site calls it, device as the other system does.
foreign_series = Table(
    "foreign_series",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("system", Text, nullable=False),
    Column("bed", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("mdc", Text, nullable=False),
    Column("unit", Text, nullable=False),
    Index("foreign_series_once", "system", "bed", "device", "label", "mdc", "unit", unique=True),
)

# One value, at a time in UTC: value over 10 to the power of decimals; file and line: where it is.
foreign_values = Table(
    "foreign_values",
    metadata,
    Column("series", Integer, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("value", BigInteger, nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("file", Integer, nullable=False),
    Column("line", BigInteger, nullable=False),
    PrimaryKeyConstraint("series", "at_ms", "value", "decimals"),
    sqlite_with_rowid=False,
)

# What was refused of a file, and why; raw: the row as it stands there
foreign_rejects = Table(
    "foreign_rejects",
    metadata,
    Column("file", Integer, nullable=False),
    Column("line", BigInteger, nullable=False),
    Column("item", Integer, nullable=False),
    Column("column", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("raw", Text, nullable=False),
    PrimaryKeyConstraint("file", "line", "item"),
)
