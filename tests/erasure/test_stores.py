"""Rows are erased by the tables' owner: by its own login, or by the master user through the Data API."""

from collections.abc import Iterator

import psycopg
import pytest

from pipeline import data_api
from pipeline.erasure import stores
from pipeline.errors import BadSettings
from pipeline.stores import postgres
from tests import aurora
from tests.stores.conftest import api, cluster, shared_cluster

__all__ = ["api", "cluster", "shared_cluster"]

pytestmark = pytest.mark.postgres

USER = "auth0|gone'%s:x"
BORROWED = "SELECT pg_has_role('master_user', 'auth0_migrator', 'SET')"


@pytest.fixture
def rows(cluster: aurora.Cluster) -> Iterator[psycopg.Connection]:
    with psycopg.connect(cluster.url_of("auth0_migrator"), autocommit=True) as connection:
        connection.execute(
            "INSERT INTO auth0.user_rows (user_id, version, source, event_id, updated_at, deleted_at, profile) "
            "VALUES (%s, 'v', 'auth0.logs', 'e', '2026-01-15', '2026-01-15', '{}')",
            [USER],
        )
        for version, user_id, actor in (("1", USER, None), ("2", "auth0|bob", USER), ("3", "auth0|bob", "auth0|eve")):
            connection.execute(
                "INSERT INTO auth0.user_history (user_id, version, changed_at, user_metadata, app_metadata, actor, ip, "
                "source, event_id) VALUES (%s, %s, '2026-01-15', '{}', '{}', %s, '203.0.113.9', 'auth0.logs', 'e')",
                [user_id, version, actor],
            )
        yield connection


def ways(cluster: aurora.Cluster) -> dict[str, dict[str, str]]:
    return {"data api": aurora.ENVIRONMENT, "server": {"DATABASE_URL": cluster.url_of("auth0_migrator")}}


@pytest.mark.parametrize("way", ["server", "data api"])
def test_only_the_person_is_erased(
    rows: psycopg.Connection, cluster: aurora.Cluster, api: aurora.DataApi, way: str
) -> None:
    env = ways(cluster)[way]
    with postgres.reader_from_env(env) as reader:
        found = stores.look(reader, USER)
    assert found == {"live": 0, "tombstones": 1, "history": 1, "acted": 1}
    places = stores.places(found)
    with stores.owner_from_env(env) as owner:
        stores.erase(owner, USER, places, tombstones=True)
    assert [place.erased for place in places] == [1, 1, 1]
    left = rows.execute("SELECT version, actor, ip FROM auth0.user_history ORDER BY version").fetchall()
    assert left == [("2", "erased", None), ("3", "auth0|eve", "203.0.113.9")]
    assert rows.execute("SELECT count(*) FROM auth0.users").fetchone() == (0,)
    assert rows.execute(BORROWED).fetchone() == (False,)


def test_what_fails_leaves_every_row_and_gives_the_role_back(
    rows: psycopg.Connection, cluster: aurora.Cluster, api: aurora.DataApi
) -> None:
    def erase() -> None:
        with stores.owner_from_env(aurora.ENVIRONMENT) as owner:
            owner.rows("DELETE FROM auth0.user_history RETURNING 1 AS x")
            owner.rows("SELECT 1 / 0")

    with pytest.raises(data_api.Refused, match="division by zero"):
        erase()
    assert rows.execute("SELECT count(*) FROM auth0.user_history").fetchone() == (3,)
    assert rows.execute(BORROWED).fetchone() == (False,)


def test_the_readers_login_does_not_stand_in_for_the_master_user() -> None:
    env = {name: value for name, value in aurora.ENVIRONMENT.items() if name != "MASTER_SECRET_ARN"}
    with pytest.raises(BadSettings, match="MASTER_SECRET_ARN"), stores.owner_from_env(env):
        pass


@pytest.mark.parametrize("login", ["auth0_reader", "auth0_writer"])
def test_neither_reader_nor_sync_may_erase(rows: psycopg.Connection, cluster: aurora.Cluster, login: str) -> None:
    env = {"DATABASE_URL": cluster.url_of(login)}
    places = stores.places({"live": 0, "tombstones": 1, "history": 1, "acted": 1})
    refusals = (psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction)
    with pytest.raises(refusals), stores.owner_from_env(env) as owner:
        stores.erase(owner, USER, places, tombstones=True)
    assert rows.execute("SELECT count(*) FROM auth0.user_history").fetchone() == (3,)
