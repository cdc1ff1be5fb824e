"""Any user reads back from Postgres as it was sent, or is refused for what docs/architecture.md names."""

from datetime import datetime

import psycopg
import pytest
from hypothesis import given, settings

from pipeline import errors
from pipeline.changes import Outcome
from pipeline.sinks.postgres import PostgresSink
from tests import hostile
from tests.hostile import Literal, plain, read
from tests.strategies import against_a_server, changes, deleted, streamed, text, updated, user

_COLUMNS = "user_id, updated_at, last_login, profile::text, user_metadata::text, app_metadata::text"


@settings(against_a_server, max_examples=150)
@given(hostile.messages)
def test_any_user_is_stored_unchanged(
    sink: PostgresSink, database: psycopg.Connection, case: tuple[hostile.User, str, bool]
) -> None:
    given_user, carrier, ascii_only = case
    database.execute("TRUNCATE auth0.user_rows")
    assert sink.apply(changes(hostile.message(given_user, carrier, ascii_only))) == Outcome()
    [row] = database.execute(f"SELECT {_COLUMNS} FROM auth0.users").fetchall()
    expected = plain(given_user.body)
    assert row[:2] == (given_user.user_id, given_user.updated_at)
    # Postgres does not read every way to write a time, but never reads another one.
    assert row[2] in (given_user.last_login, None)
    assert read(row[3]) == expected
    for name, stored in zip(("user_metadata", "app_metadata"), row[4:], strict=True):
        assert read(stored) == ({} if expected.get(name) is None else expected[name])


@settings(against_a_server, max_examples=50)
@given(hostile.user_ids, hostile.times())
def test_any_id_can_be_deleted(
    sink: PostgresSink, database: psycopg.Connection, user_id: str, time: tuple[str, datetime]
) -> None:
    written, moment = time
    database.execute("TRUNCATE auth0.user_rows")
    for event in (deleted(user_id, date=written), streamed("user.deleted", {"user_id": user_id}, time=written)):
        assert sink.apply(changes(event)).failed == {}
        found = database.execute("SELECT user_id, deleted_at FROM auth0.users").fetchall()
        assert found == [(user_id, moment)]


@pytest.mark.parametrize(
    ("number", "stored"),
    [
        ("1e131071", True),
        ("1e131072", False),
        ("1e-16383", True),
        ("1e-16384", False),
        ("9" * 131_072, True),
        ("9" * 131_073, False),
        ("0." + "1" * 16_383, True),
        ("0." + "1" * 16_384, False),
    ],
)
def test_the_limits_of_numbers(sink: PostgresSink, database: psycopg.Connection, number: str, stored: bool) -> None:
    body = text(updated(user("a|1", user_metadata={"x": "@@"}))).replace('"@@"', number)
    outcome = sink.apply(changes(body))
    if not stored:
        assert isinstance(outcome.failed["a|1"], errors.Refused)
        return
    assert outcome == Outcome()
    [(found,)] = database.execute("SELECT user_metadata::text FROM auth0.users").fetchall()
    assert read(found) == {"x": plain(Literal(number))}
