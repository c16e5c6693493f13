"""What other sites hold, heard and signed."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, PrimaryKeyConstraint, Table, Text

from vitalkeep.hub.store.tables import metadata

# The other sites that hold copies; epoch: of the store in which they were proved.
sites = Table(
    "sites",
    metadata,
    Column("site", LargeBinary(8), primary_key=True),
    Column("epoch", LargeBinary(8), nullable=False),
    Column("name", Text, nullable=False),
)

# Sealed sectors of which another site proved that it can read them back.
copies = Table(
    "copies",
    metadata,
    Column("site", LargeBinary(8), nullable=False),
    Column("gateway", LargeBinary(8), nullable=False),
    Column("log", LargeBinary(8), nullable=False),
    Column("cls", Integer, nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    PrimaryKeyConstraint("site", "gateway", "log", "cls", "first"),
)

# Heartbeats that other sites heard, as the gateways sent them.
witnesses = Table(
    "witnesses",
    metadata,
    Column("site", LargeBinary(8), nullable=False),
    Column("gateway", LargeBinary(8), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    PrimaryKeyConstraint("site", "gateway"),
)

# What a site stated of a day's seals, and who signed that; signatures: JSON.
days = Table(
    "days",
    metadata,
    Column("site", LargeBinary(8), nullable=False),
    Column("day", Text, nullable=False),
    Column("document", LargeBinary, nullable=False),
    Column("signatures", Text, nullable=False),
    PrimaryKeyConstraint("site", "day"),
)
