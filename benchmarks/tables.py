"""Tables of users beside each other, and the costs of changes to their users: time, space, pages and log."""

import statistics
import time
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import msgspec
import psutil
from psycopg import Connection
from psycopg.types.json import Jsonb

from benchmarks.records import COPIED, TEMPLATES, Records, Users
from benchmarks.timing import cpu_seconds
from pipeline.batch import collect
from pipeline.sinks import postgres

USERS = "auth0.user_rows"
SIZE = 1000
FEW = 100
_EXPLAINED = 5
"""Batches whose plan is read. They are not timed, as reading it costs time."""
_COLUMNS = """
    SELECT column_name FROM information_schema.columns
    WHERE table_schema = 'auth0' AND table_name = %s AND is_generated = 'NEVER'
        AND column_name NOT IN ('user_id', 'email', 'user_metadata', 'profile')
"""
_OPTIONS = "SELECT array_to_string(reloptions, ', ') FROM pg_class WHERE oid = %s::regclass"
_INDEXES = """
    SELECT indexname, indexdef FROM pg_indexes JOIN pg_class ON relname = indexname JOIN pg_index ON indexrelid = oid
    WHERE schemaname = 'auth0' AND tablename = %s AND NOT indisprimary
"""
_RELATIONS = """
    FROM pg_class WHERE oid = %s::regclass OR oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = %s::regclass)
"""
"""The table and its indexes."""


class Table:
    """A table like that of the users, with ``count`` users; ``changes`` are statements on ``{table}``."""

    def __init__(self, connection: Connection, name: str, count: int, changes: Sequence[str] = ()) -> None:
        self._connection, self._name, self.count = connection, f"auth0.{name}", count
        self._users = Users(count)
        self._statement: Any = postgres.UPSERT.replace(f"{USERS} AS", f"{self._name} AS")
        self._backend = psutil.Process(connection.info.backend_pid)
        self.seconds: list[float] = []
        self.cpu_seconds: list[float] = []
        self._explained: list[dict[str, Any]] = []
        self._run(f"CREATE TABLE {self._name} (LIKE {USERS} INCLUDING ALL)")
        [(options,)] = self._run(_OPTIONS, USERS)
        self._run(f"ALTER TABLE {self._name} SET ({options})")  # LIKE does not copy them
        for change in changes:
            self._run(change.format(table=self._name))
        start = time.perf_counter()
        self._fill()
        self._filled = time.perf_counter() - start
        self._bytes = self.size()
        self._before = self._updates()

    def _run(self, statement: str, *parameters: object) -> list[Any]:
        cursor = self._connection.execute(statement, parameters or None)
        return cursor.fetchall() if cursor.description else []

    def _fill(self) -> None:
        """Add the templates by the sync's own statement, then their copies; build the indexes in the end."""
        indexes = self._run(_INDEXES, self._name.removeprefix("auth0."))
        for name, _ in indexes:
            self._run(f"DROP INDEX auth0.{name}")
        for batch in _everyone(min(self.count, TEMPLATES)):
            self._connection.execute(self._statement, (batch,), prepare=True)
        if self.count > TEMPLATES:
            self._copy()
        for _, definition in indexes:
            self._run(definition)
        self._run(f"VACUUM ANALYZE {self._name}")
        self._run("CHECKPOINT")

    def _copy(self) -> None:
        ids = [copy["user_id"] for copy in map(Users(TEMPLATES).profile, range(TEMPLATES))]
        self._run(
            f"CREATE TEMP TABLE template AS SELECT place - 1 AS number, stored.* FROM {self._name} AS stored "
            "JOIN unnest(%s::text[]) WITH ORDINALITY AS ids (id, place) ON id = user_id",
            ids,
        )
        names = ", ".join(name for (name,) in self._run(_COLUMNS, self._name.removeprefix("auth0.")))
        copied = COPIED.format(templates=TEMPLATES, start=TEMPLATES, end=self.count, others=f"profile, {names}")
        self._run(
            f"INSERT INTO {self._name} (user_id, email, user_metadata, profile, {names}) "
            "SELECT user_id, email, user_metadata, profile "
            "|| CASE WHEN profile ? 'email' THEN jsonb_build_object('email', email) ELSE '{}' END "
            "|| CASE WHEN profile ? 'user_metadata' THEN jsonb_build_object('user_metadata', user_metadata) ELSE '{}' "
            f"END, {names} FROM ({copied}) AS copied"
        )
        self._run("DROP TABLE template")

    def change(self, *, timed: bool, size: int = SIZE) -> None:
        """Write a batch of changes of random users."""
        batch = payload(self._users.anywhere(size))
        cpu, start = cpu_seconds(self._backend), time.perf_counter()
        assert len(self._connection.execute(self._statement, (batch,), prepare=True).fetchall()) == size
        if timed:
            self.seconds.append(time.perf_counter() - start)
            self.cpu_seconds.append(cpu_seconds(self._backend) - cpu)

    def explain(self) -> None:
        """Write a batch, and keep its plan with the pages that it touched."""
        batch = payload(self._users.anywhere(SIZE))
        [(plans,)] = self._connection.execute(
            f"EXPLAIN (ANALYZE, BUFFERS, WAL, TIMING OFF, FORMAT JSON) {self._statement}", (batch,)
        ).fetchall()
        self._explained.append(plans[0]["Plan"])

    def read_whole(self) -> None:
        """Read the table and its indexes, so that Postgres's memory holds what it would after hours of changes."""
        self._run("CREATE EXTENSION IF NOT EXISTS pg_prewarm")
        self._run(f"SELECT pg_prewarm(oid) {_RELATIONS}", self._name, self._name)

    def change_few(self) -> None:
        """Write changes of ``FEW`` users after a vacuum, for the query for the last changes."""
        self._run(f"VACUUM ANALYZE {self._name}")
        self.change(timed=False, size=FEW)

    def query_ms(self, query: str) -> float:
        """Median milliseconds of a query on ``{table}``; ``{since}`` is the time of the last batch."""
        [(since,)] = self._run(f"SELECT max(synced_at)::text FROM {self._name}")
        times = []
        for _ in range(9):
            start = time.perf_counter()
            self._run(query.format(table=self._name, since=since))
            times.append((time.perf_counter() - start) * 1000)
        return round(statistics.median(times), 2)

    def size(self) -> int:
        """Return the bytes of the table with its indexes."""
        [(size,)] = self._run("SELECT pg_total_relation_size(%s::regclass)", self._name)
        return int(size)

    def _updates(self) -> tuple[int, int]:
        self._run("SELECT pg_stat_force_next_flush()")
        [found] = self._run(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relid = %s::regclass", self._name
        )
        return found[0], found[1]

    def figures(self) -> dict[str, Any]:
        """Return rate and costs of a changed row, and bytes of a user with all indexes."""
        updated, hot = (after - before for after, before in zip(self._updates(), self._before, strict=True))
        counted = SIZE * len(self._explained)
        return {
            "rows_per_second": round(SIZE / statistics.median(self.seconds)),
            "server_cpu_us": round(statistics.mean(self.cpu_seconds) / SIZE * 1e6, 1),
            "hot": round(hot / updated, 3),
            "bytes_a_user": round(self._bytes / self.count),
            "bytes_a_user_after": round(self.size() / self.count),
            "wal_bytes": round(sum(plan["WAL Bytes"] for plan in self._explained) / counted),
            "pages_dirtied": round(sum(plan["Shared Dirtied Blocks"] for plan in self._explained) / counted, 2),
            "pages_read": round(sum(plan["Shared Read Blocks"] for plan in self._explained) / counted, 2),
            "changed": updated,
            "filled_in_seconds": round(self._filled),
        }

    def parts(self) -> dict[str, int]:
        """Return bytes a user of the table and of each index."""
        found = self._run(
            f"SELECT relname, pg_relation_size(oid) {_RELATIONS} ORDER BY relname", self._name, self._name
        )
        return {name: round(size / self.count) for name, size in found}

    def drop(self) -> None:
        """Drop the table."""
        self._run(f"DROP TABLE {self._name}")


def take_turns(tables: Mapping[str, Table], rounds: int, limit: float) -> dict[str, Any]:
    """Write ``rounds`` batches into each table in turn, fewer if it takes more than ``limit`` seconds."""
    end = time.monotonic() + limit
    for turn in range(rounds + 3):
        for table in tables.values():
            table.change(timed=turn >= 3)  # the first ones warm up
        if time.monotonic() > end and turn > 3:
            break
    for _ in range(_EXPLAINED):
        for table in tables.values():
            table.explain()
    return {name: table.figures() for name, table in tables.items()}


@cache
def _everyone(count: int) -> Sequence[Jsonb]:
    return [payload(records) for records in Users(count).everyone()]


def payload(records: Records) -> Jsonb:
    """The statement's parameter, encoded beforehand."""
    encoded = msgspec.json.encode(collect(records).changes)
    return Jsonb(None, dumps=lambda _: encoded)
