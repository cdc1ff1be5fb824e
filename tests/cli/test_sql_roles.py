"""`auth0-sync sql` and `auth0-sync roles` on clusters without roles, or with other settings of theirs."""

import psycopg
import pytest
from typer.testing import CliRunner

from pipeline import data_api, roles
from pipeline.cli import app
from pipeline.cli.sql import ask
from pipeline.functions.migrate import migrate
from pipeline.settings import Database
from tests import aurora


def test_a_search_path_of_the_callers_own_is_kept(postgres_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with aurora.ready(postgres_server) as cluster:
        monkeypatch.setenv("DATABASE_URL", cluster.url_of("auth0_migrator"))
        for path, schemas in (("sales", "{auth0,sales}"), ("''", '{auth0,"\\"\\""}')):
            cluster.run(
                f"SET search_path = {path}", f"ALTER ROLE CURRENT_USER SET search_path = {path}", user="auth0_migrator"
            )
            assert ask("SELECT string_to_array(current_setting('search_path'), ', ')::text").rows == [(schemas,)]


def test_before_the_roles_are_made(postgres_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with aurora.cluster(postgres_server) as cluster, aurora.data_api(cluster) as api:
        for name, value in (aurora.ENVIRONMENT | {"AWS_ENDPOINT_URL": api.endpoint}).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(data_api.Refused, match=f'role "{roles.QUERY}" does not exist'):
            ask("SELECT 1")


def test_the_printed_roles_can_be_run_as_they_are(postgres_server: str) -> None:
    printed = CliRunner().invoke(app, ["roles"]).stdout
    with aurora.cluster(postgres_server) as cluster:
        with psycopg.connect(cluster.url_of(aurora.MASTER), autocommit=True) as master:
            master.execute(printed)
        migrate(Database(url=cluster.url_of("auth0_migrator")))
        cluster.run("SELECT * FROM live_users", user="auth0_reader")
        # The database may be for others too: what takes rights away from everybody is only printed.
        assert cluster.run("SELECT has_database_privilege('public', current_database(), 'CONNECT')") == [(True,)]
        assert "--     EXECUTE format('REVOKE ALL ON DATABASE" in printed
