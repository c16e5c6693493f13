"""The schema's history: one file a step in `versions`, each with the one it builds on.

A step says with alembic's operations what it changes; it knows nothing of `store.tables`, which
only ever shows the newest schema. Steps go forward only: the way back is a backup.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection

FOLDER = Path(__file__).parent
_FIRST = "0001"
_LOCK = 0x766B_5343_4845_4D41  # of PostgreSQL: any number that nothing else in the database takes
_RELEASE_0_1 = b"\x01"  # what `meta` says of tables that were made without these steps


class UnknownSchema(Exception):
    """The database has a schema that this release does not know."""


def newest() -> str:
    """Return the revision that this release makes."""
    return str(_steps().get_current_head())


def is_known(revision: str) -> bool:
    """Return whether a revision is one of this release's steps."""
    return any(step.revision == revision for step in _steps().walk_revisions())


def _steps() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    return ScriptDirectory.from_config(config)


def upgrade(connection: Connection, target: str = "head") -> None:
    """Bring the schema up to `target` within the connection's transaction: all of it or nothing.

    SQLite's transaction must be a writer's; on PostgreSQL a lock lets one hub do this at a time.
    Raises  UnknownSchema
    """
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    if connection.dialect.name == "postgresql":
        # Between two statements rows may be made anew here, for long.
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    steps = ScriptDirectory.from_config(config)
    known = {step.revision for step in steps.walk_revisions()}
    context = MigrationContext.configure(connection)
    found = context.get_current_heads()
    for revision in found:
        if revision not in known:
            newest = steps.get_current_head()
            raise UnknownSchema(f"its schema {revision} is newer than {newest}, which we know")
    if not found and sa.inspect(connection).has_table("meta"):
        _check_release(connection)
        context.stamp(steps, _FIRST)
    command.upgrade(config, target)


def _check_release(connection: Connection) -> None:
    query = sa.text("SELECT value FROM meta WHERE name = 'schema'")
    version = connection.execute(query).scalar()
    if version is None or bytes(version) != _RELEASE_0_1:
        raise UnknownSchema("its tables are of no release that we know")
