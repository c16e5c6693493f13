"""The loss account hour by hour, and outages."""

import sqlalchemy as sa
from alembic import op

revision = "0041"
down_revision = "0040"


def upgrade() -> None:
    op.create_table(
        "account_hours",
        sa.Column("gateway", sa.LargeBinary(8), nullable=False),
        sa.Column("hour_ms", sa.BigInteger, nullable=False),
        sa.Column("cls", sa.Integer, nullable=False),
        sa.Column("span_ms", sa.Integer, nullable=False),
        sa.Column("stored_ms", sa.Integer, nullable=False),
        sa.Column("coming_ms", sa.Integer, nullable=False),
        sa.Column("gap_ms", sa.Integer, nullable=False),
        sa.Column("causes", sa.Text, nullable=False),
        sa.Column("rpo_ms", sa.BigInteger, nullable=False),
        sa.Column("undated", sa.Integer, nullable=False),
        sa.Column("final", sa.Boolean, nullable=False),
        sa.Column("looked_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("gateway", "hour_ms", "cls"),
    )
    op.create_index("account_hours_by_time", "account_hours", ["hour_ms"])
    op.create_index("account_hours_open", "account_hours", ["final", "looked_ms"])
    op.create_table(
        "outages",
        sa.Column("gateway", sa.LargeBinary(8), nullable=False),
        sa.Column("cls", sa.Integer, nullable=False),
        sa.Column("start_ms", sa.BigInteger, nullable=False),
        sa.Column("end_ms", sa.BigInteger),
        sa.Column("cause", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("gateway", "cls", "start_ms"),
    )
    op.create_index("outages_by_end", "outages", ["end_ms"])
