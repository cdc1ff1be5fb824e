"""metadata_keys and the lenient casts: right on whatever users put into their metadata, and never an error."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import given

from pipeline import schema
from pipeline.batch import collect
from pipeline.sinks.postgres import PostgresSink
from tests.strategies import against_a_server, deleted, documents, records, updated, user

KEYS = "SELECT path, users, types FROM auth0.metadata_keys"


def store(sink: PostgresSink, *metadata: Any) -> None:
    profiles = [user(f"auth0|{number:04}", user_metadata=value) for number, value in enumerate(metadata)]
    outcome = sink.apply(collect(records(*map(updated, profiles))).changes)
    assert not outcome.failed


def keys(database: psycopg.Connection) -> dict[tuple[str, ...], tuple[int, Any]]:
    return {tuple(path): (users, types) for path, users, types in database.execute(KEYS)}


# Keys


def test_keys_types_and_one_level_of_nesting(sink: PostgresSink, database: psycopg.Connection) -> None:
    store(
        sink,
        {"plan": "pro", "address": {"city": "Zürich", "geo": {"lat": 47.4}}},
        {"plan": 5, "address": "Zürich"},
        {"plan": None, "tags": [{"a": 1}], "": True},
        {},
    )
    assert keys(database) == {
        ("plan",): (3, {"string": 1, "number": 1, "null": 1}),
        ("address",): (2, {"object": 1, "string": 1}),
        ("address", "city"): (1, {"string": 1}),
        ("address", "geo"): (1, {"object": 1}),
        ("tags",): (1, {"array": 1}),
        ("",): (1, {"boolean": 1}),
    }


def test_deleted_users_have_no_keys(sink: PostgresSink, database: psycopg.Connection) -> None:
    store(sink, {"plan": "pro"})
    sink.apply(collect(records(deleted("auth0|0000"))).changes)
    assert keys(database) == {}


def test_a_key_with_a_dot_is_not_a_nested_one(sink: PostgresSink, database: psycopg.Connection) -> None:
    store(sink, {"a.b": 1, "a": {"b": 2}})
    found = database.execute("SELECT key, path FROM auth0.metadata_keys WHERE key = 'a.b' ORDER BY path").fetchall()
    assert found == [("a.b", ["a", "b"]), ("a.b", ["a.b"])]


@pytest.mark.parametrize("odd", [5, "text", [], [1, {"a": 1}], True, None])
def test_metadata_that_is_no_object_has_no_keys(sink: PostgresSink, database: psycopg.Connection, odd: Any) -> None:
    store(sink, odd, {"plan": "pro"})
    assert keys(database) == {("plan",): (1, {"string": 1})}


def test_view_contains_no_values(sink: PostgresSink, database: psycopg.Connection) -> None:
    store(sink, {"plan": "s3cret-value", "address": {"city": "s3cret-city", "deep": {"s3cret-key": 1}}})
    assert "s3cret" not in str(database.execute("SELECT * FROM auth0.metadata_keys").fetchall())


# Casts

CASTS: dict[str, dict[str, Any]] = {
    "as_text": {
        '"a"': "a",
        '""': "",
        f'"{"é" * 500}"': "é" * 500,
        f'"{"é" * 501}"': None,
        "5": None,
        "null": None,
        "true": None,
        '["a"]': None,
        '{"a": "b"}': None,
    },
    "as_boolean": {"true": True, "false": False, '"true"': None, "1": None, "null": None, "[true]": None},
    "as_numeric": {
        "5": 5,
        "-0.50": Decimal("-0.5"),
        '"5"': None,
        "null": None,
        "[]": None,
        "1e400": Decimal(10) ** 400,
    },
    "as_bigint": {
        "5": 5,
        "5.0": 5,
        "5.5": None,
        '"5"': None,
        "9223372036854775807": 2**63 - 1,
        "-9223372036854775808": -(2**63),
        "9223372036854775808": None,
        "1e5000": None,
        "false": None,
    },
    "as_timestamptz": {
        '"2026-01-15T09:00:00.123Z"': datetime(2026, 1, 15, 9, 0, 0, 123_000, tzinfo=UTC),
        '"2026-01-15 09:00:00+02:00"': datetime(2026, 1, 15, 7, tzinfo=UTC),
        '"2026-01-15T09:00-0930"': datetime(2026, 1, 15, 18, 30, tzinfo=UTC),
        '"2026-01-15T09:00:00"': None,  # which moment it is depends on who asks
        '"2026-01-15"': None,
        '"2026-02-30T09:00:00Z"': None,
        '"2026-01-15T99:00:00Z"': None,
        '"2026-01-15T::::Z"': None,
        '"2026-01-15T09:00:00Z\\n"': None,
        '"15/01/2026 09:00Z"': None,
        '"now"': None,
        '"infinity"': None,
        '"tomorrow Z"': None,
        "1768467600": None,
        "null": None,
        '{"$date": "2026-01-15T09:00:00Z"}': None,
    },
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in CASTS.items() for value in values])
def test_a_cast(database: psycopg.Connection, name: str, value: str) -> None:
    """The result is the same for any time zone and order of dates of the session: an index relies on it."""
    for settings in ("SET timezone = 'UTC'; SET datestyle = 'ISO, DMY'", "SET timezone = 'Asia/Tokyo'"):
        database.execute(settings)
        [(found,)] = database.execute(f"SELECT auth0.{name}(%s::jsonb)", [value]).fetchall()
        assert found == CASTS[name][value]


def test_a_cast_of_nothing(database: psycopg.Connection) -> None:
    calls = ", ".join(f"auth0.{name}(NULL)" for name in schema.LENIENT_CASTS)
    assert database.execute(f"SELECT {calls}").fetchone() == (None,) * len(CASTS)


@pytest.mark.parametrize("name", CASTS)
def test_casts_can_be_indexed(database: psycopg.Connection, name: str) -> None:
    database.execute(f"CREATE INDEX ON auth0.user_rows (auth0.{name}(user_metadata -> 'x'))")


def test_no_value_makes_a_cast_or_the_view_fail(sink: PostgresSink, database: psycopg.Connection) -> None:
    calls = ", ".join(f"auth0.{name}(value)" for name in schema.LENIENT_CASTS)

    @against_a_server
    @given(documents())
    def check(value: Any) -> None:
        database.execute("TRUNCATE auth0.user_rows")
        batch = collect(records(updated(user(user_metadata={"x": value}))))
        refused = len(sink.apply(batch.changes).failed) + len(batch.unread)
        found = database.execute(f"SELECT {calls} FROM auth0.users, LATERAL (SELECT user_metadata -> 'x') AS v (value)")
        assert len(found.fetchall()) == 1 - refused
        assert len(keys(database)) >= 1 - refused

    check()


# The schema is the truth


@pytest.mark.parametrize("view", ["metadata_keys", "metadata_history"])
def test_the_migrated_view_is_the_schemas(database: psycopg.Connection, view: str) -> None:
    definition = f"SELECT pg_get_viewdef('auth0.{view}'::regclass)"
    [(migrated,)] = database.execute(definition).fetchall()
    database.execute(f"DROP VIEW auth0.{view}")
    database.execute(f"CREATE VIEW auth0.{view} AS {getattr(schema, view.upper())}")
    assert database.execute(definition).fetchone() == (migrated,)


@pytest.mark.parametrize("name", CASTS)
def test_the_migrated_casts_are_the_schemas(database: psycopg.Connection, name: str) -> None:
    definition = f"SELECT pg_get_functiondef('auth0.{name}'::regproc)"
    [(migrated,)] = database.execute(definition).fetchall()
    database.execute(f"DROP FUNCTION auth0.{name}")
    database.execute(f"CREATE {schema.LENIENT_CASTS[name]}")
    assert database.execute(definition).fetchone() == (migrated,)


def test_the_casts_are_these(database: psycopg.Connection) -> None:
    statement = "SELECT proname FROM pg_proc WHERE pronamespace = 'auth0'::regnamespace"
    assert {name for (name,) in database.execute(statement)} == set(schema.LENIENT_CASTS) == set(CASTS)
