"""The check of the sync, where nothing arrives and where it is paused."""

import io
import json
import threading
from typing import Any

import pytest
from botocore.exceptions import ClientError

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
        self.refusal = ""

    def get_event_source_mapping(self, UUID: str) -> dict[str, str]:  # noqa: N803 - boto3's names
        return {"State": self.states.get(UUID, "Enabled")}

    def send_message_batch(self, QueueUrl: str, Entries: Any) -> dict[str, Any]:  # noqa: N803 - boto3's names
        if self.refusal:
            raise ClientError({"Error": {"Code": self.refusal}}, "SendMessageBatch")
        [entry] = Entries
        assert json.loads(entry["MessageBody"])["source"] == "auth0-sync/doctor"
        self.sent.append(QueueUrl)
        return {}

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


def test_missing_event_is_bad(account: Account) -> None:
    postgres, dynamodb = sync.check(deployed(account))
    assert (postgres.title, postgres.verdict) == ("Sync to Postgres: creation", "bad")
    assert postgres.detail.startswith("not stored 10 s after it was put into the queue; the function says: ")
    assert postgres.advice == "Look: auth0-sync logs sync-postgres --env prod"
    assert (dynamodb.title, dynamodb.verdict) == ("Sync to DynamoDB: creation", "bad")
    assert dynamodb.detail == "not stored 10 s after it was put into the queue"
    assert dynamodb.advice == "Look: auth0-sync logs sync-dynamodb --env prod"
    assert sorted(account.sent) == ["https://sqs/d", "https://sqs/p"]


def test_paused_sync_gets_no_event(account: Account) -> None:
    account.states = {"p": "Disabled", "d": "Disabling"}
    postgres, dynamodb = sync.check(deployed(account))
    assert {postgres.verdict, dynamodb.verdict} == {"unknown"}
    assert postgres.detail == "it is paused (Disabled): events wait in the queue"
    assert account.sent == []


@pytest.mark.parametrize(("refusal", "verdict"), [("InternalError", "bad"), ("AccessDenied", "unknown")])
def test_check_does_not_wait_for_a_refused_event(account: Account, refusal: str, verdict: str) -> None:
    account.refusal = refusal
    postgres, dynamodb = sync.check(deployed(account))
    assert [postgres.title, dynamodb.title] == ["Sync to Postgres", "Sync to DynamoDB"]
    assert {postgres.verdict, dynamodb.verdict} == {verdict}
    assert refusal in postgres.detail
    assert "SendMessageBatch" in postgres.detail
    assert ("access.operator_arns" in postgres.advice) == (verdict == "unknown")
