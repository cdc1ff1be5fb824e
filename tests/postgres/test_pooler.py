"""Through a pooler: a real PgBouncer, which gives each transaction whatever session is free."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from devstack import postgres
from pipeline import roles
from pipeline.batch import collect
from pipeline.changes import Outcome
from pipeline.errors import BadSettings
from pipeline.functions.migrate import migrate
from pipeline.migration import lock
from pipeline.settings import Database
from pipeline.sinks.postgres import PostgresSink, connect
from tests import aurora
from tests.emulator.support import wait_for
from tests.invoking import sync_function
from tests.strategies import changes, records, updated, user

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
MIGRATOR, WRITER, *_ = roles.NAMES

real = pytest.mark.skipif(PGBOUNCER is None, reason="PgBouncer is not installed: apt-get install pgbouncer")


@contextmanager
def pooler(url: str, mode: str) -> Iterator[Callable[[str], str]]:
    """PgBouncer in front of a server, with one session for each user; its own form of a URL of that server."""
    server, port = urlsplit(url), postgres.free_port()
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)  # PgBouncer does not run as root
        users, settings = Path(directory) / "users", Path(directory) / "settings"
        users.write_text("".join(f'"{name}" ""\n' for name in ("postgres", *roles.NAMES)))
        settings.write_text(f"""
            [databases]
            * = host={server.hostname} port={server.port}
            [pgbouncer]
            listen_addr = 127.0.0.1
            listen_port = {port}
            unix_socket_dir =
            auth_type = trust
            auth_file = {users}
            pool_mode = {mode}
            default_pool_size = {4 if mode == "session" else 1}
        """)
        assert PGBOUNCER
        command = [PGBOUNCER, *(["-u", "nobody"] if os.geteuid() == 0 else []), str(settings)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:

            def through(url: str) -> str:
                parts = urlsplit(url)
                return urlunsplit(parts._replace(netloc=f"{parts.username}@127.0.0.1:{port}"))

            wait_for(lambda: _answers(through(url)))
            yield through
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(10)


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.fixture(params=["transaction", "session", "statement"])
def pooled(request: pytest.FixtureRequest, postgres_url: str) -> Iterator[str]:
    """Yield the test's database as it is reached through the pooler."""
    with pooler(postgres_url, request.param) as through:
        yield through(postgres_url)


@real
def test_each_batch_is_stored_at_its_first_delivery(
    monkeypatch: pytest.MonkeyPatch, pooled: str, database: psycopg.Connection
) -> None:
    """Two functions in turns run each kind of statement: in chunks, with history, with stale changes."""
    other = PostgresSink(lambda: connect(Database(url=pooled)))
    with sync_function(monkeypatch, SINK="postgres", DATABASE_URL=pooled, HISTORY="on") as function:
        for turn in range(3):
            bodies = [updated(user(f"{turn}|{number}")) for number in range(250)]
            assert function(*bodies) == []
            assert function(*bodies[:10]) == []
            batch = collect(records(*bodies[:2], updated(user(f"{turn}|other"))), history=turn == 1)
            outcome = other.apply(batch.changes, batch.history)
            assert (outcome.failed, outcome.duplicate) == ({}, {f"{turn}|0", f"{turn}|1"})
    other.close()
    assert database.execute("SELECT count(*) FROM auth0.users").fetchone() == (753,)
    assert database.execute("SELECT count(*) FROM auth0.user_history").fetchone() == (751,)


@real
def test_no_statement_is_left_in_a_session_that_others_will_have(pooled: str) -> None:
    """A statement's name does not identify its text: another client would run the wrong statement."""
    sink = PostgresSink(lambda: connect(Database(url=pooled)))
    assert sink.apply(changes(updated(user("a|1")))).failed == {}
    with psycopg.connect(pooled, autocommit=True, prepare_threshold=None) as session:
        assert session.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)
    sink.close()


@real
def test_migrations_refuse_a_pooler(pooled: str, database: psycopg.Connection) -> None:
    """They set limits on their sessions, which would stay with the pooler's."""
    with pytest.raises(BadSettings, match="connection pooler"):
        migrate(Database(url=pooled))
    assert database.execute(lock.HOLDER).fetchone() is None


@real
def test_the_roles_settings_hold_where_a_session_cannot_set_its_own(postgres_server: str) -> None:
    with aurora.cluster(postgres_server) as cluster:
        with psycopg.connect(cluster.url_of(aurora.MASTER)) as connection:
            for statement in roles.statements():
                connection.execute(statement)
        migrate(Database(url=cluster.url_of(MIGRATOR)))
        with pooler(cluster.url, "transaction") as through:
            url = through(cluster.url_of(WRITER))
            with connect(Database(url=url)) as pooled, connect(Database(url=cluster.url_of(WRITER))) as direct:
                names = ("statement_timeout", "lock_timeout", "TimeZone")
                shown = [[session.execute(f"SHOW {name}").fetchone() for name in names] for session in (pooled, direct)]
        assert shown == [[("20s",), ("5s",), ("UTC",)]] * 2


# A pooler that looks like a server, or a session that somebody has cleared


def batch_of(sink: PostgresSink, name: str) -> Outcome:
    return sink.apply(changes(updated(user(name)), updated(user("known"))))


def test_a_statement_that_has_vanished_is_run_at_once(sink: PostgresSink) -> None:
    sink.apply(changes(updated(user("known"))))
    session = sink._connection
    assert session
    session.pgconn.exec_(b"DEALLOCATE ALL")  # unseen by psycopg
    outcome = batch_of(sink, "a|1")
    assert (outcome.failed, outcome.duplicate) == ({}, {"known"})
    assert sink._connection is session


@pytest.mark.parametrize("others", [[], [[]]])
def test_a_statement_that_exists_already_is_run_at_once(
    make_sink: Callable[..., PostgresSink], postgres_url: str, others: list[Any]
) -> None:
    def taken() -> psycopg.Connection:
        session = connect(Database(url=postgres_url))
        for number in range(9):
            session.pgconn.prepare(f"_pg3_{number}".encode(), b"SELECT 'of another client'")
        return session

    sink = PostgresSink(taken)
    [(_, first), *_] = sink.write([records(updated(user("known"))), *others], collect)
    assert (first.failed, first.duplicate, first.stale) == ({}, set(), set())
    outcome = batch_of(sink, "a|1")
    assert (outcome.failed, outcome.duplicate) == ({}, {"known"})
    sink.close()
