"""What sites that exchange need: the runs' tags, copies, witnesses, days."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("pieces", sa.Column("tags", sa.LargeBinary))
    op.add_column("heads", sa.Column("payload", sa.LargeBinary))
    op.create_table(
        "sites",
        sa.Column("site", sa.LargeBinary(8), primary_key=True),
        sa.Column("epoch", sa.LargeBinary(8), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
    )
    op.create_table(
        "copies",
        sa.Column("site", sa.LargeBinary(8), nullable=False),
        sa.Column("gateway", sa.LargeBinary(8), nullable=False),
        sa.Column("log", sa.LargeBinary(8), nullable=False),
        sa.Column("cls", sa.Integer, nullable=False),
        sa.Column("first", sa.BigInteger, nullable=False),
        sa.Column("last", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("site", "gateway", "log", "cls", "first"),
    )
    op.create_table(
        "witnesses",
        sa.Column("site", sa.LargeBinary(8), nullable=False),
        sa.Column("gateway", sa.LargeBinary(8), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("site", "gateway"),
    )
    op.create_table(
        "days",
        sa.Column("site", sa.LargeBinary(8), nullable=False),
        sa.Column("day", sa.Text, nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
        sa.Column("signatures", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("site", "day"),
    )
