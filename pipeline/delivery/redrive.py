"""Resend the events that EventBridge could not deliver to a queue or to the archive.

SQS's redrive only works for dead-letter queues of a queue, not for those of EventBridge's targets, and only Auth0 can
publish to its bus. So the command sends the event, which is the whole message, to the target itself.
"""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from pipeline.changes import read
from pipeline.delivery import Delivery
from pipeline.delivery.dead_letters import DeadLetters
from pipeline.delivery.errors import cause
from pipeline.delivery.queue import Queue
from pipeline.delivery.stream import Stream
from pipeline.delivery.targets import Consumer, Each, Only, queue_url
from pipeline.errors import BadSettings, Poison

if TYPE_CHECKING:
    from mypy_boto3_firehose import FirehoseClient
    from mypy_boto3_sqs import SQSClient


class Target(StrEnum):
    """A target of EventBridge's rules, with a dead-letter queue of its own."""

    POSTGRES = "postgres"
    DYNAMODB = "dynamodb"
    REFRESH = "refresh"
    ARCHIVE = "archive"
    LOG_STREAM = "log-stream"
    EVENT_STREAM = "event-stream"


FORWARDED: Final = (Target.LOG_STREAM, Target.EVENT_STREAM)
"""The buses to which another region forwards events: an event that they lack is missing everywhere."""


@dataclass
class Report:
    """The events found in a dead-letter queue, and how many of them were sent."""

    queue: str
    to: str
    found: int = 0
    sent: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    """EventBridge's error code, such as ``SDK_CLIENT_ERROR``, to number of events."""
    rules: Counter[str] = field(default_factory=Counter)
    """Rule that matched to number."""
    refused: Counter[str] = field(default_factory=Counter)
    """Reason why events could not be sent now, to number of events."""


def targets(sqs: "SQSClient", firehose: "FirehoseClient", deployment: str, target: Target) -> dict[str, Delivery]:
    """Return the targets, by name, for a target's undelivered events. Raises BadSettings for a missing queue.

    The events of a bus go everywhere. The sinks ignore those that are not for them; the refresh gets only the events
    that it needs, as it would fetch a user at each login.
    """
    name = f"{deployment}-{target}"
    if target is Target.ARCHIVE:
        return {name: Stream(firehose, name)}
    if target not in FORWARDED:
        return {name: Queue(sqs, queue_url(sqs, name))}
    found = targets(sqs, firehose, deployment, Target.ARCHIVE)
    for sink in (Target.POSTGRES, Target.DYNAMODB):
        found |= targets(sqs, firehose, deployment, sink)
    try:
        [(name, refresh)] = targets(sqs, firehose, deployment, Target.REFRESH).items()
    except BadSettings:
        return found  # the deployment has no refresh
    return found | {name: Only(_is_for_refresh, refresh)}


def _is_for_refresh(body: str) -> bool:
    try:
        return Consumer.REFRESH.wants(read(body))
    except Poison:
        return False


def redrive(
    source: "SQSClient",
    deployment: str,
    target: Target,
    to: dict[str, Delivery],
    *,
    limit: int | None = None,
    dry_run: bool = False,
) -> Report:
    """Send the undelivered events of a target; ``source`` is a client of the region of its dead-letter queue."""
    report = Report(f"{deployment}-{target}-undelivered", ", ".join(to))
    move(source, queue_url(source, report.queue), None if dry_run else Each(list(to.values())), report, limit)
    return report


def move(sqs: "SQSClient", url: str, to: Delivery | None, report: Report, limit: int | None = None) -> None:
    """Send the messages of the queue ``url``, and delete each that was taken; without ``to``, only count them.

    Stops at the end of the queue, at ``limit``, when a whole batch is refused, and when SQS delivers a message again.
    """
    with DeadLetters(sqs, url) as letters:
        for messages in letters.batches(limit):
            for message in messages:
                _count(report, message)
            if to is None:
                continue
            failed = to.send([message["Body"] for message in messages]).failed
            report.refused.update(cause(error) for error in failed.values())
            taken = [message for position, message in enumerate(messages) if position not in failed]
            if not taken:
                break
            letters.delete(taken)
            report.sent += len(taken)


def _count(report: Report, message: Any) -> None:
    attributes = {name: value.get("StringValue", "") for name, value in message.get("MessageAttributes", {}).items()}
    report.found += 1
    report.errors[attributes.get("ERROR_CODE") or "unknown"] += 1
    report.rules[attributes.get("RULE_ARN", "").rpartition("/")[2] or "unknown"] += 1
