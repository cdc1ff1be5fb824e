"""Queries on an Aurora cluster through the RDS Data API, for clients outside the VPC."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, LiteralString

from pipeline import roles
from pipeline.data_api import Client, Transaction, Unreachable, retry_until
from pipeline.settings import Cluster

RESUME = 60.0
"""Seconds to wait for a paused cluster."""

CHUNK: Final = 100_000
"""Users whom a statement hashes in a few seconds, of the 45 that the Data API allows."""


def client() -> Any:
    """Return a client for the region that the environment names. It waits longer than the Data API's own 45 seconds."""
    import boto3
    from botocore.config import Config

    retries: Any = {"total_max_attempts": 1}
    return boto3.client("rds-data", config=Config(retries=retries, read_timeout=60))


@contextmanager
def reading(client: Client, cluster: Cluster, resume: float = RESUME) -> Iterator[Transaction]:
    """Open a transaction that can only read, also with the secret of a restored cluster's master user.

    Raises a DataApiError; `Unavailable` only after `resume` seconds.
    """
    with _begun(client, cluster, resume) as transaction:
        transaction.execute("SET TRANSACTION READ ONLY")
        transaction.execute(f"SET LOCAL ROLE {roles.READERS}")
        yield transaction


@contextmanager
def owning(client: Client, cluster: Cluster, resume: float = RESUME) -> Iterator[Transaction]:
    """Open a transaction as auth0_migrator, who owns the tables; the secret must be the master user's.

    The master user takes on the role and gives it back in the transaction, so that nobody else sees it.
    """
    with _begun(client, cluster, resume) as transaction:
        borrows = transaction.execute(f"SELECT NOT pg_has_role('{roles.MIGRATOR}', 'SET')").rows[0][0]
        if borrows:
            transaction.execute(f"GRANT {roles.MIGRATOR} TO CURRENT_USER WITH INHERIT FALSE, SET TRUE")
        transaction.execute(f"SET LOCAL ROLE {roles.MIGRATOR}")
        yield transaction
        transaction.execute("RESET ROLE")
        if borrows:
            transaction.execute(f"REVOKE {roles.MIGRATOR} FROM CURRENT_USER")


def _begun(client: Client, cluster: Cluster, resume: float) -> Transaction:
    """Begin a transaction, as soon as a paused cluster has resumed."""
    deadline = time.monotonic() + resume
    return retry_until(lambda: Transaction(client, cluster), deadline, give_up_on=(Unreachable,))


class InTransaction:
    """Statements in a transaction that the caller has opened."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def rows(self, query: LiteralString, *parameters: str | int) -> list[dict[str, Any]]:
        """Run a statement, in which each `%s` is a parameter. Raises a DataApiError."""
        first, *parts = query.split("%s")
        values = map(_literal, parameters)
        answer = self._transaction.execute(first + "".join(f"{next(values)}{part}" for part in parts))
        return [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]


class DataApi:
    """A `Reader` that signs in with the secret of `auth0_query`.

    300 ids of 1,024 bytes with their versions stay below the Data API's limit of 1 MiB an answer.
    """

    chunk: int | None = CHUNK

    def __init__(self, client: Client, cluster: Cluster, resume: float = RESUME, page: int = 300) -> None:
        self._client = client
        self._cluster = cluster
        self._resume = resume
        self.page = page

    def rows(self, query: LiteralString, *parameters: str | int) -> list[dict[str, Any]]:
        """Run a query; see `Reader` and `reading`."""
        with reading(self._client, self._cluster, self._resume) as transaction:
            return InTransaction(transaction).rows(query, *parameters)


def _literal(value: str | int) -> str:
    """Return a value as SQL. Text is in hexadecimal: the Data API would look for parameters in a quoted one."""
    if isinstance(value, int):
        return str(value)
    return f"convert_from(decode('{value.encode().hex()}', 'hex'), 'UTF8')"
