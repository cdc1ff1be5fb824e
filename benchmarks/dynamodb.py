"""The real handler into DynamoDB on the emulator, beside a bare loop of conditional puts.

The emulator answers one request at a time, so the puts in parallel gain less here than they do on AWS.
"""

import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import boto3

from benchmarks.records import Users
from benchmarks.timing import seconds
from devstack.emulator import process
from pipeline.batch import collect
from pipeline.functions import sync
from pipeline.sinks.dynamodb import Attribute, item

TABLE = "users"
_ENVIRONMENT = {
    "SINK": "dynamodb",
    "USERS_TABLE": TABLE,
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}


def run(sizes: tuple[int, ...], rounds: int) -> dict[str, Any]:
    """Events per second by batch size, and the handler's ratio to the loop, which has its items ready."""
    with tempfile.TemporaryDirectory(prefix="auth0-sync-bench-") as directory:
        emulator = process.start(Path(directory))
        before = dict(os.environ)
        os.environ |= _ENVIRONMENT | {"AWS_ENDPOINT_URL": emulator.endpoint}
        sync.sync.cache_clear()
        try:
            return _run(sizes, rounds)
        finally:
            sync.sync.cache_clear()
            os.environ.clear()
            os.environ.update(before)
            process.stop(emulator.pid)


def _run(sizes: tuple[int, ...], rounds: int) -> dict[str, Any]:
    client = boto3.client("dynamodb")
    client.create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "user_id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "user_id", "KeyType": "HASH"}],
    )
    users = Users(2000)
    for records in users.everyone(500):
        _handle({"Records": records})
    batches: dict[str, Any] = {}
    for size in sizes:
        taken = seconds(
            {
                "handler": (partial(_event, users, size), _handle),
                "loop": (partial(_items, users, size), partial(_loop, client)),
            },
            rounds,
        )
        rates = {name: round(size / time) for name, time in taken.items()}
        batches[str(size)] = {"events_per_second": rates, "handler_vs_loop": round(taken["loop"] / taken["handler"], 2)}
    client.close()
    return {"batches": batches}


def _event(users: Users, size: int) -> dict[str, Any]:
    return {"Records": users.batch(size)}


def _items(users: Users, size: int) -> list[dict[str, Attribute]]:
    return [item(change) for change in collect(users.batch(size)).changes]


def _handle(event: dict[str, Any]) -> None:
    assert sync.handler(event, None) == {"batchItemFailures": []}


def _loop(client: Any, items: list[dict[str, Attribute]]) -> None:
    for one in items:
        client.put_item(
            TableName=TABLE,
            Item=one,
            ConditionExpression="attribute_not_exists(user_id) OR version < :version",
            ExpressionAttributeValues={":version": one["version"]},
        )
