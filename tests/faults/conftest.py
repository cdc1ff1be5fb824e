import os
from collections.abc import Iterator
from typing import Any

import pytest

from pipeline.changes import Outcome
from pipeline.sinks.dynamodb import DynamoDBSink
from pipeline.sinks.dynamodb_requests import Address
from tests.emulator.support import REGION, Aws, users_table
from tests.faults.support import BreakableServer, FlakyDynamoDB
from tests.invoking import Function, sync_function
from tests.strategies import Json, changes

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION}


@pytest.fixture(scope="session")
def _breakable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BreakableServer]:
    server = BreakableServer(tmp_path_factory.mktemp("breakable"))
    yield server
    server.delete()


@pytest.fixture
def server(_breakable: BreakableServer) -> Iterator[BreakableServer]:
    """Yield a running server to break; it is whole and empty again for the next test."""
    _breakable.start()
    _breakable.execute("TRUNCATE auth0.user_rows, auth0.user_history")
    yield _breakable
    _breakable.start()
    changed = _breakable.execute(
        "SET default_transaction_read_only = off",
        "ALTER SYSTEM RESET ALL",
        "SELECT pg_reload_conf()",
        "SELECT name FROM pg_settings WHERE pending_restart",
    )
    if changed:
        _breakable.restart()


@pytest.fixture
def function(server: BreakableServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Function]:
    with sync_function(monkeypatch, SINK="postgres", DATABASE_URL=server.url) as function:
        yield function


@pytest.fixture
def proxy(aws: Aws) -> Iterator[FlakyDynamoDB]:
    proxy = FlakyDynamoDB(aws.emulator.endpoint)
    yield proxy
    proxy.close()


class Items:
    """A users table behind the proxy, read past it."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.table = users_table(client)

    @property
    def names(self) -> dict[str, str]:
        items = self.client.scan(TableName=self.table, ConsistentRead=True)["Items"]
        return {item["user_id"]["S"]: item["profile"]["M"]["name"]["S"] for item in items}

    def put_newer(self, events: list[Json]) -> None:
        """Write a newer change, as another environment of the function does meanwhile."""
        assert DynamoDBSink(self.client, self.table, threads=2).apply(changes(*events)) == Outcome()


@pytest.fixture
def items(aws: Aws) -> Iterator[Items]:
    client = aws.client("dynamodb")
    yield Items(client)
    client.close()


@pytest.fixture(params=["in Lambda", "elsewhere"])
def dynamodb_function(
    proxy: FlakyDynamoDB, items: Items, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Function]:
    """The function, which in Lambda finds DynamoDB without botocore."""
    # As many attempts as ever, without the seconds between them.
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.01)
    env = {"SINK": "dynamodb", "USERS_TABLE": items.table, "AWS_ENDPOINT_URL": proxy.url}
    if request.param == "in Lambda":
        for name in [name for name in os.environ if name.upper().endswith(("_PROXY", "_CA_BUNDLE"))]:
            monkeypatch.delenv(name)
        env["AWS_LAMBDA_FUNCTION_NAME"] = "sync-dynamodb"
    with sync_function(monkeypatch, **env, **CREDENTIALS) as function:
        assert (Address.in_lambda(os.environ) is None) == (request.param == "elsewhere")
        yield function
