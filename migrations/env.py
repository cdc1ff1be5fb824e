"""Runs migrations: one at a time in a database, each in its own transaction, none waiting long for a lock."""

import time

from alembic import context
from sqlalchemy import Connection, text

from pipeline.functions.migrate import engine
from pipeline.schema import SCHEMA, metadata
from pipeline.settings import Database

LOCK = f"hashtext('{SCHEMA}-sync migrations')"


def run(connection: Connection) -> None:
    """Migrate on ``connection``, which holds no transaction."""
    # A session lock: it outlives the transactions of single migrations, and two deploys at once take turns. Asked for
    # again and again, because who waits inside a statement holds a snapshot, which an index that is being created
    # concurrently by the other deploy would wait for in turn.
    while not connection.scalar(text(f"SELECT pg_try_advisory_lock({LOCK})")):
        connection.rollback()
        time.sleep(0.5)
    try:
        # After the lock is taken, so that waiting for another deploy is not cut short. A migration that cannot have
        # its table lock soon gives up rather than queue every reader and writer up behind it.
        connection.execute(text("SET lock_timeout = '5s'"))
        connection.execute(text("SET statement_timeout = '10min'"))
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
        connection.commit()
        context.configure(
            connection=connection,
            target_metadata=metadata,
            version_table_schema=SCHEMA,
            include_schemas=True,
            include_name=lambda name, kind, _parents: kind != "schema" or name == SCHEMA,
            transaction_per_migration=True,
            compare_server_default=True,
            compare_type=True,
        )
        with context.begin_transaction():
            context.run_migrations()
    finally:
        connection.rollback()
        connection.execute(text(f"SELECT pg_advisory_unlock({LOCK})"))
        connection.commit()


if context.is_offline_mode():
    raise SystemExit("auth0-sync migrates a live database only: give DATABASE_URL, without --sql")

bind = context.config.attributes.get("engine") or engine(Database.from_env())
with bind.connect() as session:
    run(session)
