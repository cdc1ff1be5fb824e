"""`auth0-sync user`, by id and by e-mail, through the RDS Data API and straight from the server."""

import json

import psycopg
import pytest
from typer.testing import CliRunner

from pipeline import roles
from pipeline.cli import app, users
from pipeline.functions.migrate import migrate
from pipeline.settings import Database
from pipeline.sinks.postgres import PostgresSink, connect
from tests import aurora
from tests.strategies import changes, updated, user

AWKWARD = "samlp|o'brien|:id ÄŒ \\x41@acme.example"


@pytest.fixture(params=["data_api", "server"])
def _aurora(postgres_server, monkeypatch, request):
    with aurora.cluster(postgres_server) as cluster:
        with psycopg.connect(cluster.url_of(aurora.MASTER)) as master:
            for statement in roles.statements():
                master.execute(statement)
        migrate(Database(url=cluster.url_of("auth0_migrator")))
        sink = PostgresSink(lambda: connect(Database(url=cluster.url_of("auth0_writer"))))
        people = [
            user(AWKWARD, user_metadata={"plan": "pro"}, email="o'brien%s:x@acme.example"),
            user("auth0|1", email="Ada@acme.example"),
            user("google-oauth2|1", email="ada@ACME.example"),
        ]
        for one in people:
            sink.apply(changes(updated(one)))
        sink.close()
        with aurora.data_api(cluster) as api:
            for name, value in (aurora.ENVIRONMENT | {"AWS_ENDPOINT_URL": api.endpoint}).items():
                monkeypatch.setenv(name, value)
            for name in ("DATABASE_URL", "PGHOST"):
                monkeypatch.delenv(name, raising=False)
            if request.param == "server":
                monkeypatch.setenv("DATABASE_URL", cluster.url_of("auth0_reader"))
            yield


@pytest.mark.usefixtures("_aurora")
def test_a_user_with_whatever_id_is_found(monkeypatch):
    monkeypatch.setattr(users, "_from_dynamodb", lambda _user_id: None)
    result = CliRunner().invoke(app, ["user", AWKWARD, "--json"])
    assert result.exit_code == 3, result.output
    found = json.loads(result.stdout)
    assert found["postgres"]["user_id"] == AWKWARD
    assert found["postgres"]["user_metadata"] == {"plan": "pro"}
    assert found["dynamodb"] is None
    result = CliRunner().invoke(app, ["user", "auth0|nobody", "--json"])
    assert result.exit_code == 4
    assert json.loads(result.stdout) == {"postgres": None, "dynamodb": None}


def told(*arguments):
    result = CliRunner().invoke(app, ["user", *arguments])
    return result.exit_code, result.stdout


@pytest.mark.usefixtures("_aurora")
def test_an_address_finds_its_users_whatever_its_case(monkeypatch):
    monkeypatch.setattr(users, "_from_dynamodb", users._from_postgres)
    code, said = told("O'Brien%s:X@acme.example")
    assert code == 0
    assert "Postgres and DynamoDB agree" in said
    assert json.loads(told("O'Brien%s:X@acme.example", "--json")[1])["postgres"]["user_id"] == AWKWARD
    code, said = told("ada@acme.example")
    assert code == 0
    assert "2 users" in said
    assert "auth0|1" in said
    assert "google-oauth2|1" in said
    code, said = told("ada@acme.example", "--json")
    assert [one["user_id"] for one in json.loads(said)["users"]] == ["auth0|1", "google-oauth2|1"]
    code, said = told("nobody@acme.example")
    assert code == 4
    assert "Nobody has the e-mail address nobody@acme.example" in said
    assert told("nobody@acme.example", "--json") == (4, '{\n  "users": []\n}\n')


A, B = {"version": "a"}, {"version": "b"}


@pytest.mark.parametrize(
    ("postgres", "dynamodb", "code", "line"),
    [
        (A, A, 0, "Postgres and DynamoDB agree: both have the same version."),
        (A, B, 3, "Postgres and DynamoDB differ: DynamoDB has the newer version."),
        (B, A, 3, "Postgres and DynamoDB differ: Postgres has the newer version."),
        (A, None, 3, "Postgres and DynamoDB differ: DynamoDB does not have the user."),
        (None, A, 3, "Postgres and DynamoDB differ: Postgres does not have the user."),
        (None, None, 4, "Neither Postgres nor DynamoDB has the user a|[1]."),
    ],
)
def test_one_line_says_whether_the_stores_agree(monkeypatch, postgres, dynamodb, code, line):
    monkeypatch.setattr(users, "_from_postgres", lambda _: postgres)
    monkeypatch.setattr(users, "_from_dynamodb", lambda _: dynamodb)
    answered, said = told("a|[1]")
    assert (answered, said.splitlines()[-1]) == (code, line)


@pytest.mark.parametrize("name", ["", "a|\udc80"])
def test_what_can_be_no_id_is_refused(name):
    assert told(name)[0] == 2
