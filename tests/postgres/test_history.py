"""HISTORY: every change of every user, once, with who made it, whatever the order in which they arrive."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import psycopg
import pytest
from hypothesis import given
from psycopg.rows import dict_row

from devstack.traffic import Traffic, envelope, sqs_record
from pipeline.batch import collect, summarize
from pipeline.errors import BadSettings, StoreNotReady
from pipeline.settings import Database, history
from pipeline.sinks.postgres import PostgresSink, connect
from tests.bad_input import GOOD_ENOUGH, NEIGHBOURS, leaked, with_raw
from tests.invoking import Function, sync_function
from tests.strategies import (
    Json,
    Log,
    against_a_server,
    call,
    deleted,
    delivered,
    log,
    newest,
    records,
    streamed,
    text,
    updated,
    user,
)

MOMENTS = [f"2026-01-15T09:00:0{second}.000Z" for second in range(10)]


@pytest.fixture
def function(monkeypatch: pytest.MonkeyPatch, postgres_url: str) -> Iterator[Function]:
    with sync_function(monkeypatch, SINK="postgres", DATABASE_URL=postgres_url, HISTORY="on") as function:
        yield function


def rows(
    database: psycopg.Connection,
    statement: str = "SELECT * FROM auth0.user_history ORDER BY user_id, version",
    *parameters: Any,
) -> list[Json]:
    return database.cursor(row_factory=dict_row).execute(statement, parameters).fetchall()


def plans(database: psycopg.Connection) -> list[tuple[str, Any, bool]]:
    """Return the rows of history: (user id, plan, True if deleted), in the order of the changes."""
    found = rows(database)
    return [(row["user_id"], row["user_metadata"].get("plan"), row["deleted_at"] is not None) for row in found]


def plan(name: str, at: int, whose: str = "auth0|ada", **data: Any) -> Json:
    return updated(user(whose, MOMENTS[at], user_metadata={"plan": name}), log_id=f"log-{name}", **data)


def unstorable(at: int, whose: str = "auth0|ada") -> str:
    """Return a change that Python reads and Postgres refuses."""
    return text(plan("@@", at, whose)).replace('{"plan":"@@"}', '{"plan":1e200000}')


# The setting


OFF: tuple[dict[str, str], ...] = ({}, {"HISTORY": ""}, {"HISTORY": "off"})


@pytest.mark.parametrize(("env", "expected"), [*((env, False) for env in OFF), ({"HISTORY": "on"}, True)])
def test_the_setting(env: dict[str, Any], expected: bool) -> None:
    assert history(env) is expected


def test_another_setting_is_refused() -> None:
    with pytest.raises(BadSettings, match="HISTORY is 'yes'"):
        history({"HISTORY": "yes"})


@pytest.mark.parametrize("setting", OFF)
def test_history_off_writes_nothing_and_needs_no_table(
    monkeypatch: pytest.MonkeyPatch, postgres_url: str, database: psycopg.Connection, setting: dict[str, Any]
) -> None:
    with sync_function(monkeypatch, SINK="postgres", DATABASE_URL=postgres_url, **setting) as function:
        assert function(*NEIGHBOURS) == []
        assert rows(database) == []
        database.execute("DROP TABLE auth0.user_history CASCADE")
        assert function(deleted("auth0|first", date="2026-01-01T00:00:00.000Z")) == []
    assert rows(database, "SELECT count(*) AS n FROM auth0.users WHERE deleted_at IS NOT NULL") == [{"n": 1}]


def test_history_off_reads_nothing() -> None:
    assert collect(records(*NEIGHBOURS)).entries == {}
    assert len(collect(records(*NEIGHBOURS), history=True).history) == 2


def test_history_without_its_table_fails_the_batch(function: Function, database: psycopg.Connection) -> None:
    database.execute("DROP TABLE auth0.user_history CASCADE")
    with pytest.raises(StoreNotReady):
        function(*NEIGHBOURS)
    assert rows(database, "SELECT 1 FROM auth0.users") == []


# What is kept


def test_superseded_and_stale_changes_are_kept(function: Function, database: psycopg.Connection) -> None:
    assert function(plan("b", 2), plan("a", 1), plan("d", 4), plan("b", 2)) == []
    assert function(plan("c", 3)) == []
    assert plans(database) == [("auth0|ada", name, False) for name in "abcd"]
    assert rows(database, "SELECT user_metadata FROM auth0.users") == [{"user_metadata": {"plan": "d"}}]
    first, second = function.logged("batch")
    assert (first["applied"], first["stale"], first["duplicate"], second["stale"]) == (1, 3, 0, 1)


def test_a_deletion_and_a_new_life(function: Function, database: psycopg.Connection) -> None:
    gone = deleted("auth0|ada", date=MOMENTS[2], log_id="gone")
    assert function(plan("new", 3), gone, plan("old", 1)) == []
    assert plans(database) == [("auth0|ada", "old", False), ("auth0|ada", None, True), ("auth0|ada", "new", False)]
    assert rows(database, "SELECT deleted, valid_to::text FROM auth0.metadata_history ORDER BY version") == [
        {"deleted": False, "valid_to": "2026-01-15 09:00:02+00"},
        {"deleted": True, "valid_to": "2026-01-15 09:00:03+00"},
        {"deleted": False, "valid_to": None},
    ]


def test_linked_accounts_end_in_history_too(function: Function, database: psycopg.Connection) -> None:
    ids = (("auth0", "ada"), ("sms", "5"), ("x", "6"))
    identities = [{"provider": provider, "user_id": identity} for provider, identity in ids]
    linked = call("post", "/api/v2/users/auth0%7Cada/identities", identities, status=201, client_id="linker")
    assert function(linked) == []
    found = [(row["user_id"], row["client_id"], row["deleted_at"] is not None) for row in rows(database)]
    assert found == [("sms|5", "linker", True), ("x|6", "linker", True)]


def test_whatever_the_order_history_is_the_same(postgres_url: str, database: psycopg.Connection) -> None:
    """History has every delivered change, once."""
    sink = PostgresSink(lambda: connect(Database(url=postgres_url)))

    @against_a_server
    @given(delivered())
    def check(logs_and_deliveries: tuple[list[Log], list[list[Log]]]) -> None:
        logs, deliveries = logs_and_deliveries
        database.execute("TRUNCATE auth0.user_rows, auth0.user_history")
        for delivery in deliveries:
            batch = collect(records(*(entry.body for entry in delivery)), history=True)
            outcome = sink.apply(batch.changes, batch.history)
            assert not outcome.failed
            assert not outcome.unrecorded
        found = [
            (row["user_id"], row["event_id"], row["changed_at"], row["deleted_at"] is not None, row["user_metadata"])
            for row in rows(database)
        ]
        expected = sorted(logs, key=lambda entry: (entry.user_id.encode(), entry.order))
        assert found == [
            (entry.user_id, entry.log_id, entry.changed_at, entry.gone, {} if entry.gone else entry.metadata or {})
            for entry in expected
        ]
        last: dict[str, Log] = newest(logs)
        stored = {row["user_id"]: row["event_id"] for row in rows(database, "SELECT * FROM auth0.users")}
        assert stored == {user_id: entry.log_id for user_id, entry in last.items()}
        # The last state of each user in the view is the mirror's.
        now = "SELECT user_id, user_metadata, deleted FROM auth0.metadata_history WHERE valid_to IS NULL ORDER BY 1"
        mirror = "SELECT user_id, user_metadata, deleted_at IS NOT NULL AS deleted FROM auth0.users ORDER BY 1"
        assert rows(database, now) == rows(database, mirror)

    try:
        check()
    finally:
        sink.close()


def test_a_realistic_stream(function: Function, database: psycopg.Connection) -> None:
    traffic = Traffic(events=600, users=40, seed=5)
    events = list(traffic)
    changed = {event.log_id: event for event in events if event.change}
    for start in range(0, len(events), 100):
        batch = [sqs_record(envelope(event), f"m{number}") for number, event in enumerate(events[start : start + 100])]
        assert function.invoke(batch) == []
    found = {row["event_id"]: row for row in rows(database)}
    assert found.keys() == changed.keys()
    for log_id, event in changed.items():
        data, row = event.detail["data"], found[log_id]
        assert event.change
        call = data["details"]["request"]
        assert (row["actor"], row["client_id"], row["channel"], row["ip"]) == (
            data.get("user_id"), data["client_id"], call["channel"], data["ip"],
        )  # fmt: skip
        assert row["changed_at"] == event.change.version
        assert row["user_metadata"] == (event.change.user or {}).get("user_metadata", {})
        assert row["app_metadata"] == (event.change.user or {}).get("app_metadata", {})
    assert {row["actor"] is None for row in found.values()} == {True, False}
    assert leaked(function.output) == []


# Who


def by(database: psycopg.Connection) -> tuple[Any, ...]:
    [row] = rows(database)
    return row["actor"], row["client_id"], row["channel"], row["ip"]


def test_an_administrator_in_the_dashboard(function: Function, database: psycopg.Connection) -> None:
    event = plan("a", 1, client_id="dashboard", ip="203.0.113.9")
    event["detail"]["data"]["details"]["request"] |= {"channel": "https://manage.auth0.com/", "ip": "203.0.113.1"}
    assert function(event) == []
    assert by(database) == ("google-oauth2|the-actor", "dashboard", "https://manage.auth0.com/", "203.0.113.9")


def test_a_machine_has_no_actor(function: Function, database: psycopg.Connection) -> None:
    event = plan("a", 1, client_id="machine", user_id=None)
    event["detail"]["data"]["details"]["request"] |= {"channel": "api", "ip": "203.0.113.1"}
    assert function(event) == []
    assert by(database) == (None, "machine", "api", "203.0.113.1")


def test_an_event_stream_names_the_application(function: Function, database: psycopg.Connection) -> None:
    event = streamed("user.updated", user(user_metadata={"plan": "a"}))
    event["detail"]["data"]["context"] = {"client": {"id": "shop", "name": "Shop"}, "request": {"ip": "203.0.113.2"}}
    assert function(event) == []
    assert by(database) == (None, "shop", None, "203.0.113.2")


@pytest.mark.parametrize("odd", [5, True, [], {}, ["x"], {"id": {"a": 1}}, "a\0b\ud800", None, ""])
def test_odd_caller_does_not_fail_the_change(function: Function, database: psycopg.Connection, odd: Any) -> None:
    actor = odd if odd is None or isinstance(odd, str) else "auth0|x"  # the sync itself refuses other types
    from_log = plan("a", 1, user_id=actor, client_id=odd, ip=odd)
    from_log["detail"]["data"]["details"]["request"] |= {"channel": odd, "ip": odd}
    streams = [streamed("user.updated", user(f"auth0|{n}", MOMENTS[1]), event_id=f"evt_{n}") for n in range(3)]
    streams[0]["detail"]["data"]["context"] = odd
    streams[1]["detail"]["data"]["context"] = {"client": odd, "request": odd}
    streams[2]["detail"]["data"]["details"] = {"request": odd}
    assert function(from_log, *streams) == []
    assert len(rows(database)) == 4
    if odd == "a\0b\ud800":
        assert rows(database)[-1]["client_id"] == "a\ufffdb\ufffd"


def test_two_feeds_that_report_one_change_name_one_actor(function: Function, database: psycopg.Connection) -> None:
    profile = user(updated_at=MOMENTS[1], user_metadata={"plan": "a"})
    other = user(updated_at=MOMENTS[2], user_metadata={"plan": "b"})
    assert function(
        streamed("user.updated", profile, time=MOMENTS[1]),
        updated(profile, date=MOMENTS[3], client_id="dashboard"),
        streamed("user.updated", other, event_id="evt_2", time=MOMENTS[2]),
    ) == []  # fmt: skip
    view = "SELECT user_metadata ->> 'plan' AS plan, actor, client_id, source FROM auth0.metadata_history"
    found = rows(database, f"{view} WHERE user_metadata_changed ORDER BY version")
    assert found == [
        {"plan": "a", "actor": "google-oauth2|the-actor", "client_id": "dashboard", "source": "auth0.events"},
        {"plan": "b", "actor": None, "client_id": None, "source": "auth0.events"},
    ]
    at = f"{view} WHERE valid_from <= %s AND (valid_to > %s OR valid_to IS NULL)"
    plans_at = [[row["plan"] for row in rows(database, at, moment, moment)] for moment in MOMENTS[:4]]
    assert plans_at == [[], ["a"], ["b"], ["b"]]


def test_a_question_about_one_user_reads_that_user_only(database: psycopg.Connection) -> None:
    """The filter goes through the view's windows to the primary key."""
    database.execute("SET enable_seqscan = off")
    question = "SELECT * FROM auth0.metadata_history WHERE user_id = 'auth0|ada' AND valid_to IS NULL"
    plan = "\n".join(line for (line,) in database.execute(f"EXPLAIN {question}"))
    assert "pk_user_history" in plan
    assert "Index Cond: (user_id = 'auth0|ada'::text)" in plan


# Refused, failing, concurrent


def test_a_refused_newest_change_fails_alone(function: Function, database: psycopg.Connection) -> None:
    assert function(NEIGHBOURS[0], unstorable(2, "auth0|bad-user"), NEIGHBOURS[1]) == ["m1"]
    assert [row["user_id"] for row in rows(database)] == ["auth0|first", "auth0|last"]
    assert [line["reason"] for line in function.logged("message not stored")] == ["Refused"]


def test_newest_change_is_stored_if_a_superseded_one_is_refused(
    function: Function, database: psycopg.Connection
) -> None:
    ada = (plan("a", 1), unstorable(2), plan("c", 3), plan("b", 2))
    assert sorted(function(NEIGHBOURS[0], *ada, NEIGHBOURS[1], unstorable(2))) == ["m2", "m6"]
    assert {(user_id, name) for user_id, name, _ in plans(database)} == {
        ("auth0|first", None), ("auth0|last", None), ("auth0|ada", "a"), ("auth0|ada", "b"), ("auth0|ada", "c"),
    }  # fmt: skip
    [stored] = rows(database, "SELECT user_metadata FROM auth0.users WHERE user_id = 'auth0|ada'")
    assert stored["user_metadata"] == {"plan": "c"}
    [line] = function.logged("batch")
    assert (line["received"], line["applied"], line["stale"], line["poison"], line["duplicate"]) == (7, 3, 2, 2, 0)


def test_a_thousand_with_one_bad_row_take_few_statements(postgres_url: str, database: psycopg.Connection) -> None:
    bodies: list[str | Json] = [plan("a", 1, f"auth0|{number:04}") for number in range(1000)]
    bodies[617] = unstorable(1, "auth0|0617")
    batch = collect(records(*bodies), history=True)
    sink = PostgresSink(lambda: connect(Database(url=postgres_url)))
    statements = []
    run = sink._run

    def noted(statement: str, parameters: tuple[object, ...]) -> list[Any]:
        statements.append(statement)
        return run(statement, parameters)

    sink._run = noted  # type: ignore[method-assign]  # to count the statements
    try:
        outcome = sink.apply(batch.changes, batch.history)
    finally:
        sink.close()
    failures, counts = summarize(batch, outcome)
    assert [failure.user_id for failure in failures] == ["auth0|0617"]
    assert (counts.applied, counts.poison) == (999, 1)
    assert len(statements) <= 2 * 10 + 1
    assert rows(database, "SELECT count(*) AS n FROM auth0.user_history") == [{"n": 999}]


def test_change_that_users_refuses_is_not_in_history(function: Function, database: psycopg.Connection) -> None:
    """The mirror refuses what history would take; nothing of the change is kept."""
    database.execute("ALTER TABLE auth0.user_rows ADD CHECK (email <> 'refuse@acme.example')")
    refused = updated(user("auth0|no", MOMENTS[1], email="refuse@acme.example"))
    assert function(plan("a", 1), refused) == ["m1"]
    assert plans(database) == [("auth0|ada", "a", False)]


def test_a_redelivery_changes_nothing(function: Function, database: psycopg.Connection) -> None:
    batch = (plan("a", 1), plan("b", 2), deleted("auth0|x", date=MOMENTS[1]))
    assert function(*batch) == []
    before = rows(database)
    assert function(*batch) == []
    assert rows(database) == before


def test_unusual_messages_are_stored_in_history(function: Function, database: psycopg.Connection) -> None:
    for name, expected in GOOD_ENOUGH.items():
        database.execute("TRUNCATE auth0.user_rows, auth0.user_history")
        assert function(NEIGHBOURS[0], expected.body, NEIGHBOURS[1]) == [], name
        mirror = rows(database, "SELECT user_id, user_metadata, app_metadata FROM auth0.users ORDER BY 1")
        kept = rows(database, "SELECT user_id, user_metadata, app_metadata FROM auth0.user_history ORDER BY 1")
        assert kept == mirror, name
    assert function(with_raw("1e400")) == []


def test_erasing_a_person(function: Function, database: psycopg.Connection) -> None:
    assert function(plan("a", 1), plan("b", 2), plan("c", 1, "auth0|other"), log("fp")) == []
    database.execute("DELETE FROM auth0.user_history WHERE user_id = %s", ["auth0|ada"])
    assert plans(database) == [("auth0|other", "c", False)]


def test_concurrent_writers_of_the_same_changes(
    make_sink: Callable[..., PostgresSink], database: psycopg.Connection
) -> None:
    """Each writer writes all changes, in an order of its own, without a deadlock."""
    bodies = [plan(f"{at}", at, f"auth0|{number:02}") for number in range(40) for at in range(1, 6)]

    def write(seed: int) -> None:
        sink, order = make_sink(), bodies.copy()
        Random(seed).shuffle(order)
        for start in range(0, len(order), 40):
            batch = collect(records(*order[start : start + 40]), history=True)
            outcome = sink.apply(batch.changes, batch.history)
            assert not outcome.failed

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(6)))
    kept = [(user_id, name) for user_id, name, _ in plans(database)]
    assert kept == [(f"auth0|{number:02}", f"{at}") for number in range(40) for at in range(1, 6)]
    mirror = "SELECT DISTINCT user_metadata ->> 'plan' AS plan FROM auth0.users"
    assert rows(database, mirror) == [{"plan": "5"}]
