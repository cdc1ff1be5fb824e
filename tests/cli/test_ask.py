"""`auth0-sync ask`: what it sends to Athena, and what it refuses to send."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from typer.testing import CliRunner

from pipeline.archive import questions
from pipeline.cli import app, failures
from pipeline.query import TimedOut
from tests.cli import athena


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Athena, which notes what it was asked."""
    with athena.served() as (found, endpoint):
        for name, value in (athena.ENVIRONMENT | {"AWS_ENDPOINT_URL": endpoint}).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
        yield found


def ask(*arguments: Any) -> Any:
    return CliRunner().invoke(app, ["ask", *arguments])


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "select\n1;",
        "-- DROP TABLE x\n/* DELETE; */ SELECT ';' AS \";\" -- ; DROP",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "(SELECT 1) UNION (SELECT 2)",
        "SHOW TABLES",
        "DESCRIBE logs",
        "EXPLAIN SELECT 1",
        "EXPLAIN ANALYZE VERBOSE SELECT 1",
        "EXPLAIN (TYPE IO, FORMAT JSON) WITH a AS (SELECT 1) SELECT * FROM a",
    ],
)
def test_sql_that_reads_is_sent_as_it_is(asked: Any, sql: Any) -> None:
    assert ask(sql).exit_code == 0
    assert asked.asked == [sql]


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE logs",
        "drop\ttable logs",
        "/* SELECT */ DELETE FROM logs",
        "-- SELECT\nINSERT INTO logs VALUES (1)",
        "UNLOAD (SELECT 1) TO 's3://elsewhere' WITH (format = 'JSON')",
        "CREATE TABLE x AS SELECT 1",
        "EXPLAIN ANALYZE INSERT INTO logs SELECT 1",
        "EXPLAIN (TYPE IO) CREATE TABLE x AS SELECT 1",
        "EXECUTE stored",
        "/* not closed SELECT 1",
    ],
)
def test_sql_that_does_more_than_read_is_refused(asked: Any, sql: Any) -> None:
    result = ask(sql)
    assert result.exit_code == 2
    assert "SELECT, WITH, SHOW, DESCRIBE" in " ".join(result.output.replace("│", " ").split())
    assert asked.asked == []


@pytest.mark.parametrize("sql", ["SELECT 1; SELECT 2", "SELECT 1; DROP TABLE logs", "SELECT 1;;"])
def test_several_statements_are_refused(asked: Any, sql: Any) -> None:
    result = ask(sql)
    assert result.exit_code == 2
    assert "one statement" in result.output
    assert asked.asked == []


def test_since_and_until_take_days_back(asked: Any) -> None:
    assert ask("failed_logins", "since=7d", "until=1d").exit_code == 0
    [sql] = asked.asked
    today = datetime.now(UTC).date()
    assert f"BETWEEN '{today - timedelta(days=7)}T00' AND '{today - timedelta(days=1)}T23'" in sql


@pytest.mark.parametrize("name", ["since", "until"])
@pytest.mark.parametrize("text", ["7", "d", "-7d", "7w", "99999999999d", "900000d", "yesterday", ""])
def test_another_since_or_until_is_refused(asked: Any, name: Any, text: Any) -> None:
    result = ask("failed_logins", f"{name}={text}")
    assert result.exit_code == 2
    assert "7d" in result.output
    assert asked.asked == []


def test_command_prints_the_window_and_the_cost(asked: Any) -> None:
    result = ask("failed_logins", "since=2026-01-02", "until=2026-01-03T09:30Z")
    assert result.stderr.strip() == "1 row; arrived 2026-01-02 00:00 to 2026-01-03 09:59 (UTC); 1,234 bytes read"
    today = datetime.now(UTC).date()
    assert f"arrived {today - timedelta(days=30)} 00:00 to {today} 23:59 (UTC)" in ask("failed_logins").stderr
    assert ask("SELECT 1").stderr.strip() == "1 row; 1,234 bytes read"


@pytest.mark.parametrize("form", [(), ("--json",), ("--csv",)])
def test_command_names_the_limit_that_cut_the_answer(asked: Any, form: Any) -> None:
    asked.rows = [[str(number)] for number in range(3)]
    result = ask("failed_logins", "limit=2", *form)
    assert asked.asked[0].endswith("LIMIT 3")
    assert "limit=2 cut the answer" in result.stderr
    assert "limit=20" in result.stderr
    assert "2" not in result.stdout
    assert "cut" not in ask("failed_logins", "limit=3", *form).stderr


def test_a_query_that_takes_longer_than_its_timeout_is_cancelled(asked: Any) -> None:
    asked.state = "RUNNING"
    result = ask("SELECT 1", "--timeout", "0.2")
    assert isinstance(result.exception, TimedOut)
    assert "0.2 seconds" in str(result.exception)
    assert failures.exit_code(result.exception) == 5
    assert asked.stopped == ["q1"]


def test_null_and_empty_text_differ_in_each_form(asked: Any) -> None:
    asked.columns, asked.rows = ["a", "b"], [[None, ""], ["NULL", "x"]]
    assert ask("SELECT 1").stdout.splitlines() == ["a\tb", "NULL\t''", "'NULL'\tx"]
    assert ask("SELECT 1", "--csv").stdout_bytes == b'a,b\r\n,""\r\nNULL,x\r\n'
    assert json.loads(ask("SELECT 1", "--json").stdout) == [{"a": None, "b": ""}, {"a": "NULL", "b": "x"}]


def test_two_forms_at_once_are_refused(asked: Any) -> None:
    assert ask("SELECT 1", "--json", "--csv").exit_code == 2
    assert asked.asked == []


def test_the_list_as_rows() -> None:
    listed = list(csv.DictReader(io.StringIO(ask("--list", "--csv").stdout, newline="")))
    assert [one["name"] for one in listed] == questions.names()
    first = json.loads(ask("--list", "--json").stdout)[0]
    assert first["takes"] == questions.load("account").takes()


def test_the_list_says_what_each_question_answers_and_takes() -> None:
    said = " ".join(ask("--list").stdout.split())
    for question in map(questions.load, questions.names()):
        assert f"{question.name}: {question.title}" in said
        assert " ".join(question.description.split()) in said
        assert f"takes {', '.join(question.takes())}" in said
    assert "7d or 24h" in said
    assert "since=30d" in said
    assert "limit=100" in said
