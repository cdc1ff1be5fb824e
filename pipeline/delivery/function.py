"""Invoke a function with a message that its queue cannot take, in the form in which SQS does."""

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
"""Seconds that are kept for what comes after the answer."""


class Function:
    """A function that takes one message an invocation.

    ``client`` makes a client that waits so many seconds for the answer: ``seconds``, or what is left until ``deadline``
    on the clock of ``time.monotonic``. A function that is slower goes on by itself, and may store the message yet.
    """

    def __init__(
        self, name: str, client: "Callable[[float], LambdaClient]", *, seconds: float, deadline: float = math.inf
    ) -> None:
        self.name = name
        self._client, self._seconds, self._deadline = client, seconds, deadline

    def take(self, body: str) -> NotStored | QueueRefused | None:
        """Invoke the function with one message; return why it did not store the message, or None."""
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
    """Return a record of SQS, without what the functions do not read."""
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
    """Return the reason that the end of a function's log, in base64, gives for the failure; nothing if it has none."""
    for line in reversed(base64.b64decode(tail).decode(errors="replace").splitlines()):
        with suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, dict) and entry.get("message_id") and entry.get("reason"):
                return str(entry["reason"])
    return ""
