"""The books of the archive: packs, what is in them, compressed rows, backups."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0020"

_PLACE = ("gateway", "log", "cls", "sector")


def _place() -> list[sa.Column[object]]:
    return [
        sa.Column("gateway", sa.LargeBinary(8), nullable=False),
        sa.Column("log", sa.LargeBinary(8), nullable=False),
        sa.Column("cls", sa.Integer, nullable=False),
        sa.Column("sector", sa.BigInteger, nullable=False),
    ]


def upgrade() -> None:
    op.create_table(
        "packs",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("cls", sa.Integer, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "archived",
        *_place(),
        sa.Column("length", sa.Integer, nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("tag", sa.LargeBinary(16), nullable=False),
        sa.Column("pack", sa.Text, nullable=False),
        sa.Column("start", sa.BigInteger, nullable=False),
        sa.Column("cold", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint(*_PLACE),
    )
    op.create_index("archived_by_pack", "archived", ["pack"])
    op.create_table(
        "warm",
        *_place(),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("rows", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint(*_PLACE),
    )
    op.create_table(
        "backups",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("cls", sa.Integer, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("began_ms", sa.BigInteger, nullable=False),
        sa.Column("ended_ms", sa.BigInteger, nullable=False),
        sa.Column("ok", sa.Boolean, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("sectors", sa.Integer, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("manifest", sa.Text, nullable=False),
    )
    op.create_index("backups_by_time", "backups", ["cls", "began_ms"])
