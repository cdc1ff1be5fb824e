"""Whether the upsert keeps its speed as the table grows: updates of random users among more and more."""

import random
import statistics
import time
from typing import Any

import msgspec
import psycopg
from psycopg.types.json import Jsonb

from benchmarks.postgres import payload
from benchmarks.records import Users
from pipeline.batch import collect
from pipeline.functions.migrate import migrate
from pipeline.settings import Database
from pipeline.sinks import postgres

SIZES = (10_000, 1_000_000)
FULL = (*SIZES, 10_000_000)
SIZE = 1000
TEMPLATES = 1000
_SECONDARY = "FROM pg_indexes WHERE schemaname = 'auth0' AND tablename = 'users' AND indexname LIKE 'ix_%'"


def run(url: str, rounds: int, sizes: tuple[int, ...] = SIZES) -> dict[str, Any]:
    """Rows per second of the upsert by rows in the table, in batches of 1,000; and the seconds that filling it took."""
    database = Database(url=url)
    migrate(database)
    figures: dict[str, Any] = {}
    rows = 0
    with postgres.connect(database, options="-c timezone=UTC") as connection:
        users = Users(TEMPLATES)
        connection.execute(postgres.UPSERT, (payload(users.batch(TEMPLATES)),))
        connection.execute("CREATE TABLE template AS SELECT *, row_number() OVER () - 1 AS number FROM auth0.users")
        connection.execute("TRUNCATE auth0.users")
        for size in sizes:
            start = time.perf_counter()
            _fill(connection, rows, size)
            rows, filled = size, time.perf_counter() - start
            [(table,)] = connection.execute("SELECT pg_total_relation_size('auth0.users')").fetchall()
            rate = round(SIZE / _seconds(connection, users, rows, rounds))
            figures[str(size)] = {
                "rows_per_second": rate,
                "gigabytes": round(table / 2**30, 2),
                "filled_in_seconds": round(filled),
            }
    return figures


def _fill(connection: psycopg.Connection, start: int, end: int) -> None:
    """Users ``start`` to ``end``, copies of the templates under ids of their own; the indexes are built afterwards."""
    columns = [name for (name,) in connection.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'auth0' AND table_name = 'users' "
        "AND is_generated = 'NEVER' AND column_name <> 'user_id'"
    ).fetchall()]  # fmt: skip
    indexes = connection.execute(f"SELECT indexname, indexdef {_SECONDARY}").fetchall()
    for name, _ in indexes:
        connection.execute(f"DROP INDEX auth0.{name}")
    names = ", ".join(columns)
    connection.execute(
        f"INSERT INTO auth0.users (user_id, {names}) SELECT 'auth0|' || n, {names} "
        f"FROM generate_series({start}, {end - 1}) AS n JOIN template ON number = n % {TEMPLATES}"
    )
    for _, definition in indexes:
        connection.execute(definition)
    connection.execute("VACUUM ANALYZE auth0.users")
    connection.execute("CHECKPOINT")


def _seconds(connection: psycopg.Connection, users: Users, rows: int, rounds: int) -> float:
    """Median time of an update of 1,000 users anywhere in the table."""
    rng, taken = random.Random(rows), []
    for turn in range(rounds + 3):
        changes = collect(users.batch(SIZE)).changes
        ids = sorted(f"auth0|{number}" for number in rng.sample(range(rows), SIZE))
        fields = ("version", "source", "event_id", "updated_at", "profile")
        batch = [
            {"user_id": user_id} | {name: getattr(change, name) for name in fields}
            for user_id, change in zip(ids, changes, strict=True)
        ]
        parameter = Jsonb(batch, dumps=msgspec.json.encode)
        start = time.perf_counter()
        assert len(connection.execute(postgres.UPSERT, (parameter,), prepare=True).fetchall()) == SIZE
        if turn >= 3:  # the first ones warm up
            taken.append(time.perf_counter() - start)
    return statistics.median(taken)
