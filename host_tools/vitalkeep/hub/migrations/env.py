"""What alembic runs for each command: our connection, whose transaction the caller ends."""

from alembic import context

# SQLite can take table definitions back with the rest, which alembic would not assume.
context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
