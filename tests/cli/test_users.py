"""`auth0-sync user`, by id and by e-mail, through the RDS Data API and straight from the server."""

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.settings import Database
from pipeline.sinks.dynamodb import DynamoDBSink
from pipeline.sinks.postgres import PostgresSink, connect
from tests import aurora
from tests.emulator.support import users_table
from tests.strategies import changes, updated, user

AWKWARD = "samlp|o'brien|:id ÄŒ \\x41@acme.example"
PEOPLE = [
    user(AWKWARD, user_metadata={"plan": "pro"}, email="o'brien%s:x@acme.example"),
    user("auth0|1", email="Ada@acme.example"),
    user("google-oauth2|1", email="ada@ACME.example"),
]


@pytest.fixture(scope="module")
def cluster(postgres_server: str) -> Iterator[aurora.Cluster]:
    with aurora.ready(postgres_server) as found:
        yield found


@pytest.fixture(params=["data_api", "server"])
def sinks(
    cluster: aurora.Cluster, aws: Any, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Any]:
    """Yield the sinks of the two stores that the environment names; for Postgres, once per way to read it."""
    cluster.empty()
    dynamodb = aws.client("dynamodb")
    table = users_table(dynamodb)
    with aurora.data_api(cluster) as api:
        addresses = {
            "AWS_ENDPOINT_URL_RDS_DATA": api.endpoint,
            "AWS_ENDPOINT_URL_DYNAMODB": dynamodb.meta.endpoint_url,
            "USERS_TABLE": table,
        }
        region = dynamodb.meta.region_name
        for variable, value in (aurora.ENVIRONMENT | addresses | {"AWS_DEFAULT_REGION": region}).items():
            monkeypatch.setenv(variable, value)
        for variable in ("DATABASE_URL", "PGHOST"):
            monkeypatch.delenv(variable, raising=False)
        if request.param == "server":
            monkeypatch.setenv("DATABASE_URL", cluster.url_of("auth0_reader"))
        sink = PostgresSink(lambda: connect(Database(url=cluster.url_of("auth0_writer"))))
        with closing(sink), closing(DynamoDBSink(dynamodb, table)) as other:
            yield {"postgres": sink, "dynamodb": other}


def apply(sink: Any, *users: Any, **data: Any) -> None:
    for one in users:
        sink.apply(changes(updated(one, **data)))


def test_a_user_with_whatever_id_is_found(sinks: Any) -> None:
    apply(sinks["postgres"], *PEOPLE)
    result = CliRunner().invoke(app, ["user", AWKWARD, "--json"])
    assert result.exit_code == 3, result.output
    found = json.loads(result.stdout)
    assert found["postgres"]["user_id"] == AWKWARD
    assert found["postgres"]["user_metadata"] == {"plan": "pro"}
    assert found["dynamodb"] is None
    result = CliRunner().invoke(app, ["user", "auth0|nobody", "--json"])
    assert result.exit_code == 4
    assert json.loads(result.stdout) == {"postgres": None, "dynamodb": None}


def told(*arguments: Any) -> Any:
    result = CliRunner().invoke(app, ["user", *arguments])
    return result.exit_code, result.stdout


def test_an_address_finds_its_users_whatever_its_case(sinks: Any) -> None:
    for sink in sinks.values():
        apply(sink, *PEOPLE)
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


@pytest.mark.parametrize("sinks", ["server"], indirect=True)
def test_pipe_gets_a_user_without_wrapping(sinks: Any) -> None:
    note = "word " * 100
    apply(sinks["postgres"], user("a|1", user_metadata={"note": note}))
    assert note in told("a|1")[1]


A, B = "2026-11-01T10:00:00.000Z", "2026-11-02T10:00:00.000Z"


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
@pytest.mark.parametrize("sinks", ["server"], indirect=True)
def test_one_line_says_whether_the_stores_agree(sinks: Any, postgres: Any, dynamodb: Any, code: Any, line: Any) -> None:
    for sink, updated_at in (("postgres", postgres), ("dynamodb", dynamodb)):
        if updated_at:
            apply(sinks[sink], user("a|[1]", updated_at))
    answered, said = told("a|[1]")
    assert (answered, said.splitlines()[-1]) == (code, line)


@pytest.mark.parametrize("name", ["", "a|\udc80"])
def test_invalid_user_id_is_refused(name: Any) -> None:
    assert told(name)[0] == 2
