from collections.abc import Iterator
from typing import Any

import pytest

from pipeline.settings import Database
from pipeline.sinks.dynamodb import DynamoDBSink
from pipeline.sinks.postgres import connect
from tests.emulator.support import Aws, users_table
from tests.sinks.stored import Items, Rows, Store, Table


@pytest.fixture(scope="session")
def dynamodb(aws: Aws) -> Iterator[Any]:
    client = aws.client("dynamodb")
    yield client
    client.close()


@pytest.fixture
def table(dynamodb: Any) -> Table:
    return Table(dynamodb, users_table(dynamodb))


@pytest.fixture
def sink(table: Table) -> Iterator[DynamoDBSink]:
    sink = DynamoDBSink(table.client, table.name, threads=4)
    yield sink
    sink.close()


@pytest.fixture
def rows(postgres_url: str) -> Iterator[Rows]:
    rows = Rows(connect(Database(url=postgres_url)))
    yield rows
    rows.connection.close()


@pytest.fixture(params=["postgres", "dynamodb"])
def store(request: pytest.FixtureRequest) -> Store:
    """Return each store in turn, one per test run."""
    if request.param == "postgres":
        rows: Rows = request.getfixturevalue("rows")
        return rows
    return Items(request.getfixturevalue("sink"), request.getfixturevalue("table"))
