"""A function that is invoked with one message, as SQS would invoke it."""

import base64
import io
import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from pipeline.delivery.errors import NotStored, QueueRefused, cause
from pipeline.delivery.function import Function
from pipeline.errors import Poison, Retry

LOG = 'START\n{"message_id": "1", "reason": "Refused"}\nEND\n'


class Lambda:
    """A function that answers as it was told, and the waits that it was given."""

    def __init__(
        self, answer: Any = None, log: str = "", error: Exception | None = None, function_error: str = ""
    ) -> None:
        self.answer, self.log, self.error, self.function_error = answer, log, error, function_error
        self.records: list[Any] = []
        self.waits: list[float] = []

    def client(self, seconds: float) -> Any:
        self.waits.append(seconds)
        return self

    def invoke(self, *, FunctionName: str, Payload: str, LogType: str) -> Any:  # noqa: N803 - boto3's names
        assert (FunctionName, LogType) == ("auth0-sync-prod-sync-postgres", "Tail")
        if self.error:
            raise self.error
        [record] = json.loads(Payload)["Records"]
        self.records.append(record)
        failures = [{"itemIdentifier": record["messageId"]}] if self.answer == "failed" else []
        answer = {"errorType": self.function_error} if self.function_error else {"batchItemFailures": failures}
        return {
            "Payload": io.BytesIO(json.dumps(answer).encode()),
            "LogResult": base64.b64encode(self.log.encode()).decode(),
            **({"FunctionError": "Unhandled"} if self.function_error else {}),
        }


def function(lambda_: Lambda, **deadline: float) -> Function:
    return Function("auth0-sync-prod-sync-postgres", lambda_.client, seconds=20, **deadline)


def test_message_arrives_as_sqs_would_send_it() -> None:
    lambda_ = Lambda()
    assert function(lambda_).take("é\uffff") is None
    [record] = lambda_.records
    assert record["body"] == "é\uffff"
    assert record["eventSource"] == "aws:sqs"
    assert time.time() - int(record["attributes"]["SentTimestamp"]) / 1000 < 60
    assert lambda_.waits == [20]


@pytest.mark.parametrize(
    ("lambda_", "reason"),
    [
        (Lambda("failed", LOG), "Refused"),
        (Lambda("failed", "cut off"), "NotStored"),
        (Lambda(function_error="StoreDown"), "StoreDown"),
        (
            Lambda(error=ClientError({"Error": {"Code": "TooManyRequestsException"}}, "Invoke")),
            "TooManyRequestsException",
        ),
        (Lambda(error=ReadTimeoutError(endpoint_url="x")), "ReadTimeoutError"),
    ],
)
def test_unstored_message_fails_with_the_functions_reason(lambda_: Lambda, reason: str) -> None:
    error = function(lambda_).take("body")
    assert isinstance(error, NotStored)
    assert isinstance(error, Retry)
    assert cause(error) == reason


def test_message_over_the_invocation_limit_is_refused() -> None:
    error = function(Lambda(error=ClientError({"Error": {"Code": "RequestTooLargeException"}}, "Invoke"))).take("x")
    assert isinstance(error, QueueRefused)
    assert isinstance(error, Poison)
    assert cause(error) == "QueueRefused"


def test_wait_ends_before_the_deadline() -> None:
    lambda_ = Lambda()
    assert function(lambda_, deadline=time.monotonic() + 10).take("body") is None
    [seconds] = lambda_.waits
    assert 8 < seconds <= 9


def test_function_is_not_invoked_with_too_little_time_left() -> None:
    lambda_ = Lambda()
    error = function(lambda_, deadline=time.monotonic() + 2.5).take("body")
    assert isinstance(error, NotStored)
    assert lambda_.waits == []
