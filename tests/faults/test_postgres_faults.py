"""Postgres in trouble, through the real function."""

import os
import signal
import threading
from contextlib import ExitStack, closing, suppress
from typing import Any

import psycopg
import pytest

from pipeline.errors import StoreBusy, StoreDown
from pipeline.functions.sync import chunks
from pipeline.sinks import postgres
from pipeline.sinks.postgres import PostgresSink
from tests.emulator.support import wait_for
from tests.faults.support import NEW, OLD, BreakableServer, names, running, updates
from tests.invoking import Function
from tests.soak.stores import PostgresWriter
from tests.strategies import Json, records

pytestmark = pytest.mark.postgres

BIG = 1000


def session(monkeypatch: pytest.MonkeyPatch, **options: str) -> None:
    """Set parameters of the sync's sessions."""
    given = "".join(f" -c {name}={value}" for name, value in options.items())
    monkeypatch.setitem(postgres._SESSION, "options", f"-c timezone=UTC{given}")


def test_a_server_killed_in_the_middle_of_a_batch(server: BreakableServer, function: Function) -> None:
    assert function(*updates(OLD, BIG)) == []
    with server.locked("a|0500"), running(lambda: function(*updates(NEW, BIG))) as first:
        server.wait_for_blocked()  # within a statement that has written most of its rows, and committed none
        server.kill()
        with pytest.raises(StoreDown):
            first.result(10)
    with pytest.raises(StoreDown):  # nobody listens
        function(*updates(NEW, BIG))
    server.start()
    # What was committed before the kill is still there, and of the statement that was killed nothing is.
    stored_names = [name for _, name in sorted(server.names.items())]
    committed = sum(len(part) for part in chunks(range(BIG)) if part[-1] < 500)
    assert 0 < committed < 500
    assert set(stored_names[:committed]) == {NEW}
    assert set(stored_names[committed:]) == {OLD}
    assert function(*updates(NEW, BIG)) == []
    assert server.names == names(NEW, BIG)
    assert [line["reason"] for line in function.logged("batch not stored")] == ["StoreDown", "StoreDown"]


def test_a_session_killed_in_the_middle_of_a_batch(server: BreakableServer, function: Function) -> None:
    """Postgres then ends all its sessions and recovers, which refuses connections for a moment."""
    assert function(*updates(OLD, BIG)) == []
    with server.locked("a|0500"), running(lambda: function(*updates(NEW, BIG))) as first:
        [pid] = server.wait_for_blocked()
        os.kill(pid, signal.SIGKILL)
        with suppress(StoreDown):  # unless the recovery is faster than the second attempt
            assert first.result(10) == []

    wait_for(lambda: stored(function, updates(NEW, BIG)))
    assert server.names == names(NEW, BIG)


def test_a_session_ended_in_the_middle_of_a_batch_is_replaced_at_once(
    server: BreakableServer, function: Function
) -> None:
    assert function(*updates(OLD, BIG)) == []
    with server.locked("a|0500") as other, running(lambda: function(*updates(NEW, BIG))) as first:
        [pid] = server.wait_for_blocked()
        server.execute(f"SELECT pg_terminate_backend({pid})")
        wait_for(lambda: pid not in server.wait_for_blocked())
        other.execute("COMMIT")
        assert first.result(10) == []
    assert server.names == names(NEW, BIG)
    assert function.logged("batch")[-1]["applied"] == BIG


def test_a_server_restarted_while_the_function_was_frozen(server: BreakableServer, function: Function) -> None:
    assert function(*updates(OLD)) == []
    server.restart()
    assert function(*updates(NEW)) == []
    assert server.names == names(NEW)
    assert function.logged("batch not stored") == []


def test_a_server_that_refuses_connections_for_a_while(server: BreakableServer, function: Function) -> None:
    server.stop()
    for _ in range(3):
        with pytest.raises(StoreDown):
            function(*updates(NEW), "not JSON")
    server.start()
    assert function(*updates(NEW), "not JSON") == ["m20"]
    assert server.names == names(NEW)


def test_a_server_without_a_free_connection(server: BreakableServer, function: Function) -> None:
    server.execute("ALTER SYSTEM SET max_connections = 5", "ALTER SYSTEM SET superuser_reserved_connections = 0")
    server.restart()
    with ExitStack() as taken:
        fill(server, taken)
        with pytest.raises(StoreDown):
            function(*updates(OLD))
    wait_for(lambda: stored(function, updates(OLD)))
    with ExitStack() as taken:
        fill(server, taken)
        assert function(*updates(NEW)) == []  # which has kept its connection
    wait_for(lambda: answers(server))
    assert server.names == names(NEW)


def fill(server: BreakableServer, taken: ExitStack) -> None:
    """Take every connection that the server has left."""

    def take() -> None:
        for _ in range(10):
            taken.enter_context(closing(server.connect()))

    with pytest.raises(psycopg.OperationalError, match="too many clients"):
        take()


def answers(server: BreakableServer) -> list[Any]:
    with suppress(psycopg.OperationalError):
        return server.execute("SELECT 1")
    return []


def stored(function: Function, events: list[Json]) -> bool:
    """Deliver ``events``; whether the store is up again and took them all."""
    with suppress(StoreDown):
        return function(*events) == []
    return False


def test_a_server_that_became_a_reader(server: BreakableServer, function: Function) -> None:
    assert function(*updates(OLD)) == []
    server.execute("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
    wait_for(lambda: server.execute("SHOW default_transaction_read_only") == [("on",)])
    for _ in range(2):
        with pytest.raises(StoreDown, match="25006"):
            function(*updates(NEW))
    server.execute(
        "SET default_transaction_read_only = off",
        "ALTER SYSTEM RESET default_transaction_read_only",
        "SELECT pg_reload_conf()",
    )
    wait_for(lambda: server.execute("SHOW default_transaction_read_only") == [("off",)])
    assert function(*updates(NEW)) == []
    assert server.names == names(NEW)


def test_a_row_that_stays_locked_delays_no_other_batch(
    server: BreakableServer, function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    session(monkeypatch, lock_timeout="200ms")
    assert function(*updates(OLD)) == []
    with server.locked("a|0003"):
        for _ in range(2):
            with pytest.raises(StoreBusy, match="55P03"):
                function(*updates(NEW)[:10])
        assert function(*updates(NEW)[10:]) == []
        assert server.names == {**names(OLD, 10), **{key: NEW for key in names(NEW) if key >= "a|0010"}}
    assert function(*updates(NEW)[:10]) == []
    assert server.names == names(NEW)


def test_a_transaction_that_cannot_be_serialized(
    server: BreakableServer, function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    session(monkeypatch, default_transaction_isolation="repeatable\\ read")
    assert function(*updates(OLD)) == []
    with server.locked("a|0003") as other, running(lambda: function(*updates(NEW))) as first:
        server.wait_for_blocked()
        other.execute("UPDATE auth0.user_rows SET picture = 'x' WHERE user_id = 'a|0003'")
        other.execute("COMMIT")
        with pytest.raises(StoreBusy, match="40001"):
            first.result(10)
    assert server.names == names(OLD)
    assert function(*updates(NEW)) == []
    assert server.names == names(NEW)


def test_a_deadlock_with_somebody_else(
    server: BreakableServer, function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Postgres looks for a deadlock once per wait, so the other must close the circle within this time.
    session(monkeypatch, deadlock_timeout="2s")
    assert function(*updates(OLD)) == []
    with server.locked("a|0009") as other, running(lambda: function(*updates(NEW))) as first:
        server.wait_for_blocked()  # with the rows before it locked
        other.execute("SET LOCAL deadlock_timeout = '1min'")
        other.execute("SELECT FROM auth0.users WHERE user_id = 'a|0001' FOR UPDATE")
        with pytest.raises(StoreBusy, match="40P01"):
            first.result(10)
    assert function(*updates(NEW)) == []
    assert server.names == names(NEW)


def test_a_batch_that_comes_again_while_its_first_attempt_runs(server: BreakableServer) -> None:
    """Both wait for the same rows; one writes them, and the other finds duplicates. Both may acknowledge."""
    batch = records(*updates(NEW))
    writers = [PostgresWriter(server.url, PostgresSink) for _ in range(2)]
    assert writers[0].invoke(records(*updates(OLD)), None) == {f"m{number}" for number in range(20)}
    start = threading.Barrier(2)

    def attempt(writer: PostgresWriter) -> set[str]:
        start.wait(10)
        return writer.invoke(batch, None)

    with (
        server.locked("a|0003") as other,
        running(lambda: attempt(writers[0])) as first,
        running(lambda: attempt(writers[1])) as second,
    ):
        server.wait_for_blocked(2)
        other.execute("COMMIT")
        assert first.result(10) == second.result(10) == {record["messageId"] for record in batch}
    assert server.names == names(NEW)
    for writer in writers:
        writer.close()


def test_an_older_batch_that_ends_last_changes_nothing(server: BreakableServer) -> None:
    writers = [PostgresWriter(server.url, PostgresSink) for _ in range(2)]
    middle = "2026-01-15T09:00:03.000Z"
    everyone = {f"m{number}" for number in range(20)}
    writers[0].invoke(records(*updates(OLD)), None)
    with server.locked("a|0000") as other, running(lambda: writers[0].invoke(records(*updates(NEW)), None)) as new:
        server.wait_for_blocked()
        with running(lambda: writers[1].invoke(records(*updates(middle)), None)) as old:
            server.wait_for_blocked(2)
            other.execute("COMMIT")
            assert new.result(10) == old.result(10) == everyone
    assert server.names == names(NEW)
    for writer in writers:
        writer.close()
