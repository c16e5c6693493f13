"""The tables of release 0.1."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _place() -> list[sa.Column[object]]:
    return [
        sa.Column("gateway", sa.LargeBinary(8), nullable=False),
        sa.Column("log", sa.LargeBinary(8), nullable=False),
        sa.Column("cls", sa.Integer, nullable=False),
        sa.Column("sector", sa.BigInteger, nullable=False),
    ]


def _position() -> list[sa.Column[object]]:
    return [
        *_place(),
        sa.Column("offset", sa.Integer, nullable=False),
        sa.Column("idx", sa.Integer, nullable=False),
        sa.Column("boot", sa.BigInteger, nullable=False),
        sa.Column("mono_ms", sa.BigInteger, nullable=False),
    ]


_PLACE = ("gateway", "log", "cls", "sector")
_POSITION = (*_PLACE, "offset", "idx")


def upgrade() -> None:
    meta = op.create_table(
        "meta",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.LargeBinary, nullable=False),
    )
    op.bulk_insert(meta, [
        {"name": "epoch", "value": secrets.token_bytes(8)},
        {"name": "schema", "value": b"\x01"},
    ])  # fmt: skip
    _create_log()
    _create_rows()
    _create_last_words()


def _create_log() -> None:
    op.create_table(
        "sectors",
        *_place(),
        sa.Column("length", sa.Integer, nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("data", sa.LargeBinary),
        sa.Column("spans", sa.Text, nullable=False),
        sa.Column("stored_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint(*_PLACE),
    )
    op.create_index("sectors_by_time", "sectors", ["gateway", "stored_ms"])
    op.create_table(
        "pieces",
        *_place(),
        sa.Column("offset", sa.Integer, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint(*_PLACE, "offset"),
    )
    op.create_table(
        "quarantine",
        *_place(),
        sa.Column("offset", sa.Integer, nullable=False),
        sa.Column("digest", sa.LargeBinary(8), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint(*_PLACE, "offset", "digest"),
    )


def _create_rows() -> None:
    op.create_table(
        "observations",
        *_position(),
        sa.Column("device", sa.Text, nullable=False),
        sa.Column("protocol", sa.Text, nullable=False),
        sa.Column("unit", sa.Integer, nullable=False),
        sa.Column("grp", sa.Integer, nullable=False),
        sa.Column("values", sa.Text, nullable=False),
        sa.Column("stored_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint(*_POSITION),
    )
    op.create_table(
        "alarms",
        *_position(),
        sa.Column("device", sa.Text, nullable=False),
        sa.Column("page", sa.Integer, nullable=False),
        sa.Column("code", sa.Integer, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint(*_POSITION),
    )
    op.create_table(
        "events",
        *_position(),
        sa.Column("event", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("stored_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint(*_POSITION),
    )
    op.create_index("events_by_time", "events", ["stored_ms"])
    op.create_table(
        "gaps",
        *_position(),
        sa.Column("gap_cls", sa.Integer, nullable=False),
        sa.Column("first", sa.BigInteger, nullable=False),
        sa.Column("last", sa.BigInteger, nullable=False),
        sa.Column("stored_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint(*_POSITION),
    )
    op.create_table(
        "clocks",
        sa.Column("gateway", sa.LargeBinary(8), nullable=False),
        sa.Column("boot", sa.BigInteger, nullable=False),
        sa.Column("mono_ms", sa.BigInteger, nullable=False),
        sa.Column("utc_ms", sa.BigInteger, nullable=False),
        sa.Column("error_ms", sa.Integer, nullable=False),
        sa.Column("quality", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("gateway", "boot", "mono_ms"),
    )


def _create_last_words() -> None:
    op.create_table(
        "heads",
        sa.Column("gateway", sa.LargeBinary(8), primary_key=True),
        sa.Column("log", sa.LargeBinary(8), nullable=False),
        sa.Column("boot", sa.BigInteger, nullable=False),
        sa.Column("mono_ms", sa.BigInteger, nullable=False),
        sa.Column("fields", sa.Text, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "radio",
        sa.Column("gateway", sa.LargeBinary(8), primary_key=True),
        sa.Column("log", sa.LargeBinary(8), nullable=False),
        sa.Column("sector", sa.BigInteger, nullable=False),
        sa.Column("offset", sa.Integer, nullable=False),
        sa.Column("counter", sa.Integer, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("rssi", sa.Integer, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
    )
    op.create_table(
        "story",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("gateway", sa.LargeBinary(8)),
        sa.Column("tone", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
    )
