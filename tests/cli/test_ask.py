"""`auth0-sync ask`: what it sends to Athena, and what it refuses to send."""

from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from pipeline.archive import athena, questions
from pipeline.archive.athena import Result
from pipeline.cli import app


@pytest.fixture
def asked(monkeypatch):
    """What Athena was asked, as SQL and its parameters."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("ATHENA_DATABASE", "d")
    monkeypatch.setenv("ATHENA_WORKGROUP", "w")
    calls = []

    def query(_client, sql, *, parameters, **_):
        calls.append((sql, list(parameters)))
        return Result(("a",), [(1,)], 0, "q")

    monkeypatch.setattr(athena, "query", query)
    return calls


def ask(*arguments):
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
def test_sql_that_reads_is_sent_as_it_is(asked, sql):
    assert ask(sql).exit_code == 0
    assert asked == [(sql, [])]


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
def test_sql_that_does_more_than_read_is_refused(asked, sql):
    result = ask(sql)
    assert result.exit_code == 2
    assert "SELECT, WITH, SHOW, DESCRIBE" in " ".join(result.output.replace("│", " ").split())
    assert asked == []


@pytest.mark.parametrize("sql", ["SELECT 1; SELECT 2", "SELECT 1; DROP TABLE logs", "SELECT 1;;"])
def test_several_statements_are_refused(asked, sql):
    result = ask(sql)
    assert result.exit_code == 2
    assert "one statement" in result.output
    assert asked == []


def test_since_takes_a_number_of_days(asked):
    assert ask("failed_logins", "since=7d").exit_code == 0
    [(_, values)] = asked
    assert values[0] == (datetime.now(UTC).date() - timedelta(days=7)).isoformat()


@pytest.mark.parametrize("since", ["7", "d", "-7d", "7w", "99999999999d", "900000d", "yesterday", ""])
def test_another_since_is_refused(asked, since):
    result = ask("failed_logins", f"since={since}")
    assert result.exit_code == 2
    assert "7d" in result.output
    assert asked == []


def test_the_list_says_what_each_question_answers_and_takes():
    said = " ".join(ask("--list").stdout.split())
    for question in map(questions.load, questions.names()):
        assert f"{question.name}: {question.title}" in said
        assert " ".join(question.description.split()) in said
        assert f"takes {', '.join(question.takes())}" in said
    assert "since=7d" in said
    assert "limit=100" in said
