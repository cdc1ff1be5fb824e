"""The sync function with DynamoDB, batches of good and bad messages in and items out."""

import json
from collections.abc import Iterator

import pytest

from pipeline.errors import StoreNotReady
from tests.bad_input import GOOD_ENOUGH, NEIGHBOURS, POISON, TOO_DEEP, bad, leaked, nested, with_raw
from tests.emulator.support import REGION, Aws
from tests.invoking import Function, sync_function
from tests.sinks.stored import Table
from tests.strategies import text, updated

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION}


@pytest.fixture
def function(monkeypatch: pytest.MonkeyPatch, aws: Aws, table: Table) -> Iterator[Function]:
    env = {"SINK": "dynamodb", "USERS_TABLE": table.name, "AWS_ENDPOINT_URL": aws.emulator.endpoint}
    with sync_function(monkeypatch, **env, **CREDENTIALS) as function:
        yield function


def test_invalid_messages_fail_alone_with_their_reason(function: Function, table: Table) -> None:
    for name, (body, reason) in POISON.items():
        table.empty()
        before = len(function.output)
        assert function(NEIGHBOURS[0], body, NEIGHBOURS[1]) == ["m1"], name
        assert table.items.keys() == {"auth0|first", "auth0|last"}, name
        assert f'"reason":"{reason}"' in function.output[before:], name
    assert leaked(function.output) == []


OWN = {
    "a number beyond its range": (with_raw("1e400"), "1E+400"),
    "a number beyond decimals": (with_raw("1e99999999999999999999"), "1e99999999999999999999"),
    "an empty key": (with_raw('{"": 1, "a": 2}'), '{"":1,"a":2}'),
    "deeper than 32 levels": (with_raw("[" * 33 + "]" * 33), "[[[]]]"),
}


def test_unusual_messages_are_stored(function: Function, table: Table) -> None:
    for name, expected in GOOD_ENOUGH.items():
        table.empty()
        assert function(NEIGHBOURS[0], expected.body, NEIGHBOURS[1]) == [], name
        found = {user_id: item["user_metadata"] for user_id, item in table.items.items()}
        assert found == {"auth0|first": {}, "auth0|last": {}, expected.user_id: expected.metadata}, name
    assert leaked(function.output) == []


@pytest.mark.parametrize("name", OWN)
def test_value_that_dynamodb_cannot_hold_is_kept_as_text(function: Function, table: Table, name: str) -> None:
    body, kept = OWN[name]
    assert function(NEIGHBOURS[0], body, NEIGHBOURS[1]) == []
    found = table.items["auth0|bad-user"]["user_metadata"]["x"]
    while isinstance(found, list):
        [found] = found
    assert found == kept


def test_value_that_no_reader_follows_is_text_below_the_levels_of_dynamodb(function: Function, table: Table) -> None:
    assert function(NEIGHBOURS[0], TOO_DEEP.body, NEIGHBOURS[1]) == []
    found = table.items[TOO_DEEP.user_id]["user_metadata"]
    levels = 0
    while isinstance(found["x"], list):
        [found["x"]] = found["x"]
        levels += 1
    assert levels == 30
    inner = json.loads(found.pop("x"))
    whole = {"x": nested(levels, inner), **found}
    assert whole == TOO_DEEP.metadata


def test_user_of_a_megabyte_is_stored_without_its_largest_parts(function: Function, table: Table) -> None:
    body = text(updated(bad(app_metadata={"notes": ["x" * 1000] * 1000})))
    assert len(body) > 1_000_000
    assert function(NEIGHBOURS[0], body, NEIGHBOURS[1]) == []
    assert table.items.keys() == {"auth0|first", "auth0|last", "auth0|bad-user"}
    item = table.items["auth0|bad-user"]
    assert (item["omitted"], item["user_metadata"]) == (["profile", "app_metadata"], {"plan": "s3cret-metadata"})
    assert leaked(function.output) == []


def test_user_that_cannot_be_an_item_fails_alone(function: Function, table: Table) -> None:
    assert function(NEIGHBOURS[0], with_raw("9" * 5000), NEIGHBOURS[1]) == ["m1"]
    assert table.items.keys() == {"auth0|first", "auth0|last"}
    [line] = function.logged("message not stored")
    assert line["reason"] == "Refused"
    assert leaked(function.output) == []


def test_a_missing_table_fails_the_whole_batch(monkeypatch: pytest.MonkeyPatch, aws: Aws) -> None:
    env = {"SINK": "dynamodb", "USERS_TABLE": "no-such-table", "AWS_ENDPOINT_URL": aws.emulator.endpoint}
    with sync_function(monkeypatch, **env, **CREDENTIALS) as function:
        with pytest.raises(StoreNotReady):
            function(*NEIGHBOURS)
        [line] = function.logged("batch not stored")
        assert (line["reason"], line["messages"]) == ("StoreNotReady", 2)
