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

from pipeline import settings
from pipeline.errors import Auth0SyncError, BadSettings
from pipeline.functions import Context
from pipeline.migration.files import DIRECTORY, Migrations
from pipeline.migration.plan import Revisions, left_alone, plan
from pipeline.settings import Database
from pipeline.sinks.postgres import connect, is_pooled
from pipeline.telemetry import logger


class Protected(Auth0SyncError):
    """The migration would take revisions back, with the data in their tables, and the deployment protects its data. To
    lose the data, set protect_data = false and deploy first."""


class LosesData(Auth0SyncError):
    """The migration would take revisions back, with the data in their tables. If you want to lose it, add
    "allow_data_loss": true to the function's payload, or --allow-data-loss to auth0-sync migrate."""


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
    allow_data_loss: bool = False,
    protect_data: bool = False,
    directory: Path = DIRECTORY,
    deadline: float = math.inf,
) -> dict[str, Any]:
    """Bring the schema to ``revision`` (see ``pipeline.migration.plan``) and return ``{"from": …, "to": …}``.

    These are the product's revisions. ``own`` has the same of the user's own migrations, if there are any.
    Before any step back, raises ``Protected`` with ``protect_data``, and ``LosesData`` unless ``allow_data_loss``.
    Raises ``BadMigrations``, and ``Locked`` if another migration runs until ``deadline``, by ``time.monotonic``.
    """
    migrations = Migrations(directory)
    passed: list[Revisions] = []

    def steps(rows: tuple[str, ...], context: MigrationContext) -> Iterator[RevisionStep]:
        at = Revisions.of(rows)
        for newer in left_alone(migrations, at):
            logger.warning("left alone: the database has a revision that this package lacks", extra={"revision": newer})
        planned = plan(migrations, at, revision)
        if back := ", ".join(step.script.revision for step in planned if not step.up):
            if protect_data:
                raise Protected(back)
            if not allow_data_loss:
                raise LosesData(back)
        for step in planned:
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

    A step back also needs ``"allow_data_loss": true``, and is refused while ``PROTECT_DATA`` is on. The function waits
    for another migration for at most half of its time.
    """
    revision = event.get("revision", "head")
    if not isinstance(revision, str):
        raise BadSettings(f"revision is {revision!r}, not a string")
    allow_data_loss = event.get("allow_data_loss", False)
    if not isinstance(allow_data_loss, bool):
        raise BadSettings(f"allow_data_loss is {allow_data_loss!r}, not true or false")
    deadline = time.monotonic() + context.get_remaining_time_in_millis() / 2000 if context else math.inf
    done = migrate(
        Database.from_env(),
        revision,
        allow_data_loss=allow_data_loss,
        protect_data=settings.protect_data(),
        deadline=deadline,
    )
    logger.info("migrated", extra={"revisions": done})
    return done
