"""The server's log with the parameters of the cluster: no personal data, whatever a reader asks."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from devstack import postgres
from pipeline import roles
from pipeline.functions.migrate import migrate
from pipeline.settings import Database
from tests.emulator.support import wait_for
from tests.infra.deployed import MODULE
from tests.infra.generate import blocks
from tests.strategies import changes, updated, user

MAIN = MODULE / "modules/database/main.tf"
PERSONAL = "ann.smith@example.com"
READERS = ("auth0_reader", "auth0_query")


def parameters() -> dict[str, str]:
    """Return the parameters of the cluster's group that are Postgres' own."""
    group = blocks(MAIN, "resource")["aws_rds_cluster_parameter_group"]["this"]
    return {each["name"]: each["value"] for each in group["parameter"]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[postgres.Server]:
    directory = tmp_path_factory.mktemp("logging")
    try:
        started = postgres.start(directory, durable=False)
        with psycopg.connect(started.url, autocommit=True) as connection:
            for name, value in parameters().items():
                connection.execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), value))
            connection.execute("SELECT pg_reload_conf()")
            with connection.transaction():
                for statement in roles.statements():
                    connection.execute(statement)
        migrate(Database(url=url_of(started, roles.MIGRATOR)))
        yield started
    finally:
        postgres.stop(directory, delete=True)


def url_of(server: postgres.Server, role: str) -> str:
    return f"postgresql://{role}@127.0.0.1:{server.port}/postgres"


def logged(server: postgres.Server) -> str:
    """Return the log, once it has a line that is written now."""
    mark = f"mark_{time.monotonic_ns()}"
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {mark}")  # DDL is logged
        connection.execute(f"DROP ROLE {mark}")
    log = Path(server.data_dir) / "server.log"
    wait_for(lambda: f"CREATE ROLE {mark}" in log.read_text())
    return log.read_text()


FAILING = [
    f"SELECT '{PERSONAL}'::integer",
    f"SELECT * FROM auth0.users WHERE logins_count = '{PERSONAL}'",
    f'SELECT 1/0 AS "{PERSONAL}"',
    f'SELECT "{PERSONAL}" FROM auth0.users',
    f"SELECT '{{\"email\": {PERSONAL}}}'::jsonb",
    f"SELECT * FROM auth0.users WHERE email = '{PERSONAL}",
    f"INSERT INTO auth0.user_rows (user_id) VALUES ('{PERSONAL}')",
    f"UPDATE auth0.user_rows SET email = '{PERSONAL}'",
    f"DO $$ BEGIN RAISE WARNING '{PERSONAL}'; RAISE EXCEPTION '{PERSONAL}'; END $$",
    f"SET application_name = '{PERSONAL}'; SELECT 1/0",
    f"SET statement_timeout = 10; SELECT pg_sleep(1), '{PERSONAL}'",
    f"SELECT pg_terminate_backend(pg_backend_pid()), '{PERSONAL}'",
]
SLOW = [
    f"SELECT pg_sleep(1.2), '{PERSONAL}'",
    f"SELECT count(*), pg_sleep(1.2) FROM auth0.users WHERE email = '{PERSONAL}'",
]


@pytest.mark.parametrize("role", READERS)
def test_failing_and_slow_reads_leave_no_values(server: postgres.Server, role: str) -> None:
    for statement in (*FAILING, *SLOW):
        with psycopg.connect(url_of(server, role), autocommit=True) as connection:
            try:
                connection.execute(statement)
            except psycopg.Error:
                assert statement in FAILING
            else:
                assert statement in SLOW
    with psycopg.connect(url_of(server, role), autocommit=True) as connection, pytest.raises(psycopg.DataError):
        connection.execute("SELECT %s::integer", [PERSONAL])
    assert "ann.smith" not in logged(server)


def test_the_sync_leaves_no_values(server: postgres.Server) -> None:
    from pipeline.sinks.postgres import PostgresSink, connect

    sink = PostgresSink(lambda: connect(Database(url=url_of(server, "auth0_writer"))))
    try:
        refused = user("a|2", email=PERSONAL, user_metadata={"note": f"{PERSONAL}\0"})
        sink.apply(changes(updated(user("a|1", email=PERSONAL)), updated(refused)))
    finally:
        sink.close()
    assert "ann.smith" not in logged(server)


def test_log_has_the_ddl_that_the_documentation_names(server: postgres.Server) -> None:
    """The log has DDL, so that people can find out who changed the database."""
    with psycopg.connect(url_of(server, "auth0_reader"), autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        for statement in ("CREATE TABLE mine AS SELECT 'bob@example.com'", "SELECT 'eve@example.com' INTO mine"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
    log = logged(server)
    assert "CREATE TABLE mine AS SELECT 'bob@example.com'" in log
    assert "SELECT 'eve@example.com' INTO mine" in log


def test_a_role_with_a_password_shows_its_verifier_at_most(server: postgres.Server) -> None:
    from pipeline.roles import password

    fresh = password.new()
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(password.statement(fresh))
    log = logged(server)
    assert fresh not in log
    assert "SCRAM" not in log


def test_the_log_is_where_these_tests_look(server: postgres.Server) -> None:
    values: Any = parameters()
    with psycopg.connect(server.url) as connection:
        assert connection.execute("SHOW log_min_messages").fetchone() == (values["log_min_messages"],)
        assert connection.execute("SHOW log_statement").fetchone() == ("ddl",)
        assert connection.execute("SHOW log_min_duration_statement").fetchone() == ("-1",)
