"""Each consumer gets its events, and its function those that the queue cannot take."""

import base64
import io
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from pipeline.changes import read
from pipeline.delivery import Consumer, Queue
from tests.strategies import deleted, log, text, updated, user

CHANGE, DELETION = text(updated(user("auth0|ada"))), text(deleted("auth0|ada"))
SIGNAL, OTHER = text(log("scp", user_id="auth0|ada")), text(log("fp"))
LOGINS = [text(log(kind, user_id="auth0|ada")) for kind in ("s", "sepft")]
LIMIT = 20_000


@pytest.mark.parametrize(
    ("consumer", "wanted"),
    [
        (Consumer.POSTGRES, [CHANGE, DELETION]),
        (Consumer.DYNAMODB, [CHANGE, DELETION]),
        (Consumer.REFRESH, [SIGNAL]),
    ],
)
def test_each_consumer_gets_what_it_is_for(consumer: Consumer, wanted: list[str]) -> None:
    events = [CHANGE, DELETION, SIGNAL, *LOGINS, OTHER]
    assert [event for event in events if consumer.wants(read(event))] == wanted
    assert [event for event in events if consumer.wants(read(event), "auth0|ada")] == wanted
    assert not any(consumer.wants(read(event), "auth0|other") for event in events)


class Sqs:
    """A queue that refuses one character, as SQS does."""

    def __init__(self) -> None:
        self.bodies: list[str] = []

    def get_queue_url(self, **_: Any) -> Any:
        return {"QueueUrl": "queue"}

    def get_queue_attributes(self, **_: Any) -> Any:
        arn = "arn:aws:sqs:eu-central-1:123456789012:auth0-sync-prod-postgres"
        return {"Attributes": {"MaximumMessageSize": str(LIMIT), "QueueArn": arn}}

    def send_message_batch(self, *, Entries: Any, **_: Any) -> Any:  # noqa: N803 - boto3's name
        bodies = [entry["MessageBody"] for entry in Entries]
        if any("\uffff" in body for body in bodies):
            raise ClientError({"Error": {"Code": "InvalidMessageContents", "Message": ""}}, "SendMessageBatch")
        self.bodies += bodies
        return {"Successful": []}


class Lambda:
    """A function that answers as it was told."""

    def __init__(self, answer: Any = None, log: str = "", error: Exception | None = None, function_error: str = ""):
        self.answer, self.log, self.error, self.function_error = answer, log, error, function_error
        self.events: list[Any] = []

    def invoke(self, *, FunctionName: str, Payload: str, LogType: str) -> Any:  # noqa: N803 - boto3's names
        assert (FunctionName, LogType) == ("auth0-sync-prod-sync-postgres", "Tail")
        if self.error:
            raise self.error
        [record] = json.loads(Payload)["Records"]
        self.events.append(record)
        failures = [{"itemIdentifier": record["messageId"]}] if self.answer == "failed" else []
        answer = {"errorType": self.function_error} if self.function_error else {"batchItemFailures": failures}
        return {
            "Payload": io.BytesIO(json.dumps(answer).encode()),
            "LogResult": base64.b64encode(self.log.encode()).decode(),
            **({"FunctionError": "Unhandled"} if self.function_error else {}),
        }


def queue(lambda_: Lambda) -> tuple[Queue, Sqs]:
    sqs: Any = Sqs()
    function: Any = lambda_
    return Queue(sqs, function, "auth0-sync-prod", Consumer.POSTGRES), sqs


LARGE = text(updated(user("auth0|large", user_metadata={"text": "é" * LIMIT})))
ODD = CHANGE.replace("auth0|ada", "auth0|\uffff")


def test_what_a_queue_cannot_take_goes_to_its_function() -> None:
    function = Lambda()
    target, sqs = queue(function)
    assert [target.fits(body) for body in (CHANGE, LARGE, "é" * (LIMIT // 2), "é" * (LIMIT // 2) + "x")] == [
        True,
        False,
        True,
        False,
    ]
    assert target.send([CHANGE, LARGE, ODD, DELETION]) == {}
    assert sqs.bodies == [CHANGE, DELETION]
    assert [record["body"] for record in function.events] == [ODD, LARGE]
    assert target.invoked == 2
    assert function.events[0]["eventSource"] == "aws:sqs"
    assert int(function.events[0]["attributes"]["SentTimestamp"]) > 0


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (Lambda("failed", 'START\n{"message_id": "1", "reason": "Refused"}\nEND\n'), "Refused"),
        (Lambda("failed", "cut off"), "NotStored"),
        (Lambda(function_error="StoreDown"), "StoreDown"),
        (
            Lambda(error=ClientError({"Error": {"Code": "TooManyRequestsException"}}, "Invoke")),
            "TooManyRequestsException",
        ),
        (Lambda(error=ReadTimeoutError(endpoint_url="x")), "ReadTimeoutError"),
    ],
)
def test_a_function_that_does_not_store_it_says_why(function: Lambda, reason: str) -> None:
    target, _ = queue(function)
    assert target.send([CHANGE, LARGE]) == {1: reason}
    assert target.invoked == 0
