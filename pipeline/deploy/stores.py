"""The stores of a deployment, as far as they can be looked into from outside: which version they have of a user.

The user is that of the smoke test, and the version must be the test's own: a newer one is somebody else's.
"""

import base64
import json
import time
from collections.abc import Mapping
from typing import Any, Final, Protocol
from uuid import uuid4

from pipeline import roles
from pipeline.data_api import Transaction, Unavailable
from pipeline.deploy import invocation
from pipeline.deploy.failures import function_error
from pipeline.deploy.synthetic import USER, Event
from pipeline.settings import Cluster

AGAIN: Final = 2.0
"""Seconds between two looks."""


class Store(Protocol):
    """A store. `how` says in a few words how it is looked into, `problem` what kept it from being looked into."""

    how: str
    problem: str

    def has(self, event: Event, before: Event) -> bool:
        """Whether it has the user as of `event`; `before` is an older event of the same user. Ask until it has."""


class Table:
    """The DynamoDB table, read."""

    how = "GetItem"
    problem = ""

    def __init__(self, dynamodb: Any, name: str) -> None:
        self._dynamodb = dynamodb
        self._name = name

    def has(self, event: Event, before: Event) -> bool:  # noqa: ARG002 - the protocol's
        """See Store."""
        key = {"user_id": {"S": USER}}
        item = self._dynamodb.get_item(TableName=self._name, Key=key, ConsistentRead=True).get("Item")
        return bool(item and item["version"]["S"] == event.version)


class Aurora:
    """The Aurora cluster of the deployment, read through the RDS Data API."""

    how = "SELECT, by the RDS Data API"
    problem = ""

    def __init__(self, rds_data: Any, cluster: Cluster) -> None:
        self._rds_data = rds_data
        self._cluster = cluster

    def has(self, event: Event, before: Event) -> bool:  # noqa: ARG002 - the protocol's
        """See Store."""
        try:
            with Transaction(self._rds_data, self._cluster) as transaction:
                transaction.execute(f"SET LOCAL ROLE {roles.READERS}")
                # Both are made by us, of characters that need no quoting.
                query = f"SELECT 1 FROM auth0.users WHERE user_id = '{USER}' AND version = '{event.version}'"  # noqa: S608
                return bool(transaction.execute(query).rows)
        except Unavailable as error:
            self.problem = str(error)  # a cluster that has paused itself resumes now
            return False


class BySync:
    """A server that only the function can reach: what the function finds there when it is given an event.

    It tells an event that is older than what is stored (stale) from the one that is stored (duplicate). So the older
    event is given until it is stale, which takes the newer one to have come by the queue; then the newer one, which
    must be a duplicate.
    """

    how = "by what the function finds when it is given the same event again"
    problem = ""

    def __init__(self, lambda_: Any, function: str) -> None:
        self._lambda = lambda_
        self._function = function

    def has(self, event: Event, before: Event) -> bool:
        """See Store."""
        return self._finds(before, "Stale") and self._finds(event, "Duplicate")

    def _finds(self, event: Event, outcome: str) -> bool:
        record = {"messageId": str(uuid4()), "body": event.body, "attributes": {}, "messageAttributes": {}}
        answer = invocation.invoke(self._lambda, self._function, {"Records": [record]})
        said = answer["Payload"].read().decode()
        if "FunctionError" in answer:
            self.problem = f"the function says: {function_error(said)}"
            return False
        log = base64.b64decode(answer.get("LogResult", "")).decode(errors="replace")
        counts = metrics(log)
        if not counts:
            self.problem = f"{self._function} answered {said}, and its log has no metrics that say what it found"
            return False
        self.problem = ""
        return counts.get(outcome, 0) > 0


def metrics(log: str) -> Mapping[str, float]:
    """Return the numbers in the last line of a log that is EMF, as docs/metrics.md names them."""
    for line in reversed(log.splitlines()):
        start = line.find('{"')
        if start < 0 or '"_aws"' not in line:
            continue
        try:
            found = json.loads(line[start:])
        except ValueError:
            continue  # cut at the beginning: the log is only the end of one
        values = {name: value[0] if isinstance(value, list) and value else value for name, value in found.items()}
        return {name: value for name, value in values.items() if isinstance(value, int | float)}
    return {}


def wait(store: Store, event: Event, before: Event, seconds: float) -> float | None:
    """Wait until the store has an event; seconds that it took, or None if it had not in time."""
    began = time.monotonic()
    while not store.has(event, before):
        if time.monotonic() - began > seconds:
            return None
        time.sleep(AGAIN)
    return time.monotonic() - began
