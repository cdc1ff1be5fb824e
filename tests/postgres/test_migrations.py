import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from psycopg.rows import dict_row

from pipeline import errors, schema
from pipeline.functions.migrate import LosesData, Protected, engine, handler, migrate
from pipeline.migration import lock
from pipeline.migration.files import DIRECTORY, BadMigrations
from pipeline.settings import Database
from tests.releases import HEAD, Release
from tests.strategies import changes, deleted, updated, user

ROOT = DIRECTORY.parent
MIGRATED = {table.name for table in schema.metadata.tables.values()} | {"alembic_version", "users", "live_users"}
MIGRATING = "SELECT count(*) AS n FROM pg_stat_activity WHERE application_name = 'auth0-sync-migrate'"

RELATIONS = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'auth0' ORDER BY 1"


def query(url: Any, statement: Any) -> Any:
    with psycopg.connect(url, row_factory=dict_row) as connection:
        return connection.execute(statement).fetchall()


def relations(url: Any) -> Any:
    return [row["table_name"] for row in query(url, RELATIONS)]


@pytest.fixture
def handled(monkeypatch: pytest.MonkeyPatch, empty_postgres_url: str) -> Any:
    """Return the handler as Lambda runs it, on an empty database; its answer about the product."""
    monkeypatch.setenv("DATABASE_URL", empty_postgres_url)
    monkeypatch.setenv("PROTECT_DATA", "off")

    def handled(**event: Any) -> Any:
        done = handler(event, None)
        return {key: done[key] for key in ("from", "to")}

    return handled


def test_up_and_down_again(handled: Any, empty_postgres_url: str) -> None:
    assert handled(revision="head") == {"from": None, "to": HEAD}
    assert set(relations(empty_postgres_url)) >= MIGRATED
    assert handled() == {"from": HEAD, "to": HEAD}
    assert handled(revision="base", allow_data_loss=True) == {"from": HEAD, "to": None}
    assert relations(empty_postgres_url) == ["alembic_version"]
    assert query(empty_postgres_url, "SELECT indexname FROM pg_indexes WHERE tablename IN ('user_rows', 'users')") == []
    assert handled(revision=HEAD) == {"from": None, "to": HEAD}


USER = (
    "INSERT INTO auth0.user_rows (user_id, updated_at, version, source, event_id) VALUES ('a|1', now(), '1', 'x', 'y')"
)


def contents(url: Any) -> Any:
    users = query(url, "SELECT user_id FROM auth0.users")
    return relations(url), users, query(url, "SELECT version_num FROM auth0.alembic_version ORDER BY 1")


@pytest.mark.parametrize(
    ("protection", "payload", "refusal"),
    [
        ("on", {}, Protected),
        ("on", {"allow_data_loss": True}, Protected),
        ("", {"allow_data_loss": True}, Protected),  # an unset setting protects
        ("off", {}, LosesData),
        ("off", {"allow_data_loss": False}, LosesData),
        ("off", {"allow_data_loss": "true"}, errors.BadSettings),
        ("false", {"allow_data_loss": True}, errors.BadSettings),
    ],
)
def test_a_slip_erases_no_user(
    monkeypatch: pytest.MonkeyPatch, postgres_url: str, protection: Any, payload: Any, refusal: Any
) -> None:
    """A caller with the right to invoke the function must not erase users and history by a wrong revision."""
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    monkeypatch.setenv("PROTECT_DATA", protection)
    query(postgres_url, f"{USER} RETURNING 1")
    before = contents(postgres_url)
    with pytest.raises(refusal):
        handler({"revision": "base"} | payload, None)
    assert contents(postgres_url) == before
    if protection != "false":
        assert handler({"revision": HEAD}, None)["to"] == HEAD


def test_newer_schema_is_not_changed(handled: Any, empty_postgres_url: str) -> None:
    """An earlier version that is deployed again must not fail for it, and must not take anything back."""
    handled()
    newer = f"UPDATE auth0.alembic_version SET version_num = '9999' WHERE version_num = '{HEAD}' RETURNING 1"
    assert query(empty_postgres_url, newer)
    before = relations(empty_postgres_url)
    assert handled(revision="head") == {"from": "9999", "to": "9999"}
    assert relations(empty_postgres_url) == before
    for revision in (HEAD, "base"):  # nothing is taken back that this version does not know
        with pytest.raises(BadMigrations, match="9999, which this package lacks"):
            handled(revision=revision, allow_data_loss=True)
    assert handled(revision="9999") == {"from": "9999", "to": "9999"}
    assert relations(empty_postgres_url) == before


@pytest.mark.parametrize("revision", [None, 5, ["head"]])
def test_revision_that_is_not_text_is_refused(handled: Any, revision: Any, empty_postgres_url: str) -> None:
    with pytest.raises(errors.BadSettings, match="revision"):
        handled(revision=revision)
    assert relations(empty_postgres_url) == []


def test_an_unknown_revision_changes_nothing(handled: Any, empty_postgres_url: str) -> None:
    with pytest.raises(BadMigrations, match=r"no revision 'no-such' in this package. It has 0001 to "):
        handled(revision="no-such")
    assert "user_rows" not in relations(empty_postgres_url)


def test_a_database_that_does_not_answer_is_named_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://postgres@127.0.0.1:1/none")
    with pytest.raises(errors.StoreDown):
        handler({}, None)


def test_the_migrations_make_the_schema(postgres_url: str, tmp_path: Path) -> None:
    """What ``alembic check`` asks, and what it cannot see: the comments, collations and the view."""
    bind = engine(Database(url=postgres_url))
    config = Config(attributes={"engine": bind})
    config.set_main_option("script_location", str(Release(tmp_path).directory))
    command.check(config)
    with bind.connect() as connection:
        options = {"include_schemas": True, "version_table_schema": schema.SCHEMA, "compare_server_default": True}
        options["include_name"] = lambda name, kind, _: kind != "schema" or name == schema.SCHEMA
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, schema.metadata) == []
    collated = query(
        postgres_url,
        "SELECT column_name, collation_name FROM information_schema.columns "
        "WHERE table_schema = 'auth0' AND table_name = 'user_rows' AND collation_name IS NOT NULL",
    )
    assert {(row["column_name"], row["collation_name"]) for row in collated} == {("user_id", "C"), ("version", "C")}


@pytest.mark.parametrize(
    ("view", "schemas"),
    [
        ("users", schema.USERS),
        ("live_users", schema.LIVE_USERS),
        ("metadata_keys", schema.METADATA_KEYS),
        ("metadata_history", schema.METADATA_HISTORY),
    ],
)
def test_the_migrations_make_the_schemas_views(postgres_url: str, view: str, schemas: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        definition = f"SELECT pg_get_viewdef('auth0.{view}'::regclass)"
        [(migrated,)] = connection.execute(definition).fetchall()
        connection.execute(f"DROP VIEW auth0.{view}")
        connection.execute(f"CREATE VIEW auth0.{view} AS {schemas}")
        assert connection.execute(definition).fetchone() == (migrated,)


def test_live_users_hides_the_deleted(sink: Any, postgres_url: str) -> None:
    sink.apply(changes(updated(user("a|1")), updated(user("a|2")), deleted("a|2"), deleted("a|3")))
    [row] = query(postgres_url, "SELECT * FROM auth0.live_users")
    assert list(row) == schema.live_columns
    assert row["user_id"] == "a|1"
    assert set(schema.live_columns) == {column.name for column in schema.user_rows.c} - {"deleted_at", "carried"}


def test_waiting_migration_does_not_block_a_concurrent_index(postgres_url: str) -> None:
    """An index that is created concurrently waits for every snapshot that is older: a waiting deploy must have none."""
    with (
        psycopg.connect(postgres_url, autocommit=True) as first,
        psycopg.connect(postgres_url, autocommit=True) as second,
    ):
        first.execute("BEGIN")
        first.execute(lock.TAKE)
        command = [sys.executable, "-c", "from pipeline.functions.migrate import handler; handler({}, None)"]
        waiting = subprocess.Popen(command, env=os.environ | {"DATABASE_URL": postgres_url}, stdout=subprocess.DEVNULL)
        try:
            while query(postgres_url, MIGRATING) != [{"n": 1}]:
                assert waiting.poll() is None
                time.sleep(0.05)
            time.sleep(1)  # long enough to ask for the lock, and to be refused
            second.execute("SET statement_timeout = '5s'")
            second.execute("CREATE INDEX CONCURRENTLY ON auth0.user_rows (connection)")
            first.execute("COMMIT")
            assert waiting.wait(timeout=30) == 0
        finally:
            waiting.kill()
            waiting.wait()


def test_two_at_once_take_turns(empty_postgres_url: str) -> None:
    """Two deploys, held up at the lock until both wait for it."""
    code = "from pipeline.functions.migrate import handler; print(handler({}, None)['to'])"
    with psycopg.connect(empty_postgres_url, autocommit=True, application_name="nightly") as deploy:
        for statement in (*lock.MAKE, "BEGIN", lock.TAKE):
            deploy.execute(statement)
        holder = deploy.info.backend_pid
        deploys = [
            subprocess.Popen(
                [sys.executable, "-c", code],
                env=os.environ | {"DATABASE_URL": empty_postgres_url},
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        deadline = time.monotonic() + 30
        while query(empty_postgres_url, MIGRATING) != [{"n": 2}] and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(1)  # long enough to ask for the lock, and to be refused
        assert [process.poll() for process in deploys] == [None, None]
        assert relations(empty_postgres_url) == ["alembic_version"]
    for done in deploys:
        out, log = done.communicate(timeout=30)
        assert out.splitlines()[-1:] == [HEAD], log
        assert f"process {holder}, nightly, as " in out
        assert out.count("waiting for another migration") == 1
    assert set(relations(empty_postgres_url)) >= MIGRATED
    assert {"version_num": HEAD} in query(empty_postgres_url, "SELECT version_num FROM auth0.alembic_version")


def test_error_after_a_long_wait_names_the_other_session(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lambda would end the function without a word."""
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: 2000)
    with psycopg.connect(postgres_url, autocommit=True) as other:
        other.execute("BEGIN")
        other.execute(lock.TAKE)
        began = time.monotonic()
        with pytest.raises(lock.Locked, match=rf"Try again when it is done. \(process {other.info.backend_pid}, "):
            handler({}, context)
        assert 0.9 < time.monotonic() - began < 10
    assert handler({}, context)["to"] == HEAD


def test_an_index_is_created_concurrently_while_another_migration_waits(
    empty_postgres_url: str, tmp_path: Path
) -> None:
    """Both are whole migrations here, and the first one's index takes as long as the second one's wait."""
    release = Release(tmp_path)
    migrate(Database(url=empty_postgres_url), directory=release.directory)
    new = release.product(
        "index_source",
        """with op.get_context().autocommit_block():
        op.execute("SELECT pg_sleep(2)")
        op.execute("CREATE INDEX CONCURRENTLY ix_user_rows_source ON auth0.user_rows (source)")""",
    )
    code = "import sys, pathlib; from pipeline.functions.migrate import *\n"
    code += "done = migrate(Database(url=sys.argv[1]), directory=pathlib.Path(sys.argv[2]))\n"
    code += "print(done['from'], done['to'])"
    command = [sys.executable, "-c", code, empty_postgres_url, str(release.directory)]
    both = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = sorted(each.communicate(timeout=60)[0].splitlines()[-1] for each in both)
    assert said == [f"{HEAD} {new}", f"{new} {new}"]


def test_a_migration_that_gets_no_lock_gives_up_and_changes_nothing(empty_postgres_url: str) -> None:
    """The view is dropped first, which needs no lock that is held; then the table, which does."""
    database = Database(url=empty_postgres_url)
    migrate(database, HEAD)
    before = relations(empty_postgres_url)
    began = time.monotonic()
    with psycopg.connect(empty_postgres_url) as reader:
        reader.execute("SELECT count(*) FROM auth0.users")
        with pytest.raises(sa.exc.OperationalError, match="lock timeout"):
            migrate(database, "base", allow_data_loss=True)
    assert 4 < time.monotonic() - began < 20
    assert relations(empty_postgres_url) == before
    assert query(empty_postgres_url, "SELECT version_num FROM auth0.alembic_version") == [{"version_num": HEAD}]
    assert query(empty_postgres_url, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory'") == []
    assert migrate(database, "base", allow_data_loss=True) == {"from": HEAD, "to": None}


def test_no_session_is_left_behind(postgres_url: str) -> None:
    migrate(Database(url=postgres_url))
    sessions = (
        "SELECT application_name FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    for _ in range(50):
        left = query(postgres_url, sessions)
        if not left:
            break
        time.sleep(0.05)
    assert left == []
