"""The sync function with Postgres, batches of good and bad messages in and rows out."""

from collections.abc import Iterator

import psycopg
import pytest

from devstack.postgres import free_port
from devstack.traffic import Traffic, envelope
from pipeline.errors import StoreDown
from pipeline.pseudonym import pseudonym
from tests.bad_input import GOOD_ENOUGH, NEIGHBOURS, POISON, TOO_DEEP, bad, leaked, with_raw
from tests.invoking import Function, sync_function
from tests.strategies import Json, call, deleted, log, text, updated, user


@pytest.fixture
def function(monkeypatch: pytest.MonkeyPatch, postgres_url: str) -> Iterator[Function]:
    with sync_function(monkeypatch, SINK="postgres", DATABASE_URL=postgres_url) as function:
        yield function


def stored(database: psycopg.Connection) -> Json:
    return dict(database.execute("SELECT user_id, user_metadata FROM auth0.users").fetchall())


def test_invalid_messages_fail_alone_with_their_reason(function: Function, database: psycopg.Connection) -> None:
    for name, (body, reason) in POISON.items():
        database.execute("TRUNCATE auth0.user_rows")
        before = len(function.output)
        assert function(NEIGHBOURS[0], body, NEIGHBOURS[1]) == ["m1"], name
        assert stored(database).keys() == {"auth0|first", "auth0|last"}, name
        assert f'"reason":"{reason}"' in function.output[before:], name
        assert '"message_id":"m1"' in function.output[before:], name
    assert leaked(function.output) == []


def test_unusual_messages_are_stored(function: Function, database: psycopg.Connection) -> None:
    for name, expected in (GOOD_ENOUGH | {"too deep": TOO_DEEP}).items():
        database.execute("TRUNCATE auth0.user_rows")
        assert function(NEIGHBOURS[0], expected.body, NEIGHBOURS[1]) == [], name
        assert stored(database) == {"auth0|first": {}, "auth0|last": {}, expected.user_id: expected.metadata}, name
    assert leaked(function.output) == []


def test_a_megabyte_and_its_neighbours_are_stored(function: Function, database: psycopg.Connection) -> None:
    metadata = {"plan": "s3cret-metadata", "notes": ["x" * 1000] * 1000}
    body = text(updated(bad(user_metadata=metadata)))
    assert len(body) > 1_000_000
    assert function(NEIGHBOURS[0], body, NEIGHBOURS[1]) == []
    assert stored(database)["auth0|bad-user"] == metadata
    assert leaked(function.output) == []


def test_a_number_beyond_python_is_stored(function: Function, database: psycopg.Connection) -> None:
    assert function(NEIGHBOURS[0], with_raw("1e400"), NEIGHBOURS[1]) == []
    [(digits,)] = database.execute("SELECT user_metadata ->> 'x' FROM auth0.users WHERE user_id = 'auth0|bad-user'")
    assert digits == "1" + "0" * 400


def test_user_that_postgres_refuses_fails_alone(function: Function, database: psycopg.Connection) -> None:
    assert function(NEIGHBOURS[0], with_raw("1e200000"), updated(bad("2023-07-01T00:00:00.000Z")), NEIGHBOURS[1]) == [
        "m1",
        "m2",
    ]
    assert stored(database).keys() == {"auth0|first", "auth0|last"}
    failed = function.logged("message not stored")
    assert [line["reason"] for line in failed] == ["Refused", "Refused"]
    assert {line["user"] for line in failed} == {pseudonym("auth0|bad-user")}
    assert "22003" in failed[0]["detail"]
    assert leaked(function.output) == []


def test_a_batch_of_everything_is_counted(function: Function, database: psycopg.Connection) -> None:
    bodies: list[str | Json] = [body for body, _ in POISON.values()]
    bodies += [expected.body for expected in GOOD_ENOUGH.values()]
    bodies += [log("fp", user_id="auth0|x"), log("s", user_id="auth0|x"), call("get", "/api/v2/users/x"), *NEIGHBOURS]
    assert function(*bodies) == [f"m{number}" for number in range(len(POISON))]
    [line] = function.logged("batch")
    counts = {name: line[name] for name in ("received", "poison", "ignored", "signals", "retried")}
    assert counts == {"received": len(bodies), "poison": len(POISON), "ignored": 2, "signals": 1, "retried": 0}
    assert line["applied"] + line["duplicate"] + line["stale"] == len(GOOD_ENOUGH) + 2
    [metrics] = [line for line in function.lines if "_aws" in line]
    assert (metrics["Received"], metrics["Poison"], metrics["sink"]) == ([len(bodies)], [len(POISON)], "postgres")
    assert leaked(function.output) == []


def test_no_user_of_a_realistic_stream_is_in_the_logs(function: Function, database: psycopg.Connection) -> None:
    traffic = Traffic(events=300, users=30, seed=3, malformed=3)
    events = list(traffic)
    for start in range(0, len(events), 50):
        function(*(envelope(event) for event in events[start : start + 50]))
    assert {line["reason"] for line in function.logged("message not stored")} == {"BadTimestamp"}
    rows = database.execute("SELECT user_id, profile, deleted_at FROM auth0.users").fetchall()
    assert {user_id: profile for user_id, profile, gone in rows if gone is None} == traffic.expected.live
    assert {user_id: gone for user_id, _, gone in rows if gone is not None} == traffic.expected.deleted
    personal = {user_id for user_id, _, _ in rows}
    for profile in traffic.expected.live.values():
        personal |= {
            profile[key] for key in ("email", "name", "phone_number", "last_ip", "picture") if profile.get(key)
        }
    assert len(personal) > 60
    assert [found for found in personal if found in function.output] == []


def test_redelivered_messages_are_duplicates(function: Function, database: psycopg.Connection) -> None:
    batch = (*NEIGHBOURS, deleted("auth0|gone"))
    assert function(*batch) == []
    assert function(*batch) == []
    first, second = function.logged("batch")
    assert (first["applied"], second["applied"], second["duplicate"]) == (3, 0, 3)


# The store in trouble


def test_an_unreachable_server_fails_the_whole_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"postgresql://sync:pa55word@127.0.0.1:{free_port()}/auth0"
    with sync_function(monkeypatch, SINK="postgres", DATABASE_URL=url) as function:
        with pytest.raises(StoreDown) as raised:
            function(*NEIGHBOURS, "nope")
        [line] = function.logged("batch not stored")
        assert (line["reason"], line["messages"], line["sink"]) == ("StoreDown", 3, "postgres")
        assert "pa55word" not in function.output + str(raised.value)
        assert leaked(function.output) == []


def test_a_server_that_comes_back_is_used_again(
    function: Function, database: psycopg.Connection, postgres_url: str
) -> None:
    assert function(NEIGHBOURS[0]) == []
    database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'auth0-sync' AND datname = current_database()"
    )
    assert function(NEIGHBOURS[1]) == []
    assert stored(database).keys() == {"auth0|first", "auth0|last"}


def test_an_empty_batch_needs_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"postgresql://127.0.0.1:{free_port()}/auth0"
    with sync_function(monkeypatch, SINK="postgres", DATABASE_URL=url) as function:
        assert function(log("fp"), "nope", updated(user(), status=404)) == ["m1"]
