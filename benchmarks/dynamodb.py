"""Compare the handler on the emulator and the sink on a stubbed transport with loops of boto3's puts.

The emulator answers one request at a time, so the puts in parallel gain less here than they do on AWS. The stubbed
transport answers at once, or after `LATENCY` seconds.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import boto3
from botocore.awsrequest import AWSResponse

from benchmarks.records import Users
from benchmarks.timing import seconds
from devstack.emulator import process
from devstack.traffic import DEFAULT_SOURCE
from pipeline.batch import collect
from pipeline.functions import sync
from pipeline.sinks.dynamodb import THREADS, Attribute, DynamoDBSink, item
from pipeline.sinks.dynamodb_requests import PreparedRequests

TABLE = "users"
LATENCY = 0.005
STUBBED_BATCH = 500
_ENVIRONMENT = {
    "SINK": "dynamodb",
    "USERS_TABLE": TABLE,
    "EVENT_SOURCES": DEFAULT_SOURCE,
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}


def run(sizes: tuple[int, ...], rounds: int) -> dict[str, Any]:
    """Return the events per second by batch size, and the handler's ratio to the loop, which has its items ready."""
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
    return {"batches": batches, "stubbed": _stubbed(users, rounds)}


def _stubbed(users: Users, rounds: int) -> dict[str, float]:
    """Return microseconds per change, of the sink and of boto3: CPU without latency, wall clock with ``LATENCY``."""
    transports = {"cpu": (0.0, time.process_time), "wall": (LATENCY, time.perf_counter)}
    sinks = {
        (name, kind): DynamoDBSink(make(latency), TABLE)
        for kind, (latency, _) in transports.items()
        for name, make in (("sink", _prepared), ("boto3", _boto3))
    }
    taken: dict[str, list[float]] = {}
    for turn in range(rounds + 1):
        for (name, kind), sink in sinks.items():
            changes = collect(users.batch(STUBBED_BATCH)).changes
            elapsed = _elapsed(transports[kind][1], partial(sink.apply, changes))
            if turn:
                taken.setdefault(f"{name}_{kind}_us", []).append(elapsed / len(changes) * 1e6)
    for sink in sinks.values():
        sink.close()
    return {name: round(statistics.median(times)) for name, times in taken.items()}


def _elapsed(clock: Callable[[], float], run: Callable[[], object]) -> float:
    start = clock()
    run()
    return clock() - start


def _prepared(latency: float) -> Any:
    requests: Any = PreparedRequests.connect(THREADS)
    transport = _Transport(latency)
    requests.send = transport.post
    return requests


def _boto3(latency: float) -> Any:
    client: Any = boto3.client("dynamodb")
    transport = _Transport(latency)
    client.meta.events.register("before-send.dynamodb", lambda request, **_: transport.send(request))
    return client


class _Transport:
    """Answers each request with success."""

    def __init__(self, latency: float) -> None:
        self._latency = latency

    def post(self, *_: object) -> tuple[int, bytes]:
        if self._latency:
            time.sleep(self._latency)
        return 200, b"{}"

    def send(self, request: Any) -> AWSResponse:
        self.post()
        headers: Any = {"x-amzn-RequestId": "0"}
        return AWSResponse(request.url, 200, headers, self)

    def stream(self) -> list[bytes]:
        return [b"{}"]


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
