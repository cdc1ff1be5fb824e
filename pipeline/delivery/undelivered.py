"""Destinations of the events that EventBridge could not deliver to a queue or to the archive.

SQS moves messages only out of the dead-letter queues of a queue, not of EventBridge's targets, and only Auth0 can
publish to its bus. So a command sends the event, which is the whole message, to the target itself.
"""

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from pipeline.changes import read
from pipeline.delivery import Delivery
from pipeline.delivery.consumers import SINKS, Consumer
from pipeline.delivery.queue import Queue
from pipeline.delivery.stream import Stream
from pipeline.delivery.targets import Each, Only, open_queue, queue_url
from pipeline.errors import BadSettings, Poison

if TYPE_CHECKING:
    from mypy_boto3_firehose import FirehoseClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_sqs import SQSClient


class Target(StrEnum):
    """A target of EventBridge's rules, with a dead-letter queue of its own; or the backfill, which gets no events."""

    POSTGRES = "postgres"
    DYNAMODB = "dynamodb"
    REFRESH = "refresh"
    ARCHIVE = "archive"
    LOG_STREAM = "log-stream"
    EVENT_STREAM = "event-stream"
    BACKFILL = "backfill"

    @property
    def consumer(self) -> Consumer | None:
        """Return the target's queue and function, if it is a queue."""
        return Consumer(self.value) if self.value in list(Consumer) else None


FORWARDED: Final = (Target.LOG_STREAM, Target.EVENT_STREAM)
"""The buses to which another region forwards events: an event that they lack is missing everywhere."""


def destination(
    sqs: "SQSClient", lambda_: "LambdaClient", firehose: "FirehoseClient", deployment: str, target: Target
) -> Delivery:
    """Return the destination of a target's undelivered events. Raises BadSettings for a missing queue.

    The events of a bus go everywhere. The sinks ignore those that are not for them; the refresh gets only the events
    that it needs, as it would fetch a user at each login.
    """
    archive = Stream(firehose, f"{deployment}-archive")
    if target is Target.ARCHIVE:
        return archive
    if target is Target.BACKFILL:
        return Queue(sqs, queue_url(sqs, f"{deployment}-{target}"))
    if target.consumer is not None:
        return open_queue(sqs, lambda_, deployment, target.consumer)
    sinks = [open_queue(sqs, lambda_, deployment, sink) for sink in SINKS]
    try:
        refresh = open_queue(sqs, lambda_, deployment, Consumer.REFRESH)
    except BadSettings:
        return Each([archive, *sinks])  # the deployment has no refresh
    return Each([archive, *sinks, Only(_is_for_refresh, refresh)])


def _is_for_refresh(body: str) -> bool:
    try:
        return Consumer.REFRESH.wants(read(body))
    except Poison:
        return False
