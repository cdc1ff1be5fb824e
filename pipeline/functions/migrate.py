"""The migration function: brings the schema in Postgres to a revision, with Alembic."""

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg import Connection
from sqlalchemy import Engine, NullPool, create_engine

from pipeline.errors import BadSettings
from pipeline.schema import SCHEMA
from pipeline.settings import Database
from pipeline.sinks.postgres import connect, is_pooled
from pipeline.telemetry import logger

_ROOT = Path(__file__).parents[2]
"""Where ``pyproject.toml`` and ``migrations/`` are: the repository, or the root of the function's package."""


def engine(database: Database) -> Engine:
    """An engine on the same connections as the sync, without its timeouts: ``migrations/env.py`` sets its own.

    Connecting raises ``BadSettings`` behind a pooler: one in transaction mode would take the lock of migrations in a
    session where nobody releases it, and the two modes cannot be told apart.
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


def current(bind: Engine) -> str | None:
    """The revision the database is at; ``None`` before the first migration."""
    with bind.connect() as connection:
        return MigrationContext.configure(connection, opts={"version_table_schema": SCHEMA}).get_current_revision()


def migrate(database: Database, revision: str = "head") -> dict[str, str | None]:
    """Upgrade or downgrade to ``revision`` (``head``, ``base`` or an id); ``{"from": …, "to": …}``.

    A schema that is newer than this package's ``head`` is left as it is: an earlier version is deployed again, and its
    code can live with what migrations add.
    """
    bind = engine(database)
    config = Config(toml_file=_ROOT / "pyproject.toml", attributes={"engine": bind})
    scripts = ScriptDirectory.from_config(config)
    before = current(bind)
    if revision == "head" and _is_newer(scripts, before):
        return {"from": before, "to": before}
    if revision == "base" or _is_behind(scripts, before, revision):
        command.downgrade(config, revision)
    else:
        command.upgrade(config, revision)
    return {"from": before, "to": current(bind)}


def _is_newer(scripts: ScriptDirectory, before: str | None) -> bool:
    """Whether the schema is at a revision that this package does not have."""
    return before is not None and before not in {entry.revision for entry in scripts.walk_revisions()}


def _is_behind(scripts: ScriptDirectory, before: str | None, revision: str) -> bool:
    """Whether ``revision`` is an ancestor of ``before``."""
    if before is None or revision == "head":
        return False
    target = scripts.get_revision(revision)
    ancestors = {entry.revision for entry in scripts.iterate_revisions(before, "base")} - {before}
    return target is not None and target.revision in ancestors


def handler(event: dict[str, Any], context: object) -> dict[str, str | None]:  # noqa: ARG001 - Lambda's form
    """``{"revision": "head"}`` in, ``{"from": …, "to": …}`` out. A migration that fails raises and changes nothing."""
    revision = event.get("revision", "head")
    if not isinstance(revision, str):
        raise BadSettings(f"revision is {revision!r}, not a string")
    done = migrate(Database.from_env(), revision)
    logger.info("migrated", extra={"from_revision": done["from"], "to_revision": done["to"]})
    return done
