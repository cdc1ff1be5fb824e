"""The lock for changes of the schema or the roles: one holder at a time in each database.

It is a lock on Alembic's table, which takes rights that only the table's owner has, so that no reader and no writer can
hold up a deployment. Neither reads nor writes of the table wait for it.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from pipeline.errors import Auth0SyncError
from pipeline.telemetry import logger

if TYPE_CHECKING:
    from sqlalchemy import Connection

TABLE: Final = "auth0.alembic_version"

_IS_THERE: Final = f"SELECT to_regclass('{TABLE}') IS NOT NULL"
MAKE: Final = (
    "CREATE SCHEMA IF NOT EXISTS auth0",
    # As Alembic makes it.
    f"CREATE TABLE IF NOT EXISTS {TABLE} (version_num varchar(32) NOT NULL CONSTRAINT alembic_version_pkc PRIMARY KEY)",
)

TAKE: Final = f"LOCK TABLE {TABLE} IN SHARE UPDATE EXCLUSIVE MODE NOWAIT"
"""Take the lock for the transaction, or raise 55P03. roles.sql has the same statement."""

HOLDER: Final = f"""
    SELECT concat_ws(', ', 'process ' || pid, nullif(application_name, ''), 'as ' || usename)
    FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'relation' AND granted AND relation = to_regclass('{TABLE}')
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND mode NOT IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock')
"""  # noqa: S608 - a constant
"""Name the session that holds the lock."""

PAUSE: Final = 0.5
"""Seconds between two tries."""

REMIND: Final = 60.0
"""Seconds between two log lines about the wait."""

# The lock is taken; or another session makes the schema or the table at this moment.
_BUSY: Final = {"55P03", "23505", "42P06", "42P07"}


class Locked(Auth0SyncError):
    """Another migration, or the roles function, is running in this database. Try again when it is done."""


@contextmanager
def hold(connection: "Connection", deadline: float = math.inf) -> Iterator[None]:
    """Hold the lock by a transaction of ``connection``, whose only purpose that is: migrations commit their own.

    The open transaction has no snapshot, so that CREATE INDEX CONCURRENTLY does not wait for it. Raises ``Locked`` if
    another session still holds the lock at ``deadline``, by ``time.monotonic``.
    """
    connection.exec_driver_sql("SET idle_in_transaction_session_timeout = 0")
    connection.commit()
    _take(connection, deadline)
    try:
        yield
    finally:
        connection.rollback()


def _take(connection: "Connection", deadline: float) -> None:
    """Try until the lock is free, in a transaction per try.

    A session that waits inside a statement holds a snapshot, and the holder's CREATE INDEX CONCURRENTLY waits for it.
    """
    remind = -math.inf
    while not _try(connection):
        holder = connection.exec_driver_sql(HOLDER).scalar() or "a session that has just ended"
        connection.rollback()
        now = time.monotonic()
        if now >= deadline:
            raise Locked(holder)
        if now >= remind:
            logger.warning("waiting for another migration", extra={"holder": holder})
            remind = now + REMIND
        time.sleep(PAUSE)


def _try(connection: "Connection") -> bool:
    from sqlalchemy.exc import DBAPIError

    try:
        if not connection.exec_driver_sql(_IS_THERE).scalar():
            for statement in MAKE:
                connection.exec_driver_sql(statement)
        connection.commit()  # the transaction of the lock must not hold a snapshot or write
        connection.exec_driver_sql(TAKE)
    except DBAPIError as error:
        connection.rollback()
        if getattr(error.orig, "sqlstate", None) not in _BUSY:
            raise
        return False
    return True
