"""One store of each kind, each with the sink that writes to it."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import boto3
import pytest

from pipeline import settings
from pipeline.settings import Database
from pipeline.sinks import Sink
from pipeline.sinks.dynamodb import DynamoDBSink
from pipeline.sinks.postgres import PostgresSink, connect
from pipeline.stores import Store
from pipeline.stores.aurora import DataApi
from pipeline.stores.dynamodb import DynamoDBStore
from pipeline.stores.postgres import PostgresStore
from pipeline.stores.server import Server
from tests import aurora
from tests.emulator.support import Aws, users_table
from tests.strategies import Json, changes

KINDS = (
    pytest.param("on_server", id="server", marks=pytest.mark.postgres),
    pytest.param("in_aurora", id="data api", marks=pytest.mark.postgres),
    pytest.param("in_dynamodb", id="dynamodb", marks=pytest.mark.emulator),
)


@dataclass
class Stored:
    """A store, and the sink that fills it."""

    store: Store
    sink: Sink

    def apply(self, *events: Json | str) -> None:
        """Write what the events change."""
        for start in range(0, len(events), 500):
            assert self.sink.apply(changes(*events[start : start + 500])).failed == {}


@pytest.fixture(scope="module")
def shared_cluster(postgres_server: str, _template: str) -> Iterator[aurora.Cluster]:
    with aurora.ready(postgres_server) as cluster:
        yield cluster


@pytest.fixture
def cluster(shared_cluster: aurora.Cluster) -> aurora.Cluster:
    """Return a cluster with roles and schema, and without users."""
    shared_cluster.empty()
    return shared_cluster


@pytest.fixture
def api(cluster: aurora.Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[aurora.DataApi]:
    """Yield the Data API of the cluster, and the environment that leads to it."""
    with aurora.data_api(cluster) as api:
        for variable, value in (aurora.ENVIRONMENT | {"AWS_ENDPOINT_URL_RDS_DATA": api.endpoint}).items():
            monkeypatch.setenv(variable, value)
        yield api


@pytest.fixture
def on_server(postgres_url: str) -> Iterator[Stored]:
    database = Database(url=postgres_url)
    with Server(database) as server, closing(PostgresSink(lambda: connect(database))) as sink:
        yield Stored(PostgresStore(server), sink)


@pytest.fixture
def in_aurora(cluster: aurora.Cluster, api: aurora.DataApi) -> Iterator[Stored]:
    store = PostgresStore(DataApi(boto3.client("rds-data"), settings.Cluster.from_env()))
    with closing(PostgresSink(lambda: connect(Database(url=cluster.url_of("auth0_writer"))))) as sink:
        yield Stored(store, sink)


@pytest.fixture
def in_dynamodb(aws: Aws) -> Iterator[Stored]:
    client = aws.client("dynamodb")
    table = users_table(client)
    with closing(DynamoDBSink(client, table)) as sink:
        yield Stored(DynamoDBStore(client, table, page=300), sink)


@pytest.fixture(params=KINDS)
def stored(request: pytest.FixtureRequest) -> Stored:
    """Return each kind of store in turn."""
    found: Stored = request.getfixturevalue(request.param)
    return found
