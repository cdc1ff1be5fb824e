"""Measure the cost of rows that Postgres refuses, with the handler: batches of 1,000 with none, one and 1% of them."""

import os
from functools import partial
from typing import Any

from benchmarks.records import Users
from benchmarks.timing import seconds
from devstack.traffic import DEFAULT_SOURCE
from pipeline.functions import sync
from pipeline.functions.migrate import migrate
from pipeline.settings import Database

SIZE = 1000
BAD = (0, 1, 10)
_NUMBER = '"logins_count":1e200000'
"""More digits than Postgres holds; in place of another field."""


def run(url: str, rounds: int) -> dict[str, Any]:
    """Return the events per second by refused rows in a batch, and the time of each beside a clean batch."""
    os.environ |= {"SINK": "postgres", "DATABASE_URL": url, "EVENT_SOURCES": DEFAULT_SOURCE}
    migrate(Database(url=url))
    sync.sync.cache_clear()  # of another database
    users = Users(20_000)
    for records in users.everyone():
        _handle((records, 0))
    taken = seconds({str(bad): (partial(_spoilt, users, bad), _handle) for bad in BAD}, rounds)
    return {
        "batch": SIZE,
        "events_per_second": {bad: round(SIZE / time) for bad, time in taken.items()},
        "cost": {bad: round(time / taken["0"], 2) for bad, time in taken.items() if bad != "0"},
    }


def _spoilt(users: Users, bad: int) -> tuple[list[dict[str, Any]], int]:
    """Return a batch with ``bad`` refused rows far apart, the worst case for a bisection, and ``bad``."""
    records = users.batch(SIZE)
    for number in range(bad):
        record = records[number * SIZE // bad]
        before, mark, after = record["body"].rpartition('"created_at"')
        assert mark
        records[number * SIZE // bad] = record | {"body": f"{before}{_NUMBER},{mark}{after}"}
    return records, bad


def _handle(batch: tuple[list[dict[str, Any]], int]) -> None:
    records, bad = batch
    assert len(sync.handler({"Records": records}, None)["batchItemFailures"]) == bad
