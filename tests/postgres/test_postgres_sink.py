import json
import math
import random
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from hypothesis import given
from psycopg.rows import dict_row

from pipeline import errors, schema
from pipeline.batch import Batch, collect
from pipeline.changes import Outcome
from pipeline.settings import Database
from pipeline.sinks.postgres import REFUSED_SECONDS, PostgresSink, connect
from tests.strategies import (
    Json,
    Log,
    against_a_server,
    changes,
    created,
    deleted,
    delivered,
    newest,
    records,
    text,
    updated,
    user,
)

MOMENTS = [f"2026-01-15T09:00:0{second}.000Z" for second in range(10)]


def rows(database: psycopg.Connection, statement: str = "SELECT * FROM auth0.users ORDER BY user_id") -> list[Json]:
    return database.cursor(row_factory=dict_row).execute(statement).fetchall()


def one(database: psycopg.Connection) -> Json:
    [row] = rows(database)
    return row


def raw(placeholder: str, **fields: Any) -> str:
    """Return an update in which the text ``"@@"`` is replaced."""
    return text(updated(user(**fields))).replace('"@@"', placeholder)


# What is written


def test_a_user_as_a_row(sink: PostgresSink, database: psycopg.Connection) -> None:
    profile = user(
        "auth0|ada",
        MOMENTS[1],
        username="ada",
        phone_number="+4930123",
        given_name="Ada",
        family_name="Lovelace",
        picture="https://acme.example/a.png",
        blocked=False,
        last_ip="203.0.113.7",
        last_login="2026-01-14T10:11:12.345Z",
        logins_count=42,
        user_metadata={"plan": "gold", "n": 1.50, "none": None},
        app_metadata={"roles": ["admin"]},
    )
    [change] = changes(updated(profile, log_id="log-1"))
    outcome = sink.apply([change])
    assert not (outcome.duplicate)
    assert not (outcome.stale)
    assert not (outcome.failed)
    row = one(database)
    assert abs((datetime.now(UTC) - row.pop("synced_at")).total_seconds()) < 60
    assert row.pop("profile") == profile
    plain = [
        *("email", "email_verified", "username", "phone_number", "name", "nickname", "given_name", "family_name"),
        *("picture", "blocked", "last_ip", "logins_count", "user_metadata", "app_metadata", "user_id"),
    ]
    assert {name: row.pop(name) for name in plain} == {name: profile[name] for name in plain}
    assert row == {
        "connection": "Customers",
        "last_login": datetime(2026, 1, 14, 10, 11, 12, 345_000, tzinfo=UTC),
        "created_at": datetime(2023, 7, 1, 8, tzinfo=UTC),
        "updated_at": datetime(2026, 1, 15, 9, 0, 1, tzinfo=UTC),
        "deleted_at": None,
        "version": change.version,
        "source": "auth0.logs",
        "event_id": "log-1",
        "carried": None,
    }


def test_absent_key_is_empty(sink: PostgresSink, database: psycopg.Connection) -> None:
    sink.apply(changes(updated(user(updated_at=MOMENTS[0], username="x", user_metadata={"a": 1}, logins_count=3))))
    bare = {"user_id": "auth0|ada", "updated_at": MOMENTS[1]}
    sink.apply(changes(updated(bare)))
    row = one(database)
    kept = {
        "user_id",
        "updated_at",
        "user_metadata",
        "app_metadata",
        "profile",
        "version",
        "source",
        "event_id",
        "synced_at",
    }
    assert {name for name, value in row.items() if value is not None} == kept
    assert (row["user_metadata"], row["app_metadata"], row["profile"]) == ({}, {}, bare)


def test_nothing_to_apply_needs_no_server() -> None:
    def unreachable() -> psycopg.Connection:
        raise AssertionError("connected")

    assert PostgresSink(unreachable).apply([]).failed == {}


def test_a_tombstone_clears_the_user(sink: PostgresSink, database: psycopg.Connection) -> None:
    profile = user("a|1", MOMENTS[1], user_metadata={"a": 1}, app_metadata={"b": 2}, last_ip="203.0.113.7")
    sink.apply(changes(updated(profile)))
    sink.apply(changes(deleted("a|1", date=MOMENTS[2], log_id="gone")))
    row = one(database)
    when = datetime(2026, 1, 15, 9, 0, 2, tzinfo=UTC)
    assert (row["deleted_at"], row["updated_at"], row["event_id"]) == (when, when, "gone")
    assert (row["profile"], row["user_metadata"], row["app_metadata"]) == ({}, {}, {})
    kept = {"user_id", "updated_at", "deleted_at", "user_metadata", "app_metadata", "profile", "version", "source"}
    assert {name for name, value in row.items() if value is not None} == kept | {"event_id", "synced_at"}


def test_a_late_update_does_not_resurrect_and_a_new_creation_does(
    sink: PostgresSink, database: psycopg.Connection
) -> None:
    sink.apply(changes(deleted("a|1", date=MOMENTS[2])))
    for late in (MOMENTS[1], MOMENTS[2]):
        assert sink.apply(changes(updated(user("a|1", late), date=MOMENTS[9]))).stale == {"a|1"}
    assert rows(database, "SELECT * FROM auth0.live_users") == []
    assert sink.apply(changes(created(user("a|1", MOMENTS[3])))).stale == set()
    row = one(database)
    assert (row["deleted_at"], row["email"]) == (None, "ada.lovelace@acme.example")
    assert len(rows(database, "SELECT * FROM auth0.live_users")) == 1


# Values that nobody expects

ODD: dict[str, list[Any]] = {
    "email_verified": ["yes", 1, {}, []],
    "blocked": ["yes", 0, [True]],
    "last_login": [
        "now",
        "infinity",
        "-infinity",
        "epoch",
        "today",
        "yesterday",
        "soon",
        "",
        5,
        {},
        [],
        True,
        "9" * 50,
    ],
    "created_at": ["now", "infinity", "tomorrow", "0", "2026-13-01T00:00:00Z", "2026-02-30", "1e5", {"$date": 5}],
    "logins_count": ["5.0", "-5", "9" * 16, -1, 2**70, {}, [5], True, "NaN"],
    "identities": ["auth0", {}, [], [5], [[]], [{"provider": "x"}], 5, True],
}


@pytest.mark.parametrize("column", ODD)
def test_a_value_of_another_type_is_null_and_stays_in_the_profile(
    sink: PostgresSink, database: psycopg.Connection, column: str
) -> None:
    profiles = [user(f"a|{number:02}", **{column: value}) for number, value in enumerate(ODD[column])]
    assert sink.apply(changes(*map(updated, profiles))).failed == {}
    stored = rows(database)
    assert [row["connection" if column == "identities" else column] for row in stored] == [None] * len(profiles)
    assert [row["profile"] for row in stored] == profiles


@pytest.mark.parametrize(
    ("column", "values"),
    {
        "email_verified": {"true": True, "False": False, "TRUE": True},
        "blocked": {"true": True, "false": False},
        "logins_count": {"0": 0, "42": 42, "9" * 15: 999_999_999_999_999},
    }.items(),
)
def test_varieties_that_auth0s_sdks_read_are_read(
    sink: PostgresSink, database: psycopg.Connection, column: str, values: dict[str, Any]
) -> None:
    profiles = [user(f"a|{number:02}", **{column: value}) for number, value in enumerate(values)]
    assert sink.apply(changes(*map(updated, profiles))).failed == {}
    stored = rows(database)
    assert [row[column] for row in stored] == list(values.values())
    assert [row["profile"] for row in stored] == profiles


def test_text_columns_take_anything(sink: PostgresSink, database: psycopg.Connection) -> None:
    columns = ("email", "name", "nickname", "picture", "username", "given_name", "last_ip", "phone_number")
    odd = (5, True, {"a": [1]}, ["x"], None, "", "é😀@")
    pairs = enumerate((column, value) for column in columns for value in odd)
    profiles = [user(f"a|{number:02}", **{column: value}) for number, (column, value) in pairs]
    assert sink.apply(changes(*map(updated, profiles))).failed == {}
    assert [row["profile"] for row in rows(database)] == profiles


def test_user_with_an_email_too_long_for_the_index_is_stored(sink: PostgresSink, database: psycopg.Connection) -> None:
    local = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=9000))  # hard to compress
    profile = user(email=f"{local}@acme.example")
    assert sink.apply(changes(updated(profile))).failed == {}
    assert (one(database)["email"], one(database)["profile"]) == (None, profile)


def test_numbers_at_the_edge(sink: PostgresSink, database: psycopg.Connection) -> None:
    edges = {"0": 0, "9007199254740991": 9007199254740991, "9007199254740992": None, "1e400": None, "1.0": 1}
    texts = [raw(number, user_id=f"a|{n}", logins_count="@@", created_at="@@") for n, number in enumerate(edges)]
    assert sink.apply(changes(*texts)).failed == {}
    stored = rows(database)
    assert [row["logins_count"] for row in stored] == list(edges.values())
    assert [row["created_at"] for row in stored] == [None] * len(edges)


@pytest.mark.parametrize("odd", ["x", 5, [1], True])
def test_metadata_that_is_not_an_object_is_stored_unchanged(
    sink: PostgresSink, database: psycopg.Connection, odd: Any
) -> None:
    assert sink.apply(changes(updated(user(user_metadata=odd, app_metadata=odd)))).failed == {}
    row = one(database)
    assert (row["user_metadata"], row["app_metadata"]) == (odd, odd)


def test_the_jsons_numbers_keep_their_digits(sink: PostgresSink, database: psycopg.Connection) -> None:
    sink.apply(changes(raw('{"a":1e400,"b":0.10,"c":123456789012345678901234567890.5}', user_metadata="@@")))
    [row] = rows(
        database,
        "SELECT user_metadata #>> '{a}' AS a, user_metadata ->> 'b' AS b, user_metadata ->> 'c' AS c FROM auth0.users",
    )
    assert row == {"a": "1" + "0" * 400, "b": "0.10", "c": "123456789012345678901234567890.5"}


# Each value is stored once

ODD_VALUES = (
    "null",
    '"ä@b.example"',
    '""',
    "1.0",
    "1e2",
    "true",
    '"true"',
    "{}",
    '{"a":null,"b":1.50}',
    "[]",
    '[{"a":null}]',
)


@pytest.mark.parametrize("column", schema.exact_columns)
def test_the_views_show_the_profile_as_it_was_sent(
    sink: PostgresSink, database: psycopg.Connection, column: str
) -> None:
    """Absent, null, empty and of another type stay apart, and numbers keep their digits."""
    # Of addresses, a text without an @ is one that Auth0 has hashed.
    values = [value for value in ODD_VALUES if (column, value) != ("email", '"true"')]
    users = [user(f"a|{number:02}", **{column: "@@"}) for number in range(len(values))]
    sent = {profile["user_id"]: (value, profile) for value, profile in zip(values, users, strict=True)}
    assert sink.apply(changes(*(raw(value, **profile) for value, profile in sent.values()))).failed == {}
    absent = user("a|none")
    absent.pop(column, None)
    assert sink.apply(changes(updated(absent))).failed == {}
    for view in ("users", "live_users"):
        found: dict[str, str] = dict(database.execute(f"SELECT user_id, profile::text FROM auth0.{view}").fetchall())
        bodies = {user_id: json.dumps(profile).replace('"@@"', value) for user_id, (value, profile) in sent.items()}
        for user_id, body in (bodies | {"a|none": json.dumps(absent)}).items():
            assert (found[user_id],) == database.execute("SELECT %s::jsonb::text", [body]).fetchone()


def test_each_value_is_stored_once(sink: PostgresSink, database: psycopg.Connection) -> None:
    """The rest has no column that holds it exactly: times and numbers have more than one spelling."""
    given: Json = {"user_metadata": {"a": 1}, "app_metadata": {"b": 2}, "email_verified": True, "blocked": False}
    texts = {column: f"{column}@acme.example" for column in schema.exact_columns if column not in given}
    assert sink.apply(changes(updated(user(**texts, **given, last_login="2026-01-15T09:00:00Z")))).failed == {}
    [row] = rows(database, "SELECT profile FROM auth0.user_rows")
    assert row["profile"].keys() == {"created_at", "updated_at", "last_login", "identities", "user_id"}
    assert one(database)["profile"].keys() == row["profile"].keys() | set(schema.exact_columns)


# Rows that Postgres refuses

REFUSED = {
    "beyond numeric": raw("1e200000", user_metadata={"x": "@@"}),
    "U+0000 in the log's id": text(updated(user(), log_id="log\0")),
}
"""Values that reach the server and fail there."""


class Counting:
    """A connection that counts the statements that it runs."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection, self.statements = connection, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, *arguments: Any, **options: Any) -> Any:
        self.statements += 1
        return self._connection.execute(*arguments, **options)


@pytest.mark.parametrize(("name", "place"), [(name, place) for name in REFUSED for place in (0, 617, 999)])
def test_a_refused_row_is_found_in_three_statements(
    postgres_url: str, database: psycopg.Connection, name: str, place: int
) -> None:
    events: list[str | Json] = [updated(user(f"a|{number:03}")) for number in range(1000)]
    events[place] = REFUSED[name].replace("auth0|ada", f"a|{place:03}")
    connection: Any = Counting(connect(Database(url=postgres_url)))
    sink = PostgresSink(lambda: connection)
    outcome = sink.apply(changes(*events))
    sink.close()
    assert list(outcome.failed) == [f"a|{place:03}"]
    assert isinstance(outcome.failed[f"a|{place:03}"], errors.Refused)
    assert not (outcome.duplicate)
    assert not (outcome.stale)
    assert {row["user_id"] for row in rows(database, "SELECT user_id FROM auth0.users")} == {
        f"a|{number:03}" for number in range(1000) if number != place
    }
    assert connection.statements == 3


@pytest.mark.parametrize("size", [100, 1000])
@pytest.mark.parametrize("bad", [1, 10, 100])
def test_a_flood_of_refused_rows_costs_three_statements_and_none_at_the_next_delivery(
    postgres_url: str, database: psycopg.Connection, size: int, bad: int
) -> None:
    """A user whose data Postgres refuses comes back 20 times, beside users of whom nobody must wait."""
    events: list[str | Json] = [updated(user(f"a|{number:03}")) for number in range(size)]
    for place in range(0, size, size // bad):
        events[place] = REFUSED["beyond numeric"].replace("auth0|ada", f"a|{place:03}")
    connection: Any = Counting(connect(Database(url=postgres_url)))
    sink = PostgresSink(lambda: connection)
    outcome = sink.apply(changes(*events))
    assert len(outcome.failed) == bad
    assert {str(error) for error in outcome.failed.values()} == {
        "The store refused this user's data; no retry will change that. (NumericValueOutOfRange 22003)"
    }
    assert connection.statements <= 3
    assert rows(database, "SELECT count(*) AS n FROM auth0.users") == [{"n": size - bad}]
    before = connection.statements
    again = sink.apply(changes(*events[::-1], updated(user("b|new"))))
    assert again.failed == outcome.failed
    assert connection.statements - before <= 2  # one to write, one to tell duplicates from stale ones
    assert rows(database, "SELECT count(*) AS n FROM auth0.users") == [{"n": size - bad + 1}]
    # A correction is another version.
    assert sink.apply(changes(updated(user("a|000", MOMENTS[-1])))).failed == {}
    sink.close()


def test_rows_that_a_constraint_refuses_are_found_by_bisection(postgres_url: str, database: psycopg.Connection) -> None:
    database.execute("ALTER TABLE auth0.user_rows ADD CONSTRAINT refuse CHECK (email <> 'refuse@acme.example')")
    try:
        events = [updated(user(f"a|{number:03}")) for number in range(1000)]
        events[617] = updated(user("a|617", email="refuse@acme.example"))
        connection: Any = Counting(connect(Database(url=postgres_url)))
        now = [0.0]
        sink = PostgresSink(lambda: connection, clock=lambda: now[0])
        outcome = sink.apply(changes(*events))
        assert list(outcome.failed) == ["a|617"]
        assert connection.statements <= 2 * math.ceil(math.log2(1000)) + 2
    finally:
        database.execute("ALTER TABLE auth0.user_rows DROP CONSTRAINT refuse")
    # What was changed in the database counts within half an hour, without a restart.
    assert list(sink.apply(changes(events[617])).failed) == ["a|617"]
    now[0] += REFUSED_SECONDS
    assert sink.apply(changes(events[617])).failed == {}
    sink.close()


def test_several_refused_rows_fail_and_the_others_are_stored(sink: PostgresSink) -> None:
    good = [updated(user(f"a|{number}", MOMENTS[2])) for number in (1, 3, 5)]
    sink.apply(changes(*good))
    bad = [REFUSED["beyond numeric"].replace("auth0|ada", f"a|{number}") for number in (0, 2, 4)]
    stale = updated(user("a|5", MOMENTS[0]))
    outcome = sink.apply(changes(*good[:2], stale, *bad, updated(user("a|6"))))
    assert set(outcome.failed) == {"a|0", "a|2", "a|4"}
    assert (outcome.duplicate, outcome.stale) == ({"a|1", "a|3"}, {"a|5"})
    assert "1e200000" not in str(outcome.failed["a|0"])


def test_user_nested_too_deeply_for_postgres_fails_alone(
    make_sink: Callable[..., PostgresSink], database: psycopg.Connection
) -> None:
    sink = make_sink(options="-c timezone=UTC -c max_stack_depth=100kB")
    deep = raw("[" * 900 + "]" * 900, user_metadata={"x": "@@"})
    outcome = sink.apply(changes(deep, updated(user("a|1")), updated(user("z|1"))))
    assert list(outcome.failed) == ["auth0|ada"]
    assert isinstance(outcome.failed["auth0|ada"], errors.Refused)
    assert [row["user_id"] for row in rows(database)] == ["a|1", "z|1"]


def test_a_megabyte_of_metadata_is_stored(sink: PostgresSink, database: psycopg.Connection) -> None:
    notes = [f"{number:0100}" for number in range(10_000)]
    assert sink.apply(changes(updated(user(user_metadata={"notes": notes})))).failed == {}
    assert one(database)["user_metadata"] == {"notes": notes}


# Any order


@against_a_server
@given(delivered())
def test_any_delivery_ends_in_the_same_table(
    sink: PostgresSink, database: psycopg.Connection, case: tuple[list[Log], list[list[Log]]]
) -> None:
    logs, batches = case
    database.execute("TRUNCATE auth0.user_rows")
    for batch in batches:
        outcome = sink.apply(changes(*(entry.body for entry in batch)))
        assert outcome.failed == {}
    assert found(database) == expected(logs)
    live = {row["user_id"] for row in rows(database, "SELECT user_id FROM auth0.live_users")}
    assert live == {user_id for user_id, entry in newest(logs).items() if not entry.gone}


def found(database: psycopg.Connection) -> dict[str, tuple[Any, ...]]:
    return {
        row["user_id"]: (row["event_id"], row["updated_at"], row["deleted_at"], row["profile"], row["user_metadata"])
        for row in rows(database)
    }


def expected(logs: Iterable[Log]) -> dict[str, tuple[Any, ...]]:
    return {
        user_id: (
            entry.log_id,
            entry.changed_at,
            entry.changed_at if entry.gone else None,
            {} if entry.gone else entry.profile,
            {} if entry.gone else entry.metadata or {},
        )
        for user_id, entry in newest(logs).items()
    }


def test_concurrent_writers_do_not_deadlock(
    make_sink: Callable[..., PostgresSink], database: psycopg.Connection
) -> None:
    """Overlapping users, fed in opposite orders; a deadlock would come out as StoreBusy."""
    users, rounds = 60, 25
    start = threading.Barrier(2)

    def write(seed: int) -> None:
        rng, sink = random.Random(seed), make_sink()
        start.wait(10)
        for round_number in range(rounds):
            moments = [f"2026-01-15T09:00:00.{rng.randrange(1000):03}Z" for _ in range(users)]
            batch = [
                updated(user(f"a|{n:02}", at), log_id=f"{seed}-{round_number}-{n}") for n, at in enumerate(moments)
            ]
            outcome = sink.apply(changes(*(batch if seed else reversed(batch))))
            assert outcome.failed == {}
            assert sink.apply(changes(deleted(f"b|{seed}", date=MOMENTS[0]))).failed == {}

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, range(2)))
    assert len(rows(database)) == users + 2
    assert rows(database, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == [
        {"deadlocks": 0}
    ]


# The store in trouble


def test_an_ended_session_is_replaced(sink: PostgresSink, database: psycopg.Connection) -> None:
    sink.apply(changes(updated(user("a|1"))))
    for number in (2, 3):
        [gone] = rows(
            database,
            "SELECT pg_terminate_backend(pid) AS gone FROM pg_stat_activity "
            "WHERE application_name = 'auth0-sync' AND datname = current_database()",
        )
        assert gone == {"gone": True}
        assert sink.apply(changes(updated(user(f"a|{number}")))).failed == {}
    assert len(rows(database)) == 3


def test_locked_table_is_a_retry(make_sink: Callable[..., PostgresSink], database: psycopg.Connection) -> None:
    sink = make_sink(options="-c lock_timeout=100ms")
    with database.transaction():
        database.execute("LOCK TABLE auth0.user_rows")
        with pytest.raises(errors.StoreBusy, match="55P03"):
            sink.apply(changes(updated(user())))
    assert sink.apply(changes(updated(user()))).failed == {}


def test_statement_timeout_is_a_retry(make_sink: Callable[..., PostgresSink], database: psycopg.Connection) -> None:
    sink = make_sink(options="-c statement_timeout=100ms")
    with database.transaction():
        database.execute("LOCK TABLE auth0.user_rows")
        with pytest.raises(errors.StoreBusy, match="57014"):
            sink.apply(changes(updated(user())))
    assert sink.apply(changes(updated(user()))).failed == {}


def test_connection_to_a_former_writer_is_replaced(
    make_sink: Callable[..., PostgresSink], database: psycopg.Connection, postgres_url: str
) -> None:
    """After a failover, the kept connection ends at a reader."""
    sink = make_sink()
    sink.apply(changes(updated(user("a|1"))))
    name = psycopg.conninfo.conninfo_to_dict(postgres_url)["dbname"]
    assert isinstance(name, str)
    assert sink._connection
    sink._connection.execute("SET default_transaction_read_only = on")
    assert sink.apply(changes(updated(user("a|2")))).failed == {}
    database.execute(
        psycopg.sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(psycopg.sql.Identifier(name))
    )
    assert sink._connection
    sink._connection.execute("SET default_transaction_read_only = on")
    with pytest.raises(errors.StoreDown, match="25006"):
        sink.apply(changes(updated(user("a|3"))))
    database.execute(
        psycopg.sql.SQL("ALTER DATABASE {} RESET default_transaction_read_only").format(psycopg.sql.Identifier(name))
    )
    assert sink.apply(changes(updated(user("a|3")))).failed == {}
    assert len(rows(database)) == 3


def test_a_missing_table_is_not_ready(empty_postgres_url: str) -> None:
    sink = PostgresSink(lambda: connect(Database(url=empty_postgres_url)))
    try:
        with pytest.raises(errors.StoreNotReady, match="42P01"):
            sink.apply(changes(updated(user())))
    finally:
        sink.close()


def test_missing_rights_are_not_ready(make_sink: Callable[..., PostgresSink], database: psycopg.Connection) -> None:
    database.execute("DROP ROLE IF EXISTS sync_without_rights")
    database.execute("CREATE ROLE sync_without_rights")
    try:
        with pytest.raises(errors.StoreNotReady, match="42501"):
            make_sink(options="-c role=sync_without_rights").apply(changes(updated(user())))
    finally:
        database.execute("DROP ROLE sync_without_rights")


def test_sessions_are_marked_and_limited(sink: PostgresSink) -> None:
    sink.apply(changes(updated(user())))
    assert sink._connection
    show = sink._connection.execute
    assert show("SHOW application_name").fetchone() == ("auth0-sync",)
    assert show("SHOW TimeZone").fetchone() == ("UTC",)
    assert show("SHOW statement_timeout").fetchone() != ("0",)
    assert show("SHOW lock_timeout").fetchone() != ("0",)


# The next batch, which is taken while the server works


def write(sink: PostgresSink, bodies: Sequence[str | Json], take_next: Callable[[], object]) -> Outcome:
    """Write a batch and an empty one; ``take_next`` is called when that is read."""

    def read(bodies: Sequence[str | Json]) -> Batch:
        if not bodies:
            take_next()
        return collect(records(*bodies))

    (_, outcome), last = sink.write([bodies, []], read)
    assert last == (Batch(), Outcome())
    return outcome


def test_batches_are_written_in_turn(sink: PostgresSink, database: psycopg.Connection) -> None:
    batches = [collect(records(updated(user(f"a|{number}")))) for number in range(5)]
    assert list(sink.write(batches, copy)) == [(batch, Outcome()) for batch in batches]
    assert list(sink.write([], copy)) == []
    assert len(rows(database)) == 5


@pytest.mark.parametrize("padding", [0, 20_000_000])
def test_the_server_works_while_the_next_batch_is_taken(sink: PostgresSink, postgres_url: str, padding: int) -> None:
    """The statement waits for a row that only the taking of the next batch releases, however much there is to send."""
    sink.apply(changes(created(user("a|1", MOMENTS[0]))))
    with psycopg.connect(postgres_url) as other, psycopg.connect(postgres_url, autocommit=True) as watcher:
        other.execute("SELECT FROM auth0.users WHERE user_id = 'a|1' FOR UPDATE")

        def let_go() -> None:
            waiting = (
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            while watcher.execute(waiting).fetchone() == (0,):
                pass
            other.commit()

        metadata = {"padding": "x" * padding}
        assert write(sink, [updated(user("a|1", MOMENTS[1], user_metadata=metadata))], let_go) == Outcome()


def test_refused_row_is_found_while_the_next_batch_is_read(sink: PostgresSink, database: psycopg.Connection) -> None:
    done = []
    bad = text(updated(user("a|2", user_metadata={"n": "@@"}))).replace('"@@"', "9" * 140_000)
    outcome = write(sink, [updated(user("a|1")), bad, updated(user("a|3"))], lambda: done.append(1))
    assert outcome.failed.keys() == {"a|2"}
    assert {row["user_id"] for row in rows(database)} == {"a|1", "a|3"}
    assert done == [1]


def test_a_session_that_ends_while_the_next_batch_is_taken_is_replaced(
    sink: PostgresSink, database: psycopg.Connection
) -> None:
    sink.apply(changes(created(user("a|1", MOMENTS[0]))))
    done = []

    def end_it() -> None:
        assert sink._connection
        done.append(sink._connection.info.backend_pid)
        database.execute("SELECT pg_terminate_backend(%s)", [done[0]])

    assert write(sink, [updated(user("a|1", MOMENTS[1]))], end_it).failed == {}
    assert sink._connection
    assert sink._connection.info.backend_pid not in done
    assert one(database)["updated_at"] == datetime.fromisoformat(MOMENTS[1])
