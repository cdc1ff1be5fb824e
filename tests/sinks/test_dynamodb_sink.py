import time
from collections.abc import Iterator
from datetime import UTC, datetime

import boto3
import pytest
from botocore.config import Config
from botocore.stub import ANY, Stubber
from msgspec import Raw
from msgspec.structs import replace

from pipeline import errors
from pipeline.changes import Outcome, Snapshot
from pipeline.sinks.dynamodb import TOMBSTONE_DAYS, DynamoDBSink
from tests.sinks.stored import Table
from tests.strategies import changes, created, deleted, updated, user

MOMENTS = [f"2026-01-15T09:00:0{second}.000Z" for second in range(10)]


# What is written


def test_a_tombstone_replaces_the_user_and_expires(sink: DynamoDBSink, table: Table) -> None:
    sink.apply(changes(updated(user("a|1", MOMENTS[1], user_metadata={"a": 1}))))
    [gone] = changes(deleted("a|1", date=MOMENTS[2]))
    assert sink.apply([gone]) == Outcome()
    [item] = table.items.values()
    expires_at, synced_at = item.pop("expires_at"), item.pop("synced_at")
    assert item == {
        name: getattr(gone, name) for name in ("user_id", "version", "updated_at", "source", "event_id", "deleted_at")
    }
    assert abs((datetime.now(UTC) - datetime.fromisoformat(synced_at)).total_seconds()) < 60
    # From now on, however long ago the user was deleted: an older update may be as late as the deletion was.
    assert abs(int(expires_at) - time.time() - TOMBSTONE_DAYS * 86_400) < 60
    sink.apply(changes(created(user("a|1", MOMENTS[3]))))
    assert {"deleted_at", "expires_at"} & table.items["a|1"].keys() == set()


def test_a_large_user_is_stored_in_part(sink: DynamoDBSink, table: Table) -> None:
    profile = user("a|1", user_metadata={"plan": "gold"}, app_metadata={"notes": ["x" * 1000] * 500})
    assert sink.apply(changes(updated(profile))) == Outcome()
    item = table.items["a|1"]
    assert item["omitted"] == ["profile", "app_metadata"]
    assert item["user_metadata"] == {"plan": "gold"}
    sink.apply(changes(updated(user("a|1", MOMENTS[3]))))
    assert "omitted" not in table.items["a|1"]


# The store in trouble


@pytest.fixture
def stubbed() -> Iterator[tuple[DynamoDBSink, Stubber]]:
    """Yield a sink of one put at a time, whose client gives the stub's answers."""
    client = boto3.client(
        "dynamodb",
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=Config(retries={"total_max_attempts": 1}),
    )
    with Stubber(client) as stubber:
        yield DynamoDBSink(client, "users", threads=1), stubber
        stubber.assert_no_pending_responses()


PUT = {
    "TableName": "users",
    "Item": ANY,
    "ConditionExpression": ANY,
    "ExpressionAttributeValues": ANY,
    "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
}
THREE = [updated(user(f"a|{number}")) for number in range(3)]


def answer(stubber: Stubber, *codes: str | None) -> None:
    for code in codes:
        if code:
            stubber.add_client_error("put_item", code, "a|1 Ada Lovelace", 400, expected_params=PUT)
        else:
            stubber.add_response("put_item", {}, PUT)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("ThrottlingException", errors.StoreBusy),
        ("ProvisionedThroughputExceededException", errors.StoreBusy),
        ("RequestLimitExceeded", errors.StoreBusy),
        ("InternalServerError", errors.StoreBusy),
        ("ResourceNotFoundException", errors.StoreNotReady),
        ("AccessDeniedException", errors.StoreNotReady),
        ("ValidationException", errors.Refused),
        ("SomethingNew", errors.StoreDown),
    ],
)
def test_failure_of_one_user_does_not_fail_the_others(
    stubbed: tuple[DynamoDBSink, Stubber], code: str, kind: type[errors.Auth0SyncError]
) -> None:
    sink, stubber = stubbed
    answer(stubber, None, code, None)
    outcome = sink.apply(changes(*THREE))
    assert list(outcome.failed) == ["a|1"]
    assert type(outcome.failed["a|1"]) is kind
    assert code in str(outcome.failed["a|1"])
    assert "Ada" not in str(outcome.failed["a|1"])
    assert not (outcome.duplicate)
    assert not (outcome.stale)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("ThrottlingException", errors.StoreBusy),
        ("ResourceNotFoundException", errors.StoreNotReady),
        ("SomethingNew", errors.StoreDown),
    ],
)
def test_batch_fails_if_every_write_fails(
    stubbed: tuple[DynamoDBSink, Stubber], code: str, kind: type[errors.Auth0SyncError]
) -> None:
    sink, stubber = stubbed
    answer(stubber, code, code, code)
    with pytest.raises(kind, match=code):
        sink.apply(changes(*THREE))


def test_batch_of_refused_users_is_not_retried(stubbed: tuple[DynamoDBSink, Stubber]) -> None:
    sink, stubber = stubbed
    answer(stubber, *["ValidationException"] * 3)
    assert set(sink.apply(changes(*THREE)).failed) == {"a|0", "a|1", "a|2"}


def test_user_that_cannot_be_an_item_is_refused_without_a_call(stubbed: tuple[DynamoDBSink, Stubber]) -> None:
    sink, stubber = stubbed
    [first, second] = changes(*THREE[:2])
    [broken] = changes(updated(user("a|1", n="@@")))
    answer(stubber, None)
    assert isinstance(broken, Snapshot)
    unreadable = replace(broken, profile=Raw(b"{"))
    outcome = sink.apply([first, unreadable])
    assert list(outcome.failed) == [second.user_id]
    assert isinstance(outcome.failed["a|1"], errors.Refused)


def test_an_unreachable_store_is_down() -> None:
    client = boto3.client(
        "dynamodb",
        endpoint_url="http://127.0.0.1:1",
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=1),
    )
    with pytest.raises(errors.StoreDown):
        DynamoDBSink(client, "users", threads=2).apply(changes(*THREE))
    client.close()
