"""Find the messages about a person in queues, and delete them."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pipeline.delivery.dead_letters import DeadLetters
from pipeline.delivery.targets import queue_url
from pipeline.erasure import Place
from pipeline.erasure.person import Person
from pipeline.errors import BadSettings

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

CONSUMERS = ("postgres", "dynamodb", "refresh")


def names(deployment: str) -> tuple[list[str], list[str]]:
    """Return the names of a deployment's queues, and of its dead-letter queues."""
    queues = [f"{deployment}-{consumer}" for consumer in CONSUMERS]
    dead = [f"{queue}-{why}" for queue in queues for why in ("failed", "undelivered")]
    streams = ("archive", "log-stream", "event-stream")
    return queues, dead + [f"{deployment}-{stream}-undelivered" for stream in streams]


def erase(
    clients: Sequence["SQSClient"],
    deployment: str,
    person: Person,
    update: Callable[[str], None],
    *,
    act: bool,
) -> Place:
    """Find the messages about a person in the dead-letter queues and, to act, delete them in all queues.

    Queues that functions read are only searched to act: each look counts as a try. ``clients`` are of the regions.
    """
    queues, dead = names(deployment)
    found = erased = 0
    for sqs in clients:
        for name in dead + (queues if act else []):
            try:
                url = queue_url(sqs, name)
            except BadSettings:
                continue  # not every deployment has each
            with DeadLetters(sqs, url) as letters:
                for messages in letters.batches():
                    about = [one for one in messages if person.concerns(one["Body"].encode())]
                    found += len(about)
                    if act:
                        erased += letters.delete(about)
                    update(f"{name}: {found:,} messages about the person")
    return Place("queues", found, "messages", erased)
