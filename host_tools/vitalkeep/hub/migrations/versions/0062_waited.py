"""How long the site looked again at an hour whose account is not final."""

import sqlalchemy as sa
from alembic import op

revision = "0062"
down_revision = "0061"


def upgrade() -> None:
    op.add_column(
        "account_hours",
        sa.Column("waited_ms", sa.BigInteger, nullable=False, server_default="0"),
    )
