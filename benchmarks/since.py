"""Measure the index for queries of recent changes: its cost for each write, and its gain for such a query."""

import statistics
import time
from functools import partial
from typing import Any

import psycopg

from benchmarks.postgres import payload
from benchmarks.records import Users
from benchmarks.timing import seconds
from pipeline.functions.migrate import migrate
from pipeline.settings import Database
from pipeline.sinks import postgres

USERS = 20_000
CHANGED = 100
_INDEXES = {
    "without": "DROP INDEX {table}_synced_at_updated_at_idx",
    "brin": "",
    "btree": "CREATE INDEX ON {table} (synced_at)",
}


def run(url: str, rounds: int) -> dict[str, Any]:
    """Time the upsert into twin tables, in batches of 1,000 and 100; then the query for the last 100 changes."""
    database = Database(url=url)
    migrate(database)
    with postgres.connect(database, options="-c timezone=UTC") as connection:
        tables = {name: _Table(connection, f"auth0.users_{name}", index) for name, index in _INDEXES.items()}
        figures: dict[str, Any] = {"rows": USERS}
        for size in (1000, 100):
            contest = {name: (partial(table.batch, size), table.write) for name, table in tables.items()}
            taken = seconds(contest, rounds if size == 1000 else rounds * 5)
            figures[f"write_cost_{size}"] = {n: round(taken[n] / taken["without"], 2) for n in ("brin", "btree")}
        figures["query_ms"] = {name: round(table.query_ms(), 2) for name, table in tables.items()}
        return figures


class _Table:
    def __init__(self, connection: psycopg.Connection, name: str, index: str) -> None:
        self._connection, self._name, self._users = connection, name, Users(USERS)
        self._statement: Any = postgres.UPSERT.replace("auth0.users AS", f"{name} AS")
        self._run(f"CREATE TABLE {name} (LIKE auth0.users INCLUDING ALL)")
        # LIKE does not copy these.
        self._run(f"ALTER TABLE {name} SET (toast_tuple_target = 8160, fillfactor = 50)")
        if index:
            self._run(index.format(table=name))
        for records in self._users.everyone():
            self.write(payload(records))
        self._run(f"VACUUM ANALYZE {name}")

    def _run(self, statement: str) -> list[Any]:
        cursor = self._connection.execute(statement)
        return cursor.fetchall() if cursor.description else []

    def batch(self, size: int) -> Any:
        return payload(self._users.batch(size))

    def write(self, batch: Any) -> None:
        assert self._connection.execute(self._statement, (batch,), prepare=True).fetchall()

    def query_ms(self) -> float:
        self._run(f"VACUUM ANALYZE {self._name}")
        [(since,)] = self._run("SELECT now()")
        self.write(self.batch(CHANGED))
        times = []
        for _ in range(9):
            start = time.perf_counter()
            rows = self._connection.execute(
                f"SELECT user_id FROM {self._name} WHERE synced_at > %s", (since,)
            ).fetchall()
            times.append((time.perf_counter() - start) * 1000)
            assert len(rows) == CHANGED
        return statistics.median(times)
