"""SQS records as Lambda gets them, and a stand-in for SQS that keeps what it is sent."""

import io
import json
import time
from collections.abc import Callable, Iterable
from typing import Any

from devstack.traffic import eventbridge
from pipeline.changes import read

Json = dict[str, Any]
REFRESH, POSTGRES, DYNAMODB = "https://sqs/refresh", "https://sqs/postgres", "https://sqs/dynamodb"


def log(data: Json, event_id: str = "e-1") -> str:
    return json.dumps(eventbridge({"log_id": event_id, "data": data}, event_id=event_id, time="2023-07-11T16:30:54Z"))


def login(user_id: str = "auth0|ada") -> str:
    return log({"type": "s", "date": "2023-07-11T16:30:53.250Z", "user_id": user_id, "user_name": "ada@acme.example"})


def user_ids(bodies: Iterable[str]) -> list[str]:
    """Return the user of each change and signal in messages."""
    return [meaning.user_id for body in bodies for meaning in read(body)]  # type: ignore[union-attr]  # none is ignored


def unlink(primary: str, provider: str, identity: str) -> str:
    """Return one message that names two users."""
    request = {
        "method": "delete",
        "path": f"/api/v2/users/{primary.replace('|', '%7C')}/identities/{provider}/{identity}",
    }
    details = {"request": request, "response": {"statusCode": 200, "body": []}}
    return log({"type": "sapi", "date": "2023-07-11T16:30:53.250Z", "details": details})


def records(bodies: Iterable[str], sent_at: float | None = None) -> Json:
    sent = str(int((time.time() if sent_at is None else sent_at) * 1000))
    return {
        "Records": [
            {"messageId": f"m-{number}", "body": body, "attributes": {"SentTimestamp": sent}}
            for number, body in enumerate(bodies)
        ]
    }


class Context:
    def __init__(self, seconds: float = 60) -> None:
        self._ends = time.monotonic() + seconds

    def get_remaining_time_in_millis(self) -> int:
        return int((self._ends - time.monotonic()) * 1000)


class Functions:
    """Keeps what each function of the sinks is invoked with; ``answer`` may be an answer or an exception."""

    def __init__(self) -> None:
        self.bodies: dict[str, list[str]] = {}
        self.answer: Json | Exception = {}

    def invoke(self, FunctionName: str, Payload: bytes, LogType: str) -> Json:  # noqa: N803 - boto3's names
        assert LogType == "Tail"
        [record] = json.loads(Payload)["Records"]
        assert record["messageId"]
        self.bodies.setdefault(FunctionName, []).append(record["body"])
        if isinstance(self.answer, Exception):
            raise self.answer
        return {"Payload": io.BytesIO(b'{"batchItemFailures": []}'), "LogResult": ""} | self.answer


class Sqs:
    """Keeps batches by queue, after it has checked them by SQS's rules; ``fails`` may name a failure of an entry."""

    def __init__(self) -> None:
        self.batches: dict[str, list[list[Json]]] = {}
        self.fails: Callable[[str, Json], tuple[str, bool] | None] = lambda url, entry: None

    def send_message_batch(self, QueueUrl: str, Entries: list[Json]) -> Json:  # noqa: N803 - boto3's names
        assert 1 <= len(Entries) <= 10
        assert len({entry["Id"] for entry in Entries}) == len(Entries)
        assert all(0 <= entry["DelaySeconds"] <= 900 for entry in Entries)
        assert len(Entries) == 1 or sum(len(entry["MessageBody"].encode()) for entry in Entries) <= 1024 * 1024
        failed, taken = [], []
        for entry in Entries:
            failure = self.fails(QueueUrl, entry)
            if failure is None:
                taken.append(entry)
            else:
                failed.append({"Id": entry["Id"], "Code": failure[0], "SenderFault": failure[1]})
        self.batches.setdefault(QueueUrl, []).append(taken)
        return {"Successful": [{"Id": entry["Id"]} for entry in taken], "Failed": failed}

    def entries(self, url: str) -> list[Json]:
        return [entry for batch in self.batches.get(url, []) for entry in batch]

    def bodies(self, url: str) -> list[str]:
        return [entry["MessageBody"] for entry in self.entries(url)]
