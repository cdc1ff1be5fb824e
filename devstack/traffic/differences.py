"""Differences between a store and the state that it must have reached, without the code of the pipeline."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from devstack.traffic.expected_state import ExpectedState

Json = dict[str, Any]


def of_postgres(expected: ExpectedState, rows: Mapping[str, Json]) -> Iterator[str]:
    """Yield each user that the table does not have as expected, given its rows by user id."""
    for user_id, user in expected.live.items():
        row = rows.get(user_id)
        if row is None or row["deleted_at"] is not None:
            yield f"Postgres: {user_id} is {'missing' if row is None else 'deleted'}, but lives"
        elif row["profile"] != user:
            yield f"Postgres: the profile of {user_id} is not its last one"
        elif any(row[name] != user.get(name, {}) for name in ("user_metadata", "app_metadata")):
            yield f"Postgres: the metadata of {user_id} is not its last one"
        elif row["email"] != user.get("email") or row["updated_at"] != datetime.fromisoformat(user["updated_at"]):
            yield f"Postgres: the columns of {user_id} do not match its profile"
    for user_id, moment in expected.deleted.items():
        row = rows.get(user_id)
        if row is None or row["deleted_at"] != moment:
            yield f"Postgres: {user_id} was deleted at {moment}, but there is no such tombstone"
        elif row["profile"] or row["user_metadata"] or row["app_metadata"] or row["email"]:
            yield f"Postgres: {user_id} was deleted, but its profile is still there"


def of_dynamodb(expected: ExpectedState, items: Mapping[str, Json]) -> Iterator[str]:
    """Yield each user that the table does not have as expected, given its items by user id."""
    for user_id, user in expected.live.items():
        item = items.get(user_id)
        if item is None or "deleted_at" in item:
            yield f"DynamoDB: {user_id} is {'missing' if item is None else 'deleted'}, but lives"
            continue
        metadata = {
            name: item.get(name)  # {} of a user who has none
            for name in ("user_metadata", "app_metadata")
            if name in user or item.get(name) != {}
        }
        if item["profile"] | metadata != user:
            yield f"DynamoDB: the item of {user_id} is not its last profile"
    for user_id, moment in expected.deleted.items():
        item = items.get(user_id)
        if item is None or "deleted_at" not in item or datetime.fromisoformat(item["deleted_at"]) != moment:
            yield f"DynamoDB: {user_id} was deleted at {moment}, but there is no such tombstone"
        elif item.keys() & {"profile", "user_metadata", "app_metadata"}:
            yield f"DynamoDB: {user_id} was deleted, but its profile is still there"
