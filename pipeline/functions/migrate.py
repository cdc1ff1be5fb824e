"""The migration function: bring the schema in Postgres to a revision, with Alembic."""

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, RevisionStep
from psycopg import Connection
from sqlalchemy import Engine, NullPool, create_engine

from pipeline.errors import BadSettings
from pipeline.functions import Context
from pipeline.migration.files import DIRECTORY, Migrations
from pipeline.migration.plan import Revisions, left_alone, plan
from pipeline.settings import Database
from pipeline.sinks.postgres import connect, is_pooled
from pipeline.telemetry import logger


def engine(database: Database) -> Engine:
    """Return an engine with the sync's connections but without its timeouts: ``migrations/env.py`` sets its own.

    Connecting raises ``BadSettings`` behind a pooler: in transaction mode the migration would never release its lock,
    and the function cannot detect the pooler's mode.
    """

    def direct() -> Connection:
        connection = connect(database, options="-c timezone=UTC", application_name="auth0-sync-migrate")
        if is_pooled(connection):
            connection.close()
            raise BadSettings(
                "the migrations' address of Postgres leads to a connection pooler, and they need the server itself: "
                "set migration_database_url in Terraform, or DATABASE_URL where you run them yourself"
            )
        return connection

    return create_engine(
        "postgresql+psycopg://",
        creator=direct,
        poolclass=NullPool,
        isolation_level="READ COMMITTED",  # ends the sync's autocommit: a migration is one transaction
    )


def migrate(
    database: Database,
    revision: str = "head",
    *,
    directory: Path = DIRECTORY,
    deadline: float = math.inf,
) -> dict[str, Any]:
    """Bring the schema to ``revision`` (see ``pipeline.migration.plan``) and return ``{"from": …, "to": …}``.

    These are the product's revisions. ``own`` has the same of the user's own migrations, if there are any.
    Raises ``BadMigrations``, and ``Locked`` if another migration runs until ``deadline``, by ``time.monotonic``.
    """
    migrations = Migrations(directory)
    passed: list[Revisions] = []

    def steps(rows: tuple[str, ...], context: MigrationContext) -> Iterator[RevisionStep]:
        at = Revisions.of(rows)
        for newer in left_alone(migrations, at):
            logger.warning("left alone: the database has a revision that this package lacks", extra={"revision": newer})
        for step in plan(migrations, at, revision):
            yield RevisionStep(migrations.revision_map, step.script, step.up)
        passed[:] = at, Revisions.of(context.get_current_heads())

    config = Config(attributes={"engine": engine(database), "deadline": deadline})
    with EnvironmentContext(config, migrations, fn=steps):
        migrations.run_env()
    before, after = passed
    own = {"own": {"from": before.own, "to": after.own}} if before.own or after.own else {}
    return {"from": before.product, "to": after.product} | own


def handler(event: dict[str, Any], context: Context | None) -> dict[str, Any]:
    """Take ``{"revision": "head"}``, return ``{"from": …, "to": …}``. A failed migration raises and changes nothing.

    The function waits for another migration for at most half of its time.
    """
    revision = event.get("revision", "head")
    if not isinstance(revision, str):
        raise BadSettings(f"revision is {revision!r}, not a string")
    deadline = time.monotonic() + context.get_remaining_time_in_millis() / 2000 if context else math.inf
    done = migrate(Database.from_env(), revision, deadline=deadline)
    logger.info("migrated", extra={"revisions": done})
    return done
