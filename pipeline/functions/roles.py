"""The roles function: make the roles in Postgres, as the cluster's master user, through the RDS Data API.

It also renews the password of ``auth0_query``, the login of people who use the Data API, in their secret.

It runs outside the VPC: inside, it would need an endpoint of its own to read the master's password.
"""

import json
import os
import time
from functools import cache
from typing import Any, Protocol

from pipeline import roles, settings
from pipeline.data_api import Client, Transaction, Unavailable, call, retry_until
from pipeline.functions import Context, aws_client
from pipeline.roles import password
from pipeline.settings import Cluster
from pipeline.telemetry import logger

ANSWER = 15
"""Seconds that a call may take. The statements take milliseconds."""
RESERVE = ANSWER + 5.0
"""Seconds at the end of the function's time in which no call begins, so that the function reports the cause before
Lambda's timeout."""

ONCE: Any = {"attempts": 1, "connect": 5, "read": ANSWER}
"""Settings of a client that does not retry: `data_api.retry_until` repeats calls until the deadline."""

PROPAGATION = 90.0
"""Seconds for IAM to apply the function's own policy, which a first deployment has just written."""


class Locked(Unavailable):
    """Another deployment is making roles or migrating in this database. Try again when it is done."""


class Secrets(Protocol):
    """The part of boto3's client ``secretsmanager`` that this module uses."""

    def put_secret_value(self, **arguments: Any) -> Any:
        """Store a new version of a secret."""


@cache
def data_api() -> Client:
    """Return the execution environment's one client of the Data API."""
    found: Client = aws_client("rds-data", **ONCE)
    return found


@cache
def secrets_manager() -> Secrets:
    """Return the execution environment's one client of Secrets Manager."""
    found: Secrets = aws_client("secretsmanager", **ONCE)
    return found


def create(client: Client, secrets: Secrets, cluster: Cluster, query_secret: str, deadline: float) -> list[str]:
    """Make the roles, all or none, and give ``auth0_query`` a new password; return the report (roles/report.sql).

    Waits for the database until ``deadline``, by ``time.monotonic``, and for IAM. Raises a
    ``pipeline.data_api.DataApiError``.
    """

    def once() -> list[str]:
        with Transaction(client, cluster) as transaction:
            try:
                for statement in roles.statements():
                    transaction.execute(statement)
            except Unavailable as error:
                if "55P03" in str(error):
                    raise Locked from error
                raise
            found = [str(line) for (line,) in transaction.execute(roles.REPORT).rows]
            fresh = password.new()
            transaction.execute(password.statement(fresh))
            # Last, so that a failure before it leaves the old password in both places.
            sign_in = json.dumps({"username": roles.QUERY, "password": fresh})
            call(secrets.put_secret_value, SecretId=query_secret, SecretString=sign_in)
        return found

    return retry_until(once, deadline, propagation=PROPAGATION)


def handler(event: dict[str, Any], context: Context) -> dict[str, list[str]]:  # noqa: ARG001 - Lambda's form
    """Make the roles and return ``{"roles": [names], "others": [lines]}``. Running it again repairs them.

    ``others`` lists the rights of other roles on auth0-sync, such as those of people who may read.
    """
    deadline = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - RESERVE
    cluster = Cluster.from_env(as_master=True)
    others = create(data_api(), secrets_manager(), cluster, settings.query_secret(), deadline)
    logger.info("roles", extra={"roles": roles.NAMES, "others": len(others)})
    return {"roles": list(roles.NAMES), "others": others}


if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    data_api()  # load its library while the function starts: Lambda then gives it a whole CPU
