"""The targets in a deployment: its queues by name, each with its function, and the archive's stream."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from botocore.config import Config
from botocore.exceptions import ClientError

from pipeline.delivery import Delivery, Sent
from pipeline.delivery.consumers import Consumer
from pipeline.delivery.function import Function
from pipeline.delivery.queue import Queue
from pipeline.errors import Auth0SyncError, BadSettings

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_sqs import SQSClient

ANSWER_SECONDS: Final = 120
"""Seconds that a command waits for the answer of a function or of another request."""


def client_config(threads: int = 1) -> Config:
    """Return the settings of a target's clients for this number of threads."""
    return Config(max_pool_connections=threads, read_timeout=ANSWER_SECONDS)


def open_queue(sqs: "SQSClient", lambda_: "LambdaClient", deployment: str, consumer: Consumer) -> Queue:
    """Return the queue of a consumer, with the function for messages that the queue cannot take."""
    url = queue_url(sqs, f"{deployment}-{consumer}")
    names: Any = ["MaximumMessageSize"]
    limit = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]["MaximumMessageSize"]
    function = Function(f"{deployment}-{consumer.function}", lambda _: lambda_, seconds=ANSWER_SECONDS)
    return Queue(sqs, url, function, max_bytes=int(limit))


def queue_url(sqs: "SQSClient", name: str) -> str:
    """Return the URL of a queue. Raises BadSettings if no queue has this name."""
    try:
        return sqs.get_queue_url(QueueName=name)["QueueUrl"]
    except ClientError as error:
        if not error.response["Error"]["Code"].endswith(("NonExistentQueue", "QueueDoesNotExist")):
            raise
    raise BadSettings(
        f"there is no queue {name} in this account and region; --deployment is the prefix of the names, such as "
        'auth0-sync-prod: eval "$(auth0-sync env --env acme)" sets it'
    )


class Each:
    """Several targets as one, which takes a body only if each of them does."""

    def __init__(self, targets: Sequence[Delivery]) -> None:
        self._targets = targets

    def send(self, bodies: Sequence[str]) -> Sent:
        """Send every body to every target."""
        failed: dict[int, Auth0SyncError] = {}
        invoked: frozenset[int] = frozenset()
        for target in self._targets:
            sent = target.send(bodies)
            failed |= sent.failed
            invoked |= sent.invoked
        return Sent(failed, invoked)


class Only:
    """A target for some of the bodies; the others count as taken."""

    def __init__(self, wanted: Callable[[str], bool], target: Delivery) -> None:
        self._wanted, self._target = wanted, target

    def send(self, bodies: Sequence[str]) -> Sent:
        """Send the bodies that the target wants."""
        chosen = [position for position, body in enumerate(bodies) if self._wanted(body)]
        failed, invoked = self._target.send([bodies[position] for position in chosen])
        return Sent(
            {chosen[place]: error for place, error in failed.items()}, frozenset(chosen[place] for place in invoked)
        )
