"""`auth0-sync user`, where Postgres can only be reached through the RDS Data API."""

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


@pytest.fixture
def _aurora(postgres_server, monkeypatch):
    with aurora.cluster(postgres_server) as cluster:
        with psycopg.connect(cluster.url_of(aurora.MASTER)) as master:
            for statement in roles.statements():
                master.execute(statement)
        migrate(Database(url=cluster.url_of("auth0_migrator")))
        sink = PostgresSink(lambda: connect(Database(url=cluster.url_of("auth0_writer"))))
        sink.apply(changes(updated(user(AWKWARD, user_metadata={"plan": "pro"}))))
        sink.close()
        with aurora.data_api(cluster) as api:
            for name, value in (aurora.ENVIRONMENT | {"AWS_ENDPOINT_URL": api.endpoint}).items():
                monkeypatch.setenv(name, value)
            for name in ("DATABASE_URL", "PGHOST"):
                monkeypatch.delenv(name, raising=False)
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
    assert result.exit_code == 0
    assert json.loads(result.stdout)["postgres"] is None
