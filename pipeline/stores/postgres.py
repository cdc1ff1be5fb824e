"""The users in Postgres. A `Reader` runs the queries: on a connection, or through the RDS Data API."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, LiteralString, Protocol

from pipeline import settings
from pipeline.stores import User, Version

STATEMENT_SECONDS: Final = 20

_USER: Final = "SELECT * FROM auth0.users WHERE user_id = %s"
_BY_EMAIL: Final = """
    SELECT user_id FROM auth0.users WHERE lower(email) = lower(%s) AND deleted_at IS NULL ORDER BY user_id
"""
_VERSIONS: Final = "SELECT user_id, version FROM auth0.users WHERE user_id > %s ORDER BY user_id LIMIT %s"


class Reader(Protocol):
    """A runner of queries that cannot write."""

    page: int
    """Most ids and versions in one answer."""
    chunk: int | None
    """Most users whom one statement should look at; None if it may look at all of them."""

    def rows(self, query: LiteralString, *parameters: str | int) -> list[dict[str, Any]]:
        """Run a query, in which each `%s` is a parameter, in a read-only transaction."""


class PostgresStore:
    """View `auth0.users`, whose column `user_id` has the collation "C"."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def read(self, user_id: str) -> User | None:
        """See `Store`."""
        rows = self._reader.rows(_USER, user_id)
        return rows[0] if rows else None

    def find(self, email: str) -> list[str]:
        """See `Store`."""
        return [row["user_id"] for row in self._reader.rows(_BY_EMAIL, email)]

    def versions(self) -> Iterator[Version]:
        """Return versions; see `Store`. Reads a page at a time, each in its own transaction."""
        after = ""
        while rows := self._reader.rows(_VERSIONS, after, self._reader.page):
            yield from (Version(row["user_id"], row["version"]) for row in rows)
            after = rows[-1]["user_id"]


@contextmanager
def reader_from_env(env: Mapping[str, str] = os.environ, *, seconds: int = STATEMENT_SECONDS) -> Iterator[Reader]:
    """Open the database that DATABASE_URL or PG… name; without them, the cluster of CLUSTER_ARN by the Data API.

    A server ends statements after `seconds`, the Data API after 45.
    """
    if not (env.get("DATABASE_URL") or env.get("PGHOST")) and env.get("CLUSTER_ARN"):
        from pipeline.stores.aurora import DataApi, client

        yield DataApi(client(), settings.Cluster.from_env(env))
        return

    from pipeline.stores.server import Server

    with Server(settings.Database.from_env(env), seconds=seconds) as server:
        yield server


@contextmanager
def from_env(env: Mapping[str, str] = os.environ) -> Iterator[PostgresStore]:
    """Open the store of the database that the environment names; see `reader_from_env`."""
    with reader_from_env(env) as reader:
        yield PostgresStore(reader)
