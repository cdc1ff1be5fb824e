"""Postgres is only read, as a reader where the Data API signs in as the master user."""

import boto3
import psycopg
import pytest

from pipeline import data_api, roles, settings
from pipeline.errors import BadSettings
from pipeline.stores import postgres
from pipeline.stores.aurora import DataApi
from pipeline.stores.server import Server
from tests import aurora
from tests.stores.conftest import Stored
from tests.strategies import updated, user

WRITE = "UPDATE auth0.user_rows SET version = 'x' RETURNING version"


def test_the_server_refuses_to_write(on_server: Stored, postgres_url: str) -> None:
    with (
        Server(settings.Database(url=postgres_url)) as server,
        pytest.raises(psycopg.errors.ReadOnlySqlTransaction),
    ):
        server.rows(WRITE)


def test_a_lost_connection_is_made_again(on_server: Stored, postgres_url: str) -> None:
    on_server.apply(updated(user()))
    with Server(settings.Database(url=postgres_url)) as server:
        [row] = server.rows("SELECT pg_backend_pid() AS pid")
        with psycopg.connect(postgres_url) as other:
            other.execute("SELECT pg_terminate_backend(%s)", [row["pid"]])
        with pytest.raises(psycopg.OperationalError):
            server.rows("SELECT 1")
        assert server.rows("SELECT user_id FROM auth0.users") == [{"user_id": "auth0|ada"}]


def test_the_data_api_reads_as_a_reader(in_aurora: Stored, api: aurora.DataApi) -> None:
    assert in_aurora.store.read("auth0|ada") is None
    assert ("Execute", f"SET LOCAL ROLE {roles.READERS}") in api.calls
    assert api.open_transactions == 0
    with pytest.raises(data_api.Refused, match="read-only"):
        DataApi(boto3.client("rds-data"), settings.Cluster.from_env()).rows(WRITE)


def test_a_paused_cluster_is_waited_for(in_aurora: Stored, api: aurora.DataApi) -> None:
    paused = aurora.Fault("DatabaseResumingException", "it is being resumed")
    api.faults.append(paused)
    assert in_aurora.store.read("auth0|ada") is None
    api.faults.append(paused)
    with pytest.raises(data_api.Unavailable, match="it is being resumed"):
        DataApi(boto3.client("rds-data"), settings.Cluster.from_env(), resume=0).rows("SELECT 1")


@pytest.mark.usefixtures("api")
def test_the_environment_names_the_way_in(cluster: aurora.Cluster) -> None:
    through = dict(aurora.ENVIRONMENT)
    for env in (through, through | {"DATABASE_URL": cluster.url_of("auth0_reader")}):
        with postgres.from_env(env) as store:
            assert list(store.versions()) == []
    with pytest.raises(BadSettings, match="neither DATABASE_URL nor PGHOST"), postgres.from_env({}):
        pass
