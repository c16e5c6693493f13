"""Sectors without a proven seal are found without a look at all others."""

import sqlalchemy as sa
from alembic import op

revision = "0061"
down_revision = "0050"


def upgrade() -> None:
    not_proven = sa.text("state != 2")
    op.create_index(
        "sectors_unproven",
        "sectors",
        ["gateway"],
        sqlite_where=not_proven,
        postgresql_where=not_proven,
    )
