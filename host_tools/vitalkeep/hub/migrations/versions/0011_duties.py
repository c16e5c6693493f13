"""Duties that one hub has for all, and the alarms it tells others of."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "duties",
        sa.Column("duty", sa.Text, primary_key=True),
        sa.Column("holder", sa.Text),
        sa.Column("term", sa.BigInteger, nullable=False),
        sa.Column("until_ms", sa.BigInteger, nullable=False),
        sa.Column("progress_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "standbys",
        sa.Column("duty", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("rank", sa.Integer, nullable=False),
        sa.Column("fit", sa.Boolean, nullable=False),
        sa.Column("since_ms", sa.BigInteger, nullable=False),
        sa.Column("until_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("duty", "name"),
    )
    op.create_table(
        "notices",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("gateway", sa.LargeBinary(8), nullable=False),
        sa.Column("log", sa.LargeBinary(8), nullable=False),
        sa.Column("cls", sa.Integer, nullable=False),
        sa.Column("sector", sa.BigInteger, nullable=False),
        sa.Column("offset", sa.Integer, nullable=False),
        sa.Column("idx", sa.Integer, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("stored_ms", sa.BigInteger, nullable=False),
        sa.Column("term", sa.BigInteger),
        sa.UniqueConstraint(
            "gateway", "log", "cls", "sector", "offset", "idx", name="notices_by_position"
        ),
    )
    op.create_index("notices_by_term", "notices", ["term", "id"])
