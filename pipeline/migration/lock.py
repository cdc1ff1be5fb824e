"""The lock for changes of the schema or the roles: one holder at a time in each database."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from pipeline.errors import Auth0SyncError
from pipeline.telemetry import logger

if TYPE_CHECKING:
    from sqlalchemy import Connection

KEY: Final = "hashtext('auth0-sync migrations')"

TRY: Final = f"SELECT pg_try_advisory_lock({KEY})"
"""Take the lock for the session, which outlives the transactions of single migrations; false if another holds it."""

TRY_IN_TRANSACTION: Final = f"SELECT pg_try_advisory_xact_lock({KEY})"
"""Take the lock for the transaction; false if another session holds it."""

RELEASE: Final = f"SELECT pg_advisory_unlock({KEY})"

HOLDER: Final = f"""
    SELECT concat_ws(', ', 'process ' || pid, nullif(application_name, ''), 'as ' || usename)
    FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND (classid::bigint << 32) | objid::bigint = {KEY}::bigint
"""  # noqa: S608 - a constant
"""Name the session that holds the lock."""

PAUSE: Final = 0.5
"""Seconds between two tries."""

REMIND: Final = 60.0
"""Seconds between two log lines about the wait."""


class Locked(Auth0SyncError):
    """Another migration, or the roles function, is running in this database. Try again when it is done."""


@contextmanager
def hold(connection: "Connection", deadline: float = math.inf) -> Iterator[None]:
    """Hold the lock for the session of ``connection``, which must not be in a transaction.

    Raises ``Locked`` if another session still holds it at ``deadline``, by ``time.monotonic``.
    """
    _take(connection, deadline)
    try:
        yield
    finally:
        connection.rollback()
        _ask(connection, RELEASE)


def _take(connection: "Connection", deadline: float) -> None:
    """Try until the lock is free, in a transaction per try.

    A session that waits inside a statement holds a snapshot, and the holder's CREATE INDEX CONCURRENTLY waits for it.
    """
    remind = -math.inf
    while not _ask(connection, TRY):
        holder = _ask(connection, HOLDER) or "a session that has just ended"
        now = time.monotonic()
        if now >= deadline:
            raise Locked(holder)
        if now >= remind:
            logger.warning("waiting for another migration", extra={"holder": holder})
            remind = now + REMIND
        time.sleep(PAUSE)


def _ask(connection: "Connection", statement: str) -> Any:
    value = connection.exec_driver_sql(statement).scalar()
    connection.commit()
    return value
