"""The hashes come through the Data API as from a server, though its answers have 1 MiB at most."""

import boto3
import psycopg
import pytest

from pipeline import settings
from pipeline.reconcile import BUCKETS
from pipeline.reconcile.postgres import PostgresUsers
from pipeline.settings import Database
from pipeline.stores.aurora import DataApi
from pipeline.stores.server import Server
from tests import aurora
from tests.stores.conftest import api, cluster, shared_cluster

__all__ = ["api", "cluster", "shared_cluster"]

pytestmark = pytest.mark.postgres

USERS = 3_000
FILL = f"""
    INSERT INTO auth0.user_rows (user_id, version, source, event_id, updated_at, profile)
    SELECT 'auth0|' || n || repeat('é', n % 400), repeat('v', 74), 'auth0.logs', 'x', now(),
        jsonb_build_object('name', repeat('x', CASE WHEN n % 1500 = 0 THEN 1100000 ELSE 100 END))
    FROM generate_series(1, {USERS}) AS n
"""


def test_all_users_come_through_the_data_api(cluster: aurora.Cluster, api: aurora.DataApi) -> None:
    with psycopg.connect(cluster.url_of("auth0_migrator")) as connection:
        connection.execute(FILL)
    reader = DataApi(boto3.client("rds-data"), settings.Cluster.from_env())
    reader.chunk = 2_000
    for contents in (False, True):
        through = PostgresUsers(reader, contents=contents)
        with Server(Database(url=cluster.url_of("auth0_reader"))) as server:
            straight = PostgresUsers(server, contents=contents)
            assert through.digests() == straight.digests()
            everybody = sorted(straight.users(range(BUCKETS)))
            assert sorted(through.users(range(BUCKETS))) == everybody
            ids = [user_id for user_id, _ in everybody]
            large = {user_id for user_id, row in straight.read(ids).items() if len(row.profile or "") > 1_000_000}
            assert {user_id for user_id, row in through.read(ids).items() if row.profile is None} == large
            assert len(large) == USERS // 1500
