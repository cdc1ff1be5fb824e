"""The roles function: makes the roles in Postgres, as the cluster's master user, through the RDS Data API.

It runs outside the database's network, in which the master's password cannot be had without an endpoint of its own.
"""

import os
import time
from functools import cache
from typing import Any, Protocol

from pipeline import roles
from pipeline.data_api import Client, Transaction, Unavailable, patiently
from pipeline.migration import lock
from pipeline.settings import Cluster
from pipeline.telemetry import logger

ANSWER = 15
"""Seconds that a call may take. The statements take milliseconds."""
RESERVE = ANSWER + 5.0
"""Seconds at the end of the function's time in which nothing is begun, so that the error is ours and says why."""

PROPAGATION = 90.0
"""Seconds that IAM may take to apply the function's own policy, which a first deployment writes right before."""


class Context(Protocol):
    """What is used of Lambda's context."""

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda ends the invocation."""
        ...


class Locked(Unavailable):
    """Another deployment is making roles or migrating in this database. Try again when it is done."""


@cache
def data_api() -> Client:
    """Made once per execution environment."""
    import boto3
    from botocore.config import Config

    retries: Any = {"total_max_attempts": 1}  # we try again ourselves, and know for how long
    client: Client = boto3.client("rds-data", config=Config(retries=retries, connect_timeout=5, read_timeout=ANSWER))
    return client


def create(client: Client, cluster: Cluster, deadline: float) -> None:
    """Make the roles, all or none; waits for the database until ``deadline``, by ``time.monotonic``, and for IAM.

    Raises a ``pipeline.data_api.DataApiError``.
    """

    def once() -> None:
        with Transaction(client, cluster) as transaction:
            if transaction.execute(lock.TRY_IN_TRANSACTION).rows != [(True,)]:
                raise Locked
            for statement in roles.statements():
                transaction.execute(statement)

    patiently(once, deadline, propagation=PROPAGATION)


def handler(event: dict[str, Any], context: Context) -> dict[str, list[str]]:  # noqa: ARG001 - Lambda's form
    """``{"roles": [names]}``. Run again it repairs what was changed, and changes nothing else."""
    deadline = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - RESERVE
    create(data_api(), Cluster.from_env(), deadline)
    logger.info("roles", extra={"roles": roles.NAMES})
    return {"roles": list(roles.NAMES)}


if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    data_api()  # load its library while the function starts, where Lambda lends a whole CPU
