"""Invoke a sink's function with a message that is too large for its queue, in the form in which SQS does."""

import json
import uuid
from typing import TYPE_CHECKING, Final

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from pipeline.auth0.errors import NotStored, QueueRefused

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

SECONDS: Final = 20
"""How long to wait for a function: a database that has paused itself takes 15 seconds. A slower function goes on by
itself, and a later try finds the user stored."""


def hand(functions: "LambdaClient", name: str, body: str) -> NotStored | QueueRefused | None:
    """Invoke the function ``name`` with one message; return why the message was not stored, or None."""
    payload = msgspec.json.encode({"Records": [{"messageId": str(uuid.uuid4()), "body": body}]})
    try:
        answer = functions.invoke(FunctionName=name, Payload=payload)
    except BotoCoreError as error:
        return NotStored(type(error).__name__)
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        return QueueRefused(code) if code == "RequestTooLargeException" else NotStored(code)
    if answer.get("FunctionError") or json.loads(answer["Payload"].read()).get("batchItemFailures"):
        return NotStored("its log says why")
    return None
