"""The roles function: make the roles in Postgres, as the cluster's master user, through the RDS Data API.

It runs outside the VPC: inside, it would need an endpoint of its own to read the master's password.
"""

import os
import time
from functools import cache
from typing import Any

from pipeline import roles
from pipeline.data_api import Client, Transaction, Unavailable, retry_until
from pipeline.functions import Context
from pipeline.migration import lock
from pipeline.settings import Cluster
from pipeline.telemetry import logger

ANSWER = 15
"""Seconds that a call may take. The statements take milliseconds."""
RESERVE = ANSWER + 5.0
"""Seconds at the end of the function's time in which no call begins, so that the function reports the cause before
Lambda's timeout."""

PROPAGATION = 90.0
"""Seconds for IAM to apply the function's own policy, which a first deployment has just written."""


class Locked(Unavailable):
    """Another deployment is making roles or migrating in this database. Try again when it is done."""


@cache
def data_api() -> Client:
    """Return the execution environment's one client of the Data API."""
    import boto3
    from botocore.config import Config

    retries: Any = {"total_max_attempts": 1}  # `data_api.retry_until` repeats calls until the deadline
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

    retry_until(once, deadline, propagation=PROPAGATION)


def handler(event: dict[str, Any], context: Context) -> dict[str, list[str]]:  # noqa: ARG001 - Lambda's form
    """Make the roles and return ``{"roles": [names]}``. Running it again repairs them and changes nothing else."""
    deadline = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - RESERVE
    create(data_api(), Cluster.from_env(), deadline)
    logger.info("roles", extra={"roles": roles.NAMES})
    return {"roles": list(roles.NAMES)}


if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    data_api()  # load its library while the function starts: Lambda then gives it a whole CPU
