"""Receive the messages of a dead-letter queue, and delete those that were resent or are not needed."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

HIDDEN: Final = 300
"""Visibility timeout of received messages, in seconds."""
WAIT: Final = 2
"""Seconds of a long poll: a short one does not query all servers of SQS, and may find a full queue empty."""
BATCH: Final = 10
"""The most messages that SQS receives, deletes or shows again in one request."""


class Waiting(NamedTuple):
    """Messages of a queue by state, about, and the time at which the last of the hidden ones is visible again."""

    visible: int
    hidden: int
    until: datetime


def waiting(sqs: "SQSClient", url: str) -> Waiting:
    """Count the messages of a queue.

    Somebody has received the hidden ones: another run of a command, perhaps one that was killed.
    """
    names: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "VisibilityTimeout"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    visible, hidden, timeout = (int(found[name]) for name in names)
    return Waiting(visible, hidden, datetime.now(UTC) + timedelta(seconds=max(HIDDEN, timeout)))


class DeadLetters:
    """The messages of a queue, each received once. At the end it makes the remaining ones visible again."""

    def __init__(self, sqs: "SQSClient", url: str) -> None:
        self._sqs, self._url = sqs, url
        self._kept: dict[str, str] = {}  # message id to receipt handle

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        handles = list(self._kept.values())
        for start in range(0, len(handles), BATCH):
            entries: Any = [
                {"Id": str(place), "ReceiptHandle": handle, "VisibilityTimeout": 0}
                for place, handle in enumerate(handles[start : start + BATCH])
            ]
            self._sqs.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)

    def batches(self, limit: int | None = None) -> Iterator[list[Any]]:
        """Receive until the queue is empty, ``limit`` is reached, or SQS delivers a message again."""
        received = 0
        while limit is None or received < limit:
            wanted = BATCH if limit is None else min(BATCH, limit - received)
            answer = self._sqs.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=wanted,
                AttributeNames=["All"],
                MessageAttributeNames=["All"],
                VisibilityTimeout=HIDDEN,
                WaitTimeSeconds=WAIT,
            )
            found = answer.get("Messages", [])
            new = [message for message in found if message["MessageId"] not in self._kept]
            self._kept |= {message["MessageId"]: message["ReceiptHandle"] for message in found}
            if not new:
                return
            received += len(new)
            yield new

    def delete(self, messages: Sequence[Any]) -> int:
        """Delete messages; return the number that SQS deleted."""
        gone = 0
        for start in range(0, len(messages), BATCH):
            batch = messages[start : start + BATCH]
            entries: Any = [
                {"Id": str(place), "ReceiptHandle": message["ReceiptHandle"]} for place, message in enumerate(batch)
            ]
            for done in self._sqs.delete_message_batch(QueueUrl=self._url, Entries=entries).get("Successful", []):
                del self._kept[batch[int(done["Id"])]["MessageId"]]
                gone += 1
        return gone
