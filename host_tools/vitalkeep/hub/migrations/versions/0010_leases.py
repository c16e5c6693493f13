"""Workers share the gateways by leases."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "workers",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("turn", sa.BigInteger, nullable=False),
        sa.Column("until_ms", sa.BigInteger, nullable=False),
        sa.Column("able", sa.Boolean, nullable=False),
    )
    op.create_table(
        "leases",
        sa.Column("gateway", sa.LargeBinary(8), primary_key=True),
        sa.Column("worker", sa.Text),
        sa.Column("fence", sa.BigInteger, nullable=False),
    )
