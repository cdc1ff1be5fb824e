"""Queries on an Aurora cluster through the RDS Data API, for clients outside the VPC."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

from pipeline import roles
from pipeline.data_api import Client, Transaction, Unreachable, retry_until
from pipeline.settings import Cluster

RESUME = 60.0
"""Seconds to wait for a paused cluster."""


def client() -> Any:
    """Return a client for the region that the environment names. It waits longer than the Data API's own 45 seconds."""
    import boto3
    from botocore.config import Config

    retries: Any = {"total_max_attempts": 1}
    return boto3.client("rds-data", config=Config(retries=retries, connect_timeout=5, read_timeout=60))


@contextmanager
def reading(client: Client, cluster: Cluster, resume: float = RESUME) -> Iterator[Transaction]:
    """Open a transaction that can only read: the secret is the master user's, who could do more.

    Raises a DataApiError; `Unavailable` only after `resume` seconds.
    """
    deadline = time.monotonic() + resume
    with retry_until(lambda: Transaction(client, cluster), deadline, give_up_on=(Unreachable,)) as transaction:
        transaction.execute("SET TRANSACTION READ ONLY")
        transaction.execute(f"SET LOCAL ROLE {roles.READERS}")
        yield transaction


class DataApi:
    """A `Reader` that signs in as the master user and takes the rights of a reader.

    300 ids of 1,024 bytes with their versions stay below the Data API's limit of 1 MiB an answer.
    """

    def __init__(self, client: Client, cluster: Cluster, resume: float = RESUME, page: int = 300) -> None:
        self._client = client
        self._cluster = cluster
        self._resume = resume
        self.page = page

    def rows(self, query: LiteralString, *parameters: str | int) -> list[dict[str, Any]]:
        """Run a query; see `Reader` and `reading`."""
        statement = query.replace("%s", "{}").format(*map(_literal, parameters))
        with reading(self._client, self._cluster, self._resume) as transaction:
            answer = transaction.execute(statement)
        return [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]


def _literal(value: str | int) -> str:
    """Return a value as SQL. Text is in hexadecimal: the Data API would look for parameters in a quoted one."""
    if isinstance(value, int):
        return str(value)
    return f"convert_from(decode('{value.encode().hex()}', 'hex'), 'UTF8')"
