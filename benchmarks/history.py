"""Measure the cost of HISTORY=on: time of the sync function, and bytes per change in the table."""

from contextlib import closing
from functools import partial
from typing import Any

from benchmarks.records import Records, Users
from benchmarks.timing import seconds
from devstack.traffic import DEFAULT_SOURCE
from pipeline.functions.migrate import migrate
from pipeline.functions.sync import Sync
from pipeline.senders import Senders
from pipeline.settings import Database
from pipeline.sinks import postgres


def run(url: str, sizes: tuple[int, ...], rounds: int) -> dict[str, Any]:
    """Return the events per second with history off and on, by batch size; and the bytes per recorded change."""
    database = Database(url=url)
    migrate(database)
    senders = Senders(frozenset({DEFAULT_SOURCE}))
    users = Users(20_000)
    batches: dict[str, Any] = {}
    with closing(postgres.PostgresSink(lambda: postgres.connect(database))) as sink:
        functions = {
            setting: Sync(sink, "postgres", history=setting == "on", senders=senders) for setting in ("off", "on")
        }
        for records in users.everyone():
            _store(functions["off"], records)
        for size in sizes:
            contestants = {
                setting: (partial(users.batch, size), partial(_store, function))
                for setting, function in functions.items()
            }
            taken = seconds(contestants, rounds)
            rates = {setting: round(size / time) for setting, time in taken.items()}
            batches[str(size)] = {"events_per_second": rates, "cost": round(taken["on"] / taken["off"], 2)}
    with postgres.connect(database) as connection:
        count = "SELECT count(*), pg_total_relation_size('auth0.user_history') FROM auth0.user_history"
        rows, size = connection.execute(count).fetchall()[0]
    return {"users": len(users), "batches": batches, "changes_recorded": rows, "bytes_per_change": round(size / rows)}


def _store(function: Sync, records: Records) -> None:
    assert function(records) == {"batchItemFailures": []}
