"""The real handler into Postgres, beside the ways one would first think of."""

import os
import statistics
from typing import Any

import msgspec
import psycopg
from psycopg.types.json import Jsonb
from sqlalchemy import Engine
from sqlalchemy.dialects.postgresql import insert

from benchmarks.records import Records, Users
from benchmarks.tables import payload
from benchmarks.timing import seconds
from devstack.traffic import DEFAULT_SOURCE
from pipeline.batch import collect
from pipeline.functions import sync
from pipeline.functions.migrate import engine, migrate
from pipeline.schema import exact_columns, user_rows
from pipeline.settings import Database
from pipeline.sinks import postgres

_TYPED = [
    "email",
    "email_verified",
    "username",
    "phone_number",
    "name",
    "nickname",
    "given_name",
    "family_name",
    "picture",
    "blocked",
    "last_ip",
    "last_login",
    "logins_count",
    "created_at",
]
_COLUMNS = ["user_id", *_TYPED, "connection", "updated_at", "user_metadata", "app_metadata", "profile"]
_COLUMNS += ["version", "source", "event_id"]
_SET = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[1:])
_ONE_ROW = (
    f"INSERT INTO auth0.user_rows AS stored ({', '.join(_COLUMNS)}) "
    f"VALUES ({', '.join(f'%({name})s' for name in _COLUMNS)}) "
    f"ON CONFLICT (user_id) DO UPDATE SET {_SET}, synced_at = now() WHERE stored.version < excluded.version"
)


def _rows(records: Records) -> list[dict[str, Any]]:
    """The same changes as rows of Python values."""
    rows = []
    for change in collect(records).changes:
        user = msgspec.json.decode(change.profile)  # type: ignore[union-attr]  # all are snapshots
        row = {name: user.get(name) for name in _TYPED}
        row |= {"user_metadata": user.get("user_metadata", {}), "app_metadata": user.get("app_metadata", {})}
        kept = {name: value for name, value in user.items() if name not in exact_columns or value in (None, {})}
        row |= {"profile": kept, "connection": user["identities"][0]["connection"]}
        row |= {name: getattr(change, name) for name in ("user_id", "version", "source", "event_id", "updated_at")}
        rows.append(row)
    return rows


def _jsonb(row: dict[str, Any]) -> dict[str, Any]:
    return row | {name: Jsonb(row[name]) for name in ("user_metadata", "app_metadata", "profile")}


def run(url: str, sizes: tuple[int, ...], rounds: int) -> dict[str, Any]:
    """Events per second by batch size and contestant, and the ratios that matter."""
    os.environ |= {"SINK": "postgres", "DATABASE_URL": url, "EVENT_SOURCES": DEFAULT_SOURCE}
    database = Database(url=url)
    migrate(database)
    connection = postgres.connect(database)
    connection.execute("TRUNCATE auth0.user_rows")
    users = Users(20_000)
    for records in users.everyone():
        sync.handler({"Records": records}, None)
    bind = engine(database)
    bodies = [len(record["body"].encode()) for record in users.batch(1000)]
    batches: dict[str, Any] = {}
    for size in sizes:
        taken = _contest(users, connection, bind, size, rounds)
        rates = {name: size / time for name, time in taken.items()}
        handler = rates["handler"]
        batches[str(size)] = {
            "events_per_second": {name: round(rate) for name, rate in rates.items()},
            "handler_vs": {name: round(handler / rate, 2) for name, rate in rates.items() if name != "handler"},
        }
    return {"users": len(users), "event_bytes": round(statistics.mean(bodies)), "batches": batches}


def _contest(users: Users, connection: psycopg.Connection, bind: Engine, size: int, rounds: int) -> dict[str, float]:
    def statement(payload: Jsonb) -> None:
        rows = connection.execute(postgres.UPSERT, (payload,), prepare=True).fetchall()
        assert len(rows) == size

    # The two start from the same records as the handler, and read them as it does: only the writing differs.
    def row_by_row(records: Records) -> None:
        with connection.transaction():
            for row in _rows(records):
                connection.execute(_ONE_ROW, _jsonb(row))

    def sqlalchemy(records: Records) -> None:
        upsert = insert(user_rows)
        changes = {name: upsert.excluded[name] for name in _COLUMNS[1:]}
        newer = user_rows.c.version < upsert.excluded.version
        with bind.begin() as session:
            session.execute(
                upsert.on_conflict_do_update(index_elements=["user_id"], set_=changes, where=newer), _rows(records)
            )

    def handler(event: dict[str, Any]) -> None:
        assert sync.handler(event, None) == {"batchItemFailures": []}

    return seconds(
        {
            "handler": (lambda: {"Records": users.batch(size)}, handler),
            "statement": (lambda: payload(users.batch(size)), statement),
            "row_by_row": (lambda: users.batch(size), row_by_row),
            "sqlalchemy": (lambda: users.batch(size), sqlalchemy),
        },
        rounds,
    )
