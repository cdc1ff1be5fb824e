"""`auth0-sync sql` by both ways, to a real Postgres, and `auth0-sync roles`."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from pipeline import data_api, roles
from pipeline.cli import app, failures
from pipeline.cli.sql import NotAsSuperuser, ask
from pipeline.errors import BadSettings
from pipeline.query import TimedOut
from pipeline.settings import Database
from pipeline.sinks import postgres
from pipeline.sinks.postgres import PostgresSink, connect
from tests import aurora
from tests.aurora import Fault
from tests.strategies import changes, updated, user

WAYS = ["server", "data_api"]


@pytest.fixture(scope="module")
def cluster(postgres_server: str) -> Iterator[Any]:
    """Yield a cluster with roles, schema and one user; test_sql_roles.py has the tests that change one."""
    with aurora.ready(postgres_server) as found:
        sink = PostgresSink(lambda: connect(Database(url=found.url_of("auth0_writer"))))
        sink.apply(changes(updated(user("a|1", user_metadata={"plan": "pro"}))))
        sink.close()
        yield found


@pytest.fixture
def api(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(data_api, "PAUSE", 0.01)
    with aurora.data_api(cluster) as found:
        for name, value in (aurora.ENVIRONMENT | {"AWS_ENDPOINT_URL": found.endpoint}).items():
            monkeypatch.setenv(name, value)
        for name in ("DATABASE_URL", "PGHOST"):
            monkeypatch.delenv(name, raising=False)
        yield found


@pytest.fixture
def way(api: Any, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:
    if request.param == "server":
        # As somebody who could write, if the command let them.
        monkeypatch.setenv("DATABASE_URL", api.cluster.url_of("auth0_migrator"))
    return request.param


def run(*arguments: Any) -> Any:
    result = CliRunner().invoke(app, ["sql", *arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("way", WAYS, indirect=True)
def test_a_table(way: Any) -> None:
    query = "SELECT user_id, user_metadata, ARRAY['[red]'] AS tags, NULL AS nothing, '' AS empty FROM auth0.live_users"
    result = CliRunner().invoke(app, ["sql", query])
    header, row = [line.split("\t") for line in result.stdout.splitlines()]
    assert header == ["user_id", "user_metadata", "tags", "nothing", "empty"]
    assert row == ["a|1", '{"plan": "pro"}', '["[red]"]', "NULL", "''"]
    assert result.stderr == "1 row\n"


@pytest.mark.parametrize("way", WAYS, indirect=True)
def test_csv(way: Any) -> None:
    query = "SELECT 'a,b' AS text, NULL AS nothing, '' AS empty, -1 AS number, '=1+1' AS formula, true AS yes"
    result = CliRunner().invoke(app, ["sql", query, "--csv"])
    assert result.stdout_bytes == b'text,nothing,empty,number,formula,yes\r\n"a,b",,"",-1,\'=1+1,true\r\n'


@pytest.mark.parametrize("way", WAYS, indirect=True)
def test_json_is_the_same_by_both_ways(way: Any) -> None:
    query = """
        SELECT 'é' AS text, 1 AS int, 2.50::numeric AS numeric, true AS bool, NULL AS nothing,
            '{"a": [1, null]}'::jsonb AS object, ARRAY[1, 2] AS ints, ARRAY['x'] AS texts,
            timestamptz '2026-01-15 09:00+00' AS moment, date '2026-01-15' AS day
    """
    assert json.loads(run("--json", query)) == [
        {
            "text": "é",
            "int": 1,
            "numeric": "2.50",
            "bool": True,
            "nothing": None,
            "object": {"a": [1, None]},
            "ints": [1, 2],
            "texts": ["x"],
            "moment": "2026-01-15 09:00:00+00:00",
            "day": "2026-01-15",
        }
    ]


@pytest.mark.parametrize("way", ["server"], indirect=True)
@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("timestamptz '20000-01-15 09:00+00'", "20000-01-15 09:00:00+00"),
        ("timestamp '20000-01-15 09:00'", "20000-01-15 09:00:00"),
        ("date '20000-01-15'", "20000-01-15"),
        ("date '0044-03-15 BC'", "0044-03-15 BC"),
        ("timestamptz '0044-03-15 09:00+00 BC'", "0044-03-15 09:00:00+00 BC"),
        ("timestamptz 'infinity'", "infinity"),
        ("timestamptz '-infinity'", "-infinity"),
        ("date 'infinity'", "infinity"),
        ("interval '3000000 years'", "3000000 years"),
        ("repeat('9', 5000)::jsonb", "9" * 5000),
        ("repeat('9', 5000)::numeric", "9" * 5000),
        ("(repeat('[', 3000) || repeat(']', 3000))::json", "[" * 3000 + "]" * 3000),
        ("time '24:00'", "24:00:00"),
        ("ARRAY[timestamptz 'infinity']", ["infinity"]),
    ],
)
def test_value_that_python_cannot_hold_is_printed_as_text(way: Any, value: Any, text: Any) -> None:
    assert json.loads(run("--json", f"SELECT {value} AS it")) == [{"it": text}]


@pytest.mark.parametrize("way", WAYS, indirect=True)
def test_no_rows(way: Any) -> None:
    assert json.loads(run("--json", "SELECT * FROM auth0.live_users WHERE false")) == []
    assert run("SELECT user_id FROM auth0.live_users WHERE false") == "user_id\n"
    assert run("SELECT user_id FROM auth0.live_users WHERE false", "--csv") == "user_id\n"


READING = [
    "select 1",
    "-- a comment\n/* DELETE /* nested */ */ ( (SELECT 1))",
    "WITH a AS (SELECT 1) SELECT * FROM a",
    "TABLE auth0.live_users",
    "VALUES (1)",
    "SHOW timezone",
    "EXPLAIN SELECT 1",
    "SELECT ';' AS \"; DROP\" -- ;",
]


@pytest.mark.parametrize("way", WAYS, indirect=True)
@pytest.mark.parametrize("statement", READING)
def test_statements_that_read_are_run_as_they_are(way: Any, statement: Any) -> None:
    run(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM auth0.user_rows",
        "CREATE TABLE auth0.x ()",
        "COPY (SELECT 1) TO PROGRAM 'touch /tmp/x'",
        "DO $$ BEGIN END $$",
        "COMMIT; DELETE FROM auth0.user_rows",
        "SET search_path = auth0",
        "RESET ROLE",
        "CALL x()",
        "/* SELECT */ DELETE FROM auth0.user_rows",
        "/* not closed SELECT 1",
        "-- SELECT 1",
        "; SELECT 1",
        "SELECTED",
        "",
    ],
)
def test_other_statements_are_refused_before_they_are_sent(monkeypatch: pytest.MonkeyPatch, statement: Any) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/d")
    result = CliRunner().invoke(app, ["sql", "--", statement])
    assert result.exit_code == 2
    assert "SELECT, WITH, TABLE" in " ".join(result.output.replace("│", " ").split())


@pytest.mark.parametrize("way", WAYS, indirect=True)
@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("WITH gone AS (DELETE FROM auth0.user_rows RETURNING 1) SELECT * FROM gone", "read-only|permission denied"),
        ("EXPLAIN ANALYZE DELETE FROM auth0.user_rows", "read-only|permission denied"),
        ("SELECT * INTO auth0.x FROM auth0.users", "read-only|permission denied"),
        ("SELECT 1; DELETE FROM auth0.user_rows", "multiple commands"),
        ("SELECT * FROM auth0.no_such_table", "no_such_table"),
        ("SELECT 1 FROM", "syntax error"),
    ],
)
def test_statements_that_postgres_refuses(way: Any, cluster: Any, statement: Any, reason: Any) -> None:
    with pytest.raises(data_api.Refused, match=reason):
        run(statement)
    assert cluster.run("SELECT count(*) FROM users", user="auth0_reader") == [(1,)]


BREAK_OUT = [
    "SET TRANSACTION READ WRITE",
    "SELECT set_config('transaction_read_only', 'off', true)",
    "DO $$ BEGIN SET TRANSACTION READ WRITE; RESET ROLE; CREATE TABLE auth0.mine (); END $$",
    "DO $$ BEGIN COMMIT; SET TRANSACTION READ WRITE; CREATE TABLE auth0.mine (); END $$",
    "DO $$ BEGIN RESET ROLE; CREATE TABLE auth0.mine (); END $$",
    "DO $$ BEGIN SET default_transaction_read_only = off; COMMIT; CREATE TABLE auth0.mine (); END $$",
    "DO $$ BEGIN SET default_transaction_read_only = off; COMMIT; UPDATE auth0.user_rows SET name = 'x'; END $$",
    "DO $$ BEGIN ROLLBACK AND CHAIN; CREATE TABLE auth0.mine (); END $$",
    "START TRANSACTION READ WRITE; CREATE TABLE auth0.mine ()",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE; COMMIT; CREATE TABLE auth0.mine ()",
    "SELECT lo_from_bytea(0, 'kept')",
    "COMMIT; CREATE TABLE auth0.mine ()",
]


@pytest.mark.parametrize("way", WAYS, indirect=True)
@pytest.mark.parametrize("statement", BREAK_OUT)
def test_no_statement_leaves_its_read_only_transaction(way: Any, cluster: Any, statement: Any) -> None:
    """The test includes statements that the command itself would not send."""
    with pytest.raises(data_api.Refused):
        ask(statement)
    unchanged = "SELECT to_regclass('auth0.mine'), (SELECT count(*) FROM pg_largeobject_metadata)"
    assert cluster.run(unchanged, user="auth0_reader") == [(None, 0)]
    assert cluster.run("SELECT count(*) FROM auth0.users WHERE name = 'x'", user="auth0_reader") == [(0,)]


@pytest.mark.parametrize("statement", BREAK_OUT)
def test_nor_does_one_through_a_pooler(cluster: Any, monkeypatch: pytest.MonkeyPatch, statement: Any) -> None:
    """The pooler drops the settings of a new session, and prepares no statement."""
    monkeypatch.setenv("DATABASE_URL", cluster.url_of("auth0_migrator"))
    monkeypatch.setattr(postgres, "is_pooled", lambda _: True)
    connect = psycopg.connect

    def dropped(conninfo: str, **rest: Any) -> Any:
        return connect(conninfo, **rest, options="")

    monkeypatch.setattr(postgres, "psycopg", SimpleNamespace(**vars(psycopg) | {"connect": dropped}))
    with pytest.raises(data_api.Refused):
        ask(statement)
    assert cluster.run("SELECT to_regclass('auth0.mine')", user="auth0_reader") == [(None,)]


@pytest.mark.parametrize("who", ["superuser", aurora.MASTER, "ada"])
def test_a_superuser_is_refused(cluster: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, who: Any) -> None:
    """Roles that can write files in a read-only transaction include members of a superuser's, and RDS's master."""
    with psycopg.connect(cluster.url, autocommit=True) as superuser:
        superuser.execute("CREATE ROLE ada LOGIN")
        superuser.execute(f'GRANT auth0_readers, "{superuser.info.user}" TO ada')
        monkeypatch.setenv("DATABASE_URL", cluster.url if who == "superuser" else cluster.url_of(who))
        try:
            for query in ("SELECT 1", f"SELECT lo_export(1, '{tmp_path}/x')", "SELECT pg_read_file('/etc/hostname')"):
                with pytest.raises(NotAsSuperuser, match="auth0_reader"):
                    run(query)
        finally:
            superuser.execute("DROP ROLE ada")


@pytest.mark.parametrize("way", WAYS, indirect=True)
def test_a_statement_is_cancelled_when_its_time_is_over(way: Any, cluster: Any) -> None:
    with pytest.raises(TimedOut, match=r"0\.3 seconds of --timeout") as raised:
        run("SELECT pg_sleep(20)", "--timeout", "0.3")
    assert failures.exit_code(raised.value) == 5
    assert cluster.run("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%sleep(20)'") == [
        (0,)
    ]


@pytest.mark.parametrize("way", WAYS, indirect=True)
def test_no_schema_need_be_named(way: Any) -> None:
    assert run("SELECT count(*) AS users FROM live_users") == "users\n1\n"
    assert run("SELECT current_setting('search_path') ~ '^auth0, ' AS first") == "first\ntrue\n"


@pytest.mark.parametrize(
    ("who", "statements"),
    [
        ("auth0_reader", []),
        ("ada", []),
        ("auth0_query", []),
        (aurora.MASTER, ["SET ROLE auth0_readers"]),
    ],
)
def test_nor_by_the_other_ways_into_the_database(cluster: Any, who: Any, statements: Any) -> None:
    """psql and programs as auth0_reader, a role made by docs/database.md, the console's query editor."""
    page = (Path(__file__).parents[2] / "docs" / "database.md").read_text()
    [made] = re.findall("`(CREATE ROLE ada.*?)`", page, flags=re.DOTALL)
    cluster.run(*made.split(";"))
    try:
        assert cluster.run(*statements, "SELECT count(*) FROM live_users", user=who) == [(1,)]
    finally:
        cluster.run("DROP ROLE ada")


def test_the_data_api_reads_as_readers_do(api: Any) -> None:
    """It signs in as auth0_query: the master user's secret would allow everything."""
    assert json.loads(run("--json", "SELECT current_user AS who, session_user AS by")) == [
        {"who": roles.READERS, "by": roles.QUERY}
    ]
    assert json.loads(run("--json", "SHOW transaction_read_only")) == [{"transaction_read_only": "on"}]
    with pytest.raises(data_api.Refused, match="permission denied"):
        run("SELECT pg_read_file('/etc/hostname')")
    assert api.open_transactions == 0


def test_a_paused_cluster_is_waited_for(api: Any) -> None:
    api.faults = [Fault("DatabaseResumingException", "resuming")] * 3
    assert "a|1" in run("SELECT user_id FROM auth0.live_users")


def test_a_query_that_takes_too_long_is_not_asked_again(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    answer, query = api._answer, "SELECT user_id FROM auth0.live_users"

    def slow(operation: Any, body: Any) -> Any:
        if body.get("sql") == query:
            api.faults = [Fault("StatementTimeoutException", "Request timed out")]
        return answer(operation, body)

    monkeypatch.setattr(api, "_answer", slow)
    with pytest.raises(data_api.TimedOut, match="45 seconds"):
        run(query)
    assert [sql for _, sql in api.calls].count(query) == 1


def test_an_answer_that_is_too_large_says_what_to_do(api: Any) -> None:
    with pytest.raises(data_api.TooLarge, match=r"1 MiB.*LIMIT"):
        run("SELECT repeat('x', 60000) FROM generate_series(1, 20)")


def test_nowhere_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "PGHOST", "CLUSTER_ARN"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(BadSettings, match="CLUSTER_ARN"):
        run("SELECT 1")
