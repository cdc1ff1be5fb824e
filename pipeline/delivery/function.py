"""Invoke a function with a message that its queue cannot take, in the form of an SQS event."""

import base64
import json
import math
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from pipeline.delivery.errors import NotStored, QueueRefused

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

LEAST: Final = 2.0
"""Seconds that must be left to invoke a function."""
RESERVE: Final = 1.0
"""Seconds kept for the work after the answer."""


class Function:
    """A function that takes one message per invocation.

    ``client`` makes a client with a timeout: ``seconds``, or the time left until ``deadline`` by ``time.monotonic``. A
    slower function goes on by itself, and may still store the message.
    """

    def __init__(
        self, name: str, client: "Callable[[float], LambdaClient]", *, seconds: float, deadline: float = math.inf
    ) -> None:
        self.name = name
        self._client, self._seconds, self._deadline = client, seconds, deadline

    def take(self, body: str) -> NotStored | QueueRefused | None:
        """Invoke the function with one message; return the error if it did not store the message, or None."""
        seconds = min(self._deadline - time.monotonic() - RESERVE, self._seconds)
        if seconds < LEAST:
            return NotStored("too little time was left")
        payload = msgspec.json.encode({"Records": [_record(body)]})
        try:
            answer = self._client(seconds).invoke(FunctionName=self.name, Payload=payload, LogType="Tail")
            said = json.loads(answer["Payload"].read() or "null") or {}
        except BotoCoreError as error:
            return NotStored(type(error).__name__)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            return QueueRefused(code) if code == "RequestTooLargeException" else NotStored(code)
        if "FunctionError" in answer:
            return NotStored(str(said.get("errorType") or "FunctionError"))
        return NotStored(_logged_reason(answer.get("LogResult", ""))) if said.get("batchItemFailures") else None


def _record(body: str) -> dict[str, Any]:
    """Return an SQS record with only the fields that the functions read."""
    now = str(int(time.time() * 1000))
    return {
        "messageId": str(uuid4()),
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": now,
            "ApproximateFirstReceiveTimestamp": now,
        },
        "messageAttributes": {},
        "eventSource": "aws:sqs",
    }


def _logged_reason(tail: str) -> str:
    """Return the reason of the failure from the end of a function's log, in base64; nothing if it has none."""
    for line in reversed(base64.b64decode(tail).decode(errors="replace").splitlines()):
        with suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, dict) and entry.get("message_id") and entry.get("reason"):
                return str(entry["reason"])
    return ""
