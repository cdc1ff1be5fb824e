"""Send any number of messages to an SQS queue, within the limits of its batches, and say which were not taken."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from pipeline.auth0.errors import QueueDown, QueueRefused

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

BATCH_MESSAGES = 10
BATCH_BYTES = 1024 * 1024
"""The most that SQS takes in one request. The queue's setting limits a single message."""
LONGEST_DELAY = 900
"""Seconds, SQS's own limit."""

ATTEMPTS = 3
PAUSE = 0.2

# What SQS says of the message, rather than of the queue or of its own state. Older and newer forms of the names.
_ABOUT_THE_MESSAGE = ("BatchRequestTooLong", "InvalidParameterValue", "InvalidMessageContents")


class Message(NamedTuple):
    """A message to send; ``delay`` in seconds."""

    body: str
    delay: int = 0


def send(
    sqs: "SQSClient", url: str, messages: Sequence[Message], sleep: Callable[[float], None] = time.sleep
) -> dict[int, QueueDown | QueueRefused]:
    """Send ``messages``; the answer holds the position of each that the queue did not take, and why."""
    failed: dict[int, QueueDown | QueueRefused] = {}
    for batch in batches([len(message.body.encode()) for message in messages], BATCH_MESSAGES, BATCH_BYTES):
        failed |= _send_batch(sqs, url, messages, batch, sleep)
    return failed


def batches(sizes: Iterable[int], most: int, most_bytes: int) -> Iterator[list[int]]:
    """Split positions into batches of at most ``most`` and ``most_bytes``; one that is larger alone goes alone."""
    batch: list[int] = []
    size = 0
    for position, length in enumerate(sizes):
        if batch and (len(batch) == most or size + length > most_bytes):
            yield batch
            batch, size = [], 0
        batch.append(position)
        size += length
    if batch:
        yield batch


def _send_batch(
    sqs: "SQSClient", url: str, messages: Sequence[Message], batch: list[int], sleep: Callable[[float], None]
) -> dict[int, QueueDown | QueueRefused]:
    refused: dict[int, QueueDown | QueueRefused] = {}
    down: dict[int, QueueDown | QueueRefused] = {}
    for attempt in range(ATTEMPTS):
        if attempt:
            sleep(PAUSE * 2 ** (attempt - 1))
        failed = _send_once(sqs, url, messages, batch)
        refused |= {position: error for position, error in failed.items() if isinstance(error, QueueRefused)}
        down = {position: error for position, error in failed.items() if isinstance(error, QueueDown)}
        if not down:
            break
        batch = list(down)
    return refused | down


def _send_once(
    sqs: "SQSClient", url: str, messages: Sequence[Message], batch: list[int]
) -> dict[int, QueueDown | QueueRefused]:
    entries: list[SendMessageBatchRequestEntryTypeDef] = [
        {"Id": str(position), "MessageBody": messages[position].body, "DelaySeconds": messages[position].delay}
        for position in batch
    ]
    try:
        answer = sqs.send_message_batch(QueueUrl=url, Entries=entries)
    except BotoCoreError as error:
        return dict.fromkeys(batch, QueueDown(type(error).__name__))
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if not code.endswith(_ABOUT_THE_MESSAGE):
            return dict.fromkeys(batch, QueueDown(code))
        if len(batch) == 1:
            return {batch[0]: QueueRefused(code)}
        singly: dict[int, QueueDown | QueueRefused] = {}
        for position in batch:  # it is one of them, and the others must not suffer for it
            singly |= _send_once(sqs, url, messages, [position])
        return singly
    return {
        int(failure["Id"]): QueueRefused(failure["Code"]) if failure["SenderFault"] else QueueDown(failure["Code"])
        for failure in answer.get("Failed", [])
    }
