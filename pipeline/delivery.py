"""Send events to a consumer's queue, and receive the messages of a dead-letter queue."""

import base64
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Self
from uuid import uuid4

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from pipeline.auth0 import queues
from pipeline.auth0.errors import QueueRefused
from pipeline.changes import Meaning, Signal, Snapshot, Tombstone
from pipeline.errors import BadSettings
from pipeline.log_types import LOGINS

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_sqs import SQSClient

HIDDEN: Final = 300
"""Seconds for which nobody else receives a message that was received here."""
WAIT: Final = 2
"""Seconds of a long poll: a short one does not ask all of SQS, and may find a full queue empty."""
BATCH: Final = queues.BATCH_MESSAGES


class Consumer(StrEnum):
    """A queue of the deployment, and the function that reads it."""

    POSTGRES = "postgres"
    DYNAMODB = "dynamodb"
    REFRESH = "refresh"

    @property
    def function(self) -> str:
        """The function's name after the deployment's."""
        return self.value if self is Consumer.REFRESH else f"sync-{self.value}"

    def wants(self, meanings: Sequence[Meaning], user_id: str | None = None) -> bool:
        """Return whether an event is for this consumer, and concerns a user, or the user of that id.

        The sinks store changes. The refresh fetches users whom events only name, but not after logins, which are too
        many.
        """
        return any(
            (isinstance(meaning, Signal) and meaning.cause not in LOGINS)
            if self is Consumer.REFRESH
            else isinstance(meaning, Snapshot | Tombstone)
            for meaning in meanings
            if user_id is None or getattr(meaning, "user_id", None) == user_id
        )


def client_config(threads: int) -> Config:
    """Return the settings of the clients for a ``Queue`` that so many threads use."""
    return Config(max_pool_connections=threads, read_timeout=120, retries={"mode": "standard", "max_attempts": 4})


class Queue:
    """The queue of a consumer. What the queue cannot take goes to the consumer's function, as an SQS batch of one."""

    def __init__(self, sqs: "SQSClient", lambda_: "LambdaClient", deployment: str, consumer: Consumer) -> None:
        self._sqs, self._lambda = sqs, lambda_
        self.consumer = consumer
        self._function = f"{deployment}-{consumer.function}"
        self.url = queue_url(sqs, f"{deployment}-{consumer}")
        names: Any = ["MaximumMessageSize", "QueueArn"]
        attributes: Any = sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        self._arn = attributes["QueueArn"]
        self._max_bytes = int(attributes["MaximumMessageSize"])
        self.invoked = 0
        """Events that the function got directly, and took."""

    def fits(self, body: str) -> bool:
        """Return whether the queue takes a body of this size."""
        return len(body.encode()) <= self._max_bytes

    def send(self, bodies: Sequence[str]) -> dict[int, str]:
        """Send bodies; return the position of each that was not taken, and why."""
        small = [position for position, body in enumerate(bodies) if self.fits(body)]
        failed = queues.send(self._sqs, self.url, [queues.Message(bodies[position]) for position in small])
        refused = {small[place]: error.reason for place, error in failed.items()}
        # What the queue can never take, such as a character that SQS does not allow, the function may.
        straight = [position for position, reason in refused.items() if reason == QueueRefused.__name__]
        straight += [position for position, body in enumerate(bodies) if not self.fits(body)]
        for position in straight:
            refused.pop(position, None)
            if reason := self._invoke(bodies[position]):
                refused[position] = reason
            else:
                self.invoked += 1
        return refused

    def _invoke(self, body: str) -> str | None:
        """Have the function handle one event now; return why it did not."""
        now = str(int(time.time() * 1000))
        record = {
            "messageId": str(uuid4()),
            "body": body,
            "attributes": {
                "ApproximateReceiveCount": "1",
                "SentTimestamp": now,
                "ApproximateFirstReceiveTimestamp": now,
            },
            "messageAttributes": {},
            "eventSource": "aws:sqs",
            "eventSourceARN": self._arn,
            "awsRegion": self._arn.split(":")[3],
        }
        payload = json.dumps({"Records": [record]})
        try:
            answer = self._lambda.invoke(FunctionName=self._function, Payload=payload, LogType="Tail")
        except ClientError as error:
            return str(error.response["Error"].get("Code", "ClientError"))
        except BotoCoreError as error:
            return type(error).__name__
        said = json.loads(answer["Payload"].read() or "null") or {}
        if "FunctionError" in answer:
            return str(said.get("errorType") or "FunctionError")
        return _logged_reason(answer.get("LogResult", "")) if said.get("batchItemFailures") else None


def _logged_reason(tail: str) -> str:
    """Return the reason of the failure that the end of a function's log, in base64, tells."""
    for line in reversed(base64.b64decode(tail).decode(errors="replace").splitlines()):
        with suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, dict) and entry.get("message_id") and entry.get("reason"):
                return str(entry["reason"])
    return "NotStored"


class DeadLetters:
    """The messages of a queue, received once each; those that are not deleted are visible again at the end."""

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
        """Receive until the queue is empty, ``limit`` is reached, or messages come round again."""
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
        """Delete messages; return how many are gone."""
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


def queue_url(sqs: "SQSClient", name: str) -> str:
    """Return the URL of a queue. Raises BadSettings where there is none of this name."""
    try:
        return sqs.get_queue_url(QueueName=name)["QueueUrl"]
    except ClientError as error:
        if not error.response["Error"]["Code"].endswith(("NonExistentQueue", "QueueDoesNotExist")):
            raise
    raise BadSettings(
        f"there is no queue {name} in this account and region; --deployment is the prefix of the names, such as "
        'auth0-sync-prod: eval "$(auth0-sync env --env acme)" sets it'
    )
