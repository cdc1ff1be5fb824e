"""Compare both stores, the dead-letter queues and the archive with what was put.

This module reads the stores itself and shares no code with the product, so that the two can disagree.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

import psycopg
from boto3.dynamodb.types import TypeDeserializer
from psycopg.rows import dict_row

from devstack.traffic import ExpectedState, differences

Json = dict[str, Any]

_ROWS = """
SELECT user_id, version, event_id, synced_at, updated_at, deleted_at, email, profile, user_metadata, app_metadata
FROM auth0.users
"""


def read_rows(url: str) -> dict[str, Json]:
    """Return every row of Postgres, by user id."""
    with psycopg.connect(url, row_factory=dict_row) as connection:
        return {row["user_id"]: row for row in connection.execute(_ROWS)}


def read_items(client: Any, table: str) -> dict[str, Json]:
    """Return every item of the DynamoDB table, by user id."""
    read = TypeDeserializer().deserialize
    pages = client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    items = [
        {name: _number(read(value)) for name, value in item.items()} for page in pages for item in page.get("Items", [])
    ]
    return {item["user_id"]: item for item in items}


def _number(value: Any) -> Any:
    match value:
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case dict():
            return {key: _number(item) for key, item in value.items()}
        case list():
            return [_number(item) for item in value]
    return value


def postgres(expected: ExpectedState, rows: Mapping[str, Json], before: Mapping[str, Json]) -> Iterator[str]:
    """Yield each difference of Postgres, which had the rows ``before`` when the scenario began."""
    yield from _others("Postgres", expected, rows, before)
    yield from differences.of_postgres(expected, rows)


def dynamodb(expected: ExpectedState, items: Mapping[str, Json], before: Mapping[str, Json]) -> Iterator[str]:
    """Yield each difference of DynamoDB, which had the items ``before`` when the scenario began."""
    yield from _others("DynamoDB", expected, items, before)
    yield from differences.of_dynamodb(expected, items)


def versions(rows: Mapping[str, Json], items: Mapping[str, Json], users: Iterable[str]) -> Iterator[str]:
    """Yield each user of whom the two stores have different versions."""
    for user_id in users:
        if user_id in rows and user_id in items and rows[user_id]["version"] != items[user_id]["version"]:
            yield f"both stores: {user_id} has different versions"


def archive(details: Mapping[str, Json], archived: Iterable[Json]) -> Iterator[str]:
    """Yield each event that is not in the archive exactly once, as it was put."""
    copies: Counter[str] = Counter()
    for event in archived:
        copies[event["id"]] += 1
        if event["detail"] != details[event["id"]]:
            yield f"archive: event {event['id']} differs from the event that was put"
    for event_id in details:
        if copies[event_id] != 1:
            yield f"archive: event {event_id} is there {copies[event_id]} times"


def dead_letters(queue: str, unreadable: Iterable[str], found: Iterable[str]) -> Iterator[str]:
    """Yield each log that is in a dead-letter queue and should not be, is missing there, or is there twice."""
    copies = Counter(found)
    for log_id in unreadable:
        if copies[log_id] != 1:
            yield f"{queue}: the unreadable log {log_id} is there {copies[log_id]} times"
    for log_id in copies.keys() - set(unreadable):
        yield f"{queue}: the readable log {log_id} is there"


def _others(
    store: str, expected: ExpectedState, stored: Mapping[str, Json], before: Mapping[str, Json]
) -> Iterator[str]:
    """Yield each user that no event of the scenario names and that is not as it was."""
    for user_id in (stored.keys() | before.keys()) - expected.live.keys() - expected.deleted.keys():
        if user_id not in before:
            yield f"{store}: {user_id} is there, but no event created it"
        elif stored.get(user_id) != before[user_id]:
            yield f"{store}: {user_id} has changed, but no event named it"
