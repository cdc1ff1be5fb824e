"""What the GIN index on user_metadata costs each write, and gains a query by key and value."""

import statistics
import time
from typing import Any

import psycopg

from benchmarks.postgres import payload
from benchmarks.records import Users
from benchmarks.timing import seconds
from pipeline.functions.migrate import migrate
from pipeline.settings import Database
from pipeline.sinks import postgres

SIZE = 1000
_TWIN = "CREATE TABLE auth0.users_gin (LIKE auth0.users INCLUDING ALL)"
_WITHOUT = "DROP INDEX auth0.ix_users_user_metadata"
_QUERY = """SELECT count(*) FROM {} WHERE user_metadata @> '{{"plan": "no such plan"}}'"""


def run(url: str, rounds: int) -> dict[str, Any]:
    """The upsert statement into twin tables, one without the index, in batches of 1000."""
    database = Database(url=url)
    migrate(database)
    connection = postgres.connect(database)
    connection.execute(_TWIN)
    connection.execute(_WITHOUT)
    tables = {name: _Table(connection, name) for name in ("auth0.users", "auth0.users_gin")}
    for table in tables.values():
        table.fill()
    taken = seconds({name: (table.prepare, table.write) for name, table in tables.items()}, rounds)
    plain, indexed = taken["auth0.users"], taken["auth0.users_gin"]
    return {
        "rows_per_second": round(SIZE / plain),
        "rows_per_second_with_index": round(SIZE / indexed),
        "write_cost": round(indexed / plain, 2),
        "query_ms": round(tables["auth0.users"].query_ms(), 2),
        "query_ms_with_index": round(tables["auth0.users_gin"].query_ms(), 2),
        "rows": 20_000,
    }


class _Table:
    def __init__(self, connection: psycopg.Connection, name: str) -> None:
        self._connection = connection
        self._name = name
        self._statement: Any = postgres.UPSERT.replace("auth0.users AS", f"{name} AS")
        self._users = Users(20_000)

    def fill(self) -> None:
        for records in self._users.everyone():
            self.write(payload(records))
        self._connection.execute(f"VACUUM ANALYZE {self._name}")

    def prepare(self) -> Any:
        return payload(self._users.batch(SIZE))

    def write(self, batch: Any) -> None:
        assert len(self._connection.execute(self._statement, (batch,), prepare=True).fetchall()) == SIZE

    def query_ms(self) -> float:
        times = []
        for _ in range(9):
            start = time.perf_counter()
            self._connection.execute(_QUERY.format(self._name)).fetchall()
            times.append((time.perf_counter() - start) * 1000)
        return statistics.median(times)
