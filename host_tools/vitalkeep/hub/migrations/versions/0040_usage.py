"""What each hub stored, and how large the database was."""

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0030"


def upgrade() -> None:
    op.create_table(
        "usage",
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("worker", sa.LargeBinary(8), nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("bytes_a", sa.BigInteger, nullable=False),
        sa.Column("bytes_b", sa.BigInteger, nullable=False),
        sa.Column("bytes_c", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("at_ms", "worker"),
    )
