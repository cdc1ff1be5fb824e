"""The objects for a bulk put: each item is the one that the sink puts for a user whom the table lacks."""

import json

from hypothesis import given
from hypothesis import strategies as st

from pipeline.backfill.bulk import items, record, require
from pipeline.backfill.load import load
from pipeline.changes import Export
from pipeline.sinks.dynamodb import DynamoDBSink
from tests.backfill.bulk_model import EXTRACT, OPERATIONS
from tests.soak.fake_dynamodb import FakeDynamoDB
from tests.strategies import Json, documents, text, user

MOMENTS = [f"2026-01-15T09:00:0{second}.000Z" for second in range(3)]
EXPORT = Export("job_1", "2026-01-15T09:30:00.000000Z", ("user_id", "updated_at", "email", "username", "user_metadata"))
users = st.builds(
    lambda number, moment, fields: user(f"auth0|{number}", moment, **fields),
    st.integers(0, 5),
    st.sampled_from(MOMENTS),
    st.dictionaries(st.sampled_from(["user_metadata", "app_metadata", "username", "custom", ""]), documents()),
)


def without_time(item: Json) -> Json:
    return {name: value for name, value in item.items() if name != "synced_at"}


@given(st.lists(users | documents(), max_size=8))
def test_an_item_is_what_the_sink_stores(profiles: list[Json]) -> None:
    lines = [json.dumps(profile).encode() for profile in profiles]
    table = FakeDynamoDB()
    sink = DynamoDBSink(table, "users", threads=1)
    load(sink, lines, EXPORT)
    sink.close()
    stored = table.items.get("users", {})
    found = items(lines, EXPORT)
    assert {key: without_time(item) for key, item in found.items()} == {
        key: without_time(item) for key, item in stored.items()
    }


@given(users)
def test_a_record_is_a_line_of_the_item_and_its_condition(profile: Json) -> None:
    [item] = items([json.dumps(profile).encode()], EXPORT).values()
    line = record(item)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert json.loads(line) == {"Item": item, "ConditionExpression": "attribute_not_exists(user_id)"}


def test_what_no_item_can_hold_is_left_out_as_the_sink_does_it() -> None:
    large = user("auth0|1", MOMENTS[0], user_metadata={"text": "é" * 250_000})
    [item] = items([text(large).encode()], EXPORT).values()
    assert item["omitted"] == {"L": [{"S": "profile"}, {"S": "app_metadata"}, {"S": "user_metadata"}]}


def test_the_operations_are_in_the_extract_of_the_model() -> None:
    model = json.loads(EXTRACT.read_text())["merge"]
    assert set(model["operations"]) == set(OPERATIONS)
    require(model["operations"])
