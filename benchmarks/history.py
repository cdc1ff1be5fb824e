"""Measure the cost of HISTORY=on: time of the handler, and bytes per change in the table."""

import os
from typing import Any

from benchmarks.records import Users
from benchmarks.timing import Contestant, seconds
from devstack.traffic import DEFAULT_SOURCE
from pipeline.functions import sync
from pipeline.functions.migrate import migrate
from pipeline.settings import Database
from pipeline.sinks import postgres


def run(url: str, sizes: tuple[int, ...], rounds: int) -> dict[str, Any]:
    """Return the events per second with history off and on, by batch size; and the bytes per recorded change."""
    os.environ |= {"SINK": "postgres", "DATABASE_URL": url, "EVENT_SOURCES": DEFAULT_SOURCE}
    database = Database(url=url)
    migrate(database)
    sync.sync.cache_clear()  # of another database
    users = Users(20_000)
    for records in users.everyone():
        _handle({"Records": records})
    batches: dict[str, Any] = {}
    for size in sizes:
        taken = seconds({setting: _contestant(users, size, setting) for setting in ("off", "on")}, rounds)
        rates = {setting: round(size / time) for setting, time in taken.items()}
        batches[str(size)] = {"events_per_second": rates, "cost": round(taken["on"] / taken["off"], 2)}
    os.environ.pop("HISTORY")
    with postgres.connect(database) as connection:
        count = "SELECT count(*), pg_total_relation_size('auth0.user_history') FROM auth0.user_history"
        rows, size = connection.execute(count).fetchall()[0]
    return {"users": len(users), "batches": batches, "changes_recorded": rows, "bytes_per_change": round(size / rows)}


def _contestant(users: Users, size: int, setting: str) -> Contestant:
    def prepare() -> dict[str, Any]:
        os.environ["HISTORY"] = setting
        return {"Records": users.batch(size)}

    return prepare, _handle


def _handle(event: dict[str, Any]) -> None:
    assert sync.handler(event, None) == {"batchItemFailures": []}
