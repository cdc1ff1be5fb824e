"""Runs migrations: one at a time in a database, each in its own transaction, none waiting long for a lock."""

import math

from alembic import context
from sqlalchemy import Connection, text

from pipeline.functions.migrate import engine
from pipeline.migration import lock
from pipeline.roles import RIGHTS
from pipeline.schema import SCHEMA, metadata
from pipeline.settings import Database


def run(connection: Connection) -> None:
    """Migrate on ``connection``, which holds no transaction."""
    # A migration that cannot have its table lock soon gives up rather than queue every reader and writer up behind it.
    connection.execute(text("SET lock_timeout = '5s'"))
    connection.execute(text("SET statement_timeout = '10min'"))
    connection.commit()
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table_schema=SCHEMA,
        include_schemas=True,
        include_name=lambda name, kind, _parents: kind != "schema" or name == SCHEMA,
        transaction_per_migration=True,
        # In the migration's transaction, so that the sync has its rights on a new table at once.
        on_version_apply=lambda ctx, **_: ctx.connection.execute(text(RIGHTS)),
        compare_server_default=True,
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    raise SystemExit("auth0-sync migrates a live database only: give DATABASE_URL, without --sql")
if context.config.cmd_opts and context.config.cmd_opts.cmd[0].__name__ in ("upgrade", "downgrade", "stamp"):
    # Where a branch depends on the other, Alembic keeps one row of alembic_version for both.
    raise SystemExit("alembic upgrade, downgrade and stamp mix up the two branches: use auth0-sync migrate")

bind = context.config.attributes.get("engine") or engine(Database.from_env())
deadline = context.config.attributes.get("deadline", math.inf)
with bind.connect() as guard, lock.hold(guard, deadline), bind.connect() as session:
    run(session)
