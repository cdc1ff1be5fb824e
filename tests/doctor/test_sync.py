"""The check of the sync, where nothing arrives and where it is paused."""

import io
import threading
from typing import Any

import pytest

from pipeline.doctor import sync
from pipeline.doctor.deployed import Deployed
from tests.doctor.support import FakeClock

OUTPUTS = {
    "region": "eu-central-1",
    "event_sources": {"log-stream": "aws.partner/auth0.com/acme/auth0.logs"},
    "queue_urls": {"postgres": "https://sqs/p", "dynamodb": "https://sqs/d"},
    "event_source_mapping_ids": {"postgres": "p", "dynamodb": "d"},
    "function_names": {"sync-postgres": "f"},
    "users_table": "users",
}


class Account:
    """Every client of an account whose functions fail and whose table is empty."""

    def __init__(self, **states: str) -> None:
        self.states = states
        self.sent: list[str] = []

    def get_event_source_mapping(self, UUID: str) -> dict[str, str]:  # noqa: N803
        return {"State": self.states.get(UUID, "Enabled")}

    def send_message(self, QueueUrl: str, MessageBody: str) -> None:  # noqa: N803
        self.sent.append(QueueUrl)

    def get_item(self, **_: Any) -> dict[str, Any]:
        return {}

    def invoke(self, **_: Any) -> dict[str, Any]:
        return {"Payload": io.BytesIO(b'{"errorType": "StoreDown"}'), "FunctionError": "Unhandled"}


@pytest.fixture
def account() -> Account:
    return Account()


def deployed(account: Account) -> Deployed:
    def new_client(_service: str, _region: str) -> Account:
        # boto3's sessions are not for several threads.
        assert threading.current_thread() is threading.main_thread()
        return account

    return Deployed("prod", OUTPUTS, new_client, 10, FakeClock())


def test_an_event_that_does_not_arrive_is_bad(account: Account) -> None:
    postgres, dynamodb = sync.check(deployed(account))
    assert (postgres.title, postgres.verdict) == ("Sync to Postgres: creation", "bad")
    assert postgres.detail.startswith("not stored 10 s after it was put into the queue; the function says: ")
    assert postgres.advice == "Look: auth0-sync logs sync-postgres --env prod"
    assert (dynamodb.title, dynamodb.verdict) == ("Sync to DynamoDB: creation", "bad")
    assert dynamodb.detail == "not stored 10 s after it was put into the queue"
    assert dynamodb.advice == "Look: auth0-sync logs sync-dynamodb --env prod"
    assert sorted(account.sent) == ["https://sqs/d", "https://sqs/p"]


def test_a_sync_that_is_paused_is_sent_nothing(account: Account) -> None:
    account.states = {"p": "Disabled", "d": "Disabling"}
    postgres, dynamodb = sync.check(deployed(account))
    assert {postgres.verdict, dynamodb.verdict} == {"unknown"}
    assert postgres.detail == "it is paused (Disabled): events wait in the queue"
    assert account.sent == []
