"""The roles on a real Postgres, made by a master user such as that of RDS."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import errors as refusals

from pipeline import roles
from pipeline.batch import collect
from pipeline.functions.migrate import migrate
from pipeline.migration import lock
from pipeline.settings import Database
from pipeline.sinks.postgres import PostgresSink, connect
from tests import aurora
from tests.emulator.support import wait_for
from tests.releases import Release
from tests.strategies import changes, log, records, updated, user

MIGRATOR, WRITER, READER, QUERY = roles.NAMES

STATE = """
    SELECT 'role', rolname::text, ARRAY[rolcanlogin, rolsuper, rolcreaterole, rolcreatedb]::text, rolconfig::text
    FROM pg_roles WHERE rolname ~ '^(auth0_|rds_|master_)'
    UNION ALL
    SELECT 'member', roleid::regrole::text, member::regrole::text, ARRAY[admin_option, inherit_option, set_option]::text
    FROM pg_auth_members WHERE roleid::regrole::text ~ '^(auth0_|rds_)'
    UNION ALL
    SELECT kind, name, '', (SELECT array_agg(entry::text ORDER BY entry::text) FROM unnest(acl) AS entry)::text
    FROM (
        SELECT 'database' AS kind, '' AS name, datacl AS acl FROM pg_database WHERE datname = current_database()
        UNION ALL SELECT 'schema', nspname, nspacl FROM pg_namespace
        UNION ALL SELECT 'default', concat(defaclrole::regrole, ' ', defaclobjtype), defaclacl FROM pg_default_acl
        UNION ALL SELECT 'relation', relname, relacl FROM pg_class WHERE relnamespace::regnamespace::text = 'auth0'
    ) AS acls
    ORDER BY 1, 2, 3, 4
"""
"""The roles and their rights."""


@pytest.fixture
def cluster(postgres_server: str) -> Iterator[Any]:
    with aurora.cluster(postgres_server) as found:
        yield found


def make_roles(cluster: Any, user: Any = aurora.MASTER, *more: Any) -> None:
    with psycopg.connect(cluster.url_of(user)) as connection:
        for statement in (*roles.statements(), *more):
            connection.execute(statement, prepare=True)  # which is one statement only, as a call of the Data API is


def migrate_as(cluster: Any, user: Any = MIGRATOR) -> Any:
    return migrate(Database(url=cluster.url_of(user)))


def write(cluster: Any, *ids: Any) -> None:
    """Write users, new and again, by the sync itself."""
    sink = PostgresSink(lambda: connect(Database(url=cluster.url_of(WRITER))))
    try:
        outcome = sink.apply(changes(*(updated(user(user_id)) for user_id in ids)))
        assert outcome.failed == {}
        assert sink.apply(changes(*(updated(user(user_id)) for user_id in ids))).duplicate == set(ids)
    finally:
        sink.close()


def read(cluster: Any) -> Any:
    return [user_id for (user_id,) in cluster.run("SELECT user_id FROM live_users ORDER BY 1", user=READER)]


def state(cluster: Any) -> Any:
    return cluster.run(STATE)


def test_roles_first_then_migrations(cluster: Any) -> None:
    make_roles(cluster)
    assert migrate_as(cluster)["to"] is not None
    write(cluster, "a|1", "a|2")
    assert read(cluster) == ["a|1", "a|2"]


def test_objects_of_a_later_migration_have_their_rights_at_once(cluster: Any, tmp_path: Path) -> None:
    make_roles(cluster)
    migrate_as(cluster)
    write(cluster, "a|1")
    release = Release(tmp_path)
    release.product(
        "history_anew",
        """op.execute("CREATE TABLE auth0.later (id int)")
    op.execute("DROP TABLE auth0.user_history CASCADE")
    op.execute("CREATE TABLE auth0.user_history (user_id text)")""",
    )
    migrate(Database(url=cluster.url_of(MIGRATOR)), directory=release.directory)
    write(cluster, "a|2")
    cluster.run("INSERT INTO auth0.user_history VALUES ('a|1')", user=WRITER)
    for table in ("user_history", "later", "users"):
        cluster.run(f"SELECT * FROM {table}", user=READER)


def test_migrations_first_then_roles(cluster: Any) -> None:
    """A server whose schema was handed over, tables and all, to the migrator."""
    cluster.run(f"CREATE ROLE {MIGRATOR} LOGIN")
    cluster.run(f"GRANT CREATE ON DATABASE {cluster.url.rpartition('/')[2]} TO {MIGRATOR}")
    migrate_as(cluster)
    make_roles(cluster)
    write(cluster, "a|1")
    assert read(cluster) == ["a|1"]


def test_history_is_written(cluster: Any) -> None:
    make_roles(cluster)
    migrate_as(cluster)
    sink = PostgresSink(lambda: connect(Database(url=cluster.url_of(WRITER))))
    try:
        from pipeline.batch import collect
        from tests.strategies import records

        batch = collect(records(updated(user("a|1"))), history=True)
        assert batch.history
        assert sink.apply(batch.changes, batch.history).failed == {}
    finally:
        sink.close()
    assert cluster.run("SELECT count(*) FROM user_history", user=READER) == [(1,)]


def test_a_second_run_changes_nothing(cluster: Any) -> None:
    make_roles(cluster)
    migrate_as(cluster)
    before = state(cluster)
    make_roles(cluster)
    assert state(cluster) == before


@pytest.mark.parametrize(
    "damage",
    [
        f"REVOKE INSERT, UPDATE ON auth0.user_rows FROM {WRITER}",
        f"REVOKE USAGE ON SCHEMA auth0 FROM {WRITER}",
        f"REVOKE SELECT ON ALL TABLES IN SCHEMA auth0 FROM {roles.READERS}",
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {MIGRATOR} REVOKE ALL ON TABLES FROM {roles.READERS}",
        f"ALTER ROLE {WRITER} NOLOGIN",
        f"REVOKE rds_iam FROM {WRITER} GRANTED BY rds_superuser",
        f"REVOKE {roles.READERS} FROM {READER} GRANTED BY {aurora.MASTER}",
        "GRANT CREATE ON SCHEMA public TO PUBLIC",
    ],
)
def test_a_second_run_repairs(cluster: Any, damage: Any) -> None:
    make_roles(cluster)
    migrate_as(cluster)
    before = state(cluster)
    with psycopg.connect(cluster.url, autocommit=True) as superuser:
        superuser.execute(damage)
    assert state(cluster) != before
    make_roles(cluster)
    assert state(cluster) == before


def test_outside_of_a_transaction_nobody_is_given_a_role(cluster: Any) -> None:
    """The master user, once a member of rds_iam, could not sign in again."""
    with cluster.connect() as master:

        def one_by_one() -> None:
            for statement in roles.statements():
                master.execute(statement)

        with pytest.raises(refusals.RaiseException, match="one transaction"):
            one_by_one()
    memberships = f"SELECT count(*) FROM pg_auth_members WHERE member = '{aurora.MASTER}'::regrole AND set_option"
    assert cluster.run(f"{memberships} AND roleid::regrole::text ~ '^auth0_'") == [(0,)]


def test_a_run_that_fails_leaves_nothing(cluster: Any) -> None:
    before = state(cluster)
    with pytest.raises(refusals.DivisionByZero):
        make_roles(cluster, aurora.MASTER, "SELECT 1/0")
    assert state(cluster) == before


def test_everybody_signs_in_by_token_but_the_master(cluster: Any) -> None:
    make_roles(cluster)
    granted = "SELECT member::regrole::text FROM pg_auth_members WHERE roleid = 'rds_iam'::regrole AND inherit_option"
    assert {member for (member,) in cluster.run(granted)} == {MIGRATOR, WRITER, READER}
    passwords = f"SELECT count(*) FROM pg_authid WHERE rolpassword IS NOT NULL AND rolname IN {roles.NAMES}"
    with psycopg.connect(cluster.url) as superuser:
        assert superuser.execute(passwords).fetchone() == (0,)
    # Were the master to inherit from a member of rds_iam, or could it take on its role, RDS would want a token of it.
    usable = f"""
        SELECT count(*) FROM pg_auth_members
        WHERE member = '{aurora.MASTER}'::regrole AND (inherit_option OR set_option)
        AND roleid::regrole::text IN {roles.NAMES}"""
    assert cluster.run(usable) == [(0,)]


def test_an_idle_writer_is_signed_out_and_comes_back(cluster: Any) -> None:
    make_roles(cluster)
    migrate_as(cluster)
    assert cluster.run("SHOW idle_session_timeout", user=WRITER) == [("5min",)]
    cluster.run(f"ALTER ROLE {WRITER} SET idle_session_timeout = '200ms'")
    sink = PostgresSink(lambda: connect(Database(url=cluster.url_of(WRITER))))
    sessions = f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{WRITER}'"
    for user_id in ("a|1", "a|2"):
        assert sink.apply(changes(updated(user(user_id)))).failed == {}
        wait_for(lambda: cluster.run(sessions) == [(0,)])
    # The first chunk is written while the next one is read, which has nothing to write.
    for batch, outcome in sink.write([records(updated(user("a|3"))), records(log("fp"))], collect):
        assert (batch.unread, outcome.failed) == ([], {})
    wait_for(lambda: cluster.run(sessions) == [(0,)])
    sink.close()
    assert cluster.run("SELECT count(*) FROM auth0.users", user=READER) == [(3,)]


def test_the_master_user_may_read_as_readers_do(cluster: Any) -> None:
    make_roles(cluster)
    migrate_as(cluster)
    write(cluster, "a|1")
    with pytest.raises(refusals.InsufficientPrivilege):
        cluster.run("SELECT user_id FROM auth0.users")
    assert cluster.run(f"SET ROLE {roles.READERS}", "SELECT user_id FROM auth0.users") == [("a|1",)]


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        (WRITER, "DELETE FROM auth0.user_rows"),
        (WRITER, "TRUNCATE auth0.user_rows"),
        (WRITER, "DROP TABLE auth0.user_rows"),
        (WRITER, "ALTER TABLE auth0.user_rows ADD COLUMN x text"),
        (WRITER, "CREATE INDEX ON auth0.user_rows (name)"),
        (WRITER, "DELETE FROM auth0.users"),
        (WRITER, "UPDATE auth0.users SET name = ''"),
        (WRITER, "SELECT * FROM auth0.live_users"),
        (WRITER, "CREATE TABLE auth0.x ()"),
        (WRITER, "CREATE TABLE public.x ()"),
        (WRITER, "CREATE TEMPORARY TABLE x ()"),
        (WRITER, "CREATE SCHEMA x"),
        (WRITER, "CREATE ROLE x"),
        (WRITER, f"SET ROLE {MIGRATOR}"),
        (READER, "SELECT * FROM user_rows"),
        (READER, "DELETE FROM user_rows"),
        (READER, "BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE"),
        (READER, "DELETE FROM users"),
        (READER, "UPDATE users SET name = ''"),
        (READER, "UPDATE live_users SET name = ''"),
        (READER, "INSERT INTO users (user_id) VALUES ('x')"),
        (READER, "CREATE TABLE x ()"),
        (READER, "CREATE TEMPORARY TABLE x ()"),
        (READER, f"SET ROLE {WRITER}"),
        (MIGRATOR, "CREATE TABLE public.x ()"),
        (MIGRATOR, "CREATE ROLE x"),
        (MIGRATOR, "CREATE DATABASE x"),
        (MIGRATOR, f"SET ROLE {WRITER}"),
        (MIGRATOR, "DROP SCHEMA public"),
    ],
)
def test_role_is_refused_other_statements(cluster: Any, role: Any, statement: Any) -> None:
    make_roles(cluster)
    migrate_as(cluster)
    write(cluster, "a|1")
    with pytest.raises(refusals.InsufficientPrivilege):
        # Read only is a reader's default, which it can change: its rights must be enough.
        cluster.run("SET default_transaction_read_only = off", statement, user=role)


def test_a_reader_does_not_write_by_mistake(cluster: Any) -> None:
    make_roles(cluster)
    with pytest.raises(refusals.ReadOnlySqlTransaction):
        cluster.run("CREATE TABLE x ()", user=READER)


@pytest.mark.parametrize("role", roles.NAMES)
def test_other_role_cannot_connect(cluster: Any, role: Any) -> None:
    make_roles(cluster)
    cluster.run("SELECT 1", user=role)
    with psycopg.connect(cluster.url, autocommit=True) as superuser:
        superuser.execute("CREATE ROLE auth0_test_stranger LOGIN")
        try:
            with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                cluster.connect("auth0_test_stranger")
        finally:
            superuser.execute("DROP ROLE auth0_test_stranger")


def test_a_person_can_be_a_reader(cluster: Any) -> None:
    make_roles(cluster)
    migrate_as(cluster)
    cluster.run("CREATE ROLE auth0_test_ada LOGIN", f"GRANT {roles.READERS}, rds_iam TO auth0_test_ada")
    try:
        assert cluster.run("SELECT count(*) FROM auth0.live_users", user="auth0_test_ada") == [(0,)]
    finally:
        cluster.run("DROP ROLE auth0_test_ada")


def test_schema_of_another_owner_is_refused(cluster: Any) -> None:
    with psycopg.connect(cluster.url, autocommit=True) as superuser:
        superuser.execute("CREATE SCHEMA auth0")
    with pytest.raises(refusals.RaiseException, match="schema auth0 belongs to") as refused:
        make_roles(cluster)
    assert "REASSIGN OWNED BY" in str(refused.value.diag.message_hint)


def test_a_superuser_of_an_own_server_can_run_it(postgres_server: str) -> None:
    """There is no rds_iam, and the superuser needs no membership."""
    with aurora.cluster(postgres_server) as cluster:
        with psycopg.connect(cluster.url, autocommit=True) as superuser:
            superuser.execute("DROP ROLE rds_iam")
        superuser_name = str(psycopg.conninfo.conninfo_to_dict(cluster.url)["user"])
        make_roles(cluster, superuser_name)
        migrate_as(cluster)
        write(cluster, "a|1")
        assert read(cluster) == ["a|1"]
        before = state(cluster)
        make_roles(cluster, superuser_name)
        assert state(cluster) == before
        memberships = "SELECT roleid::regrole::text FROM pg_auth_members WHERE member = current_user::regrole"
        assert [name for (name,) in cluster.run(memberships, user=superuser_name) if name.startswith("auth0_")] == []


def test_roles_and_migrations_take_turns(cluster: Any) -> None:
    make_roles(cluster)
    migrate_as(cluster)
    with cluster.connect(MIGRATOR) as first, cluster.connect(MIGRATOR) as second:
        first.execute("BEGIN")
        first.execute(lock.TAKE)
        [(holder,)] = cluster.run(lock.HOLDER, user=MIGRATOR)  # who may not read all of other roles' sessions
        assert holder.startswith(f"process {first.info.backend_pid}, ")
        second.execute("BEGIN")
        with pytest.raises(refusals.LockNotAvailable):
            second.execute(lock.TAKE)
        with pytest.raises(refusals.LockNotAvailable):
            make_roles(cluster)
        write(cluster, "a|1")  # the sync goes on
        assert cluster.run("SELECT count(*) FROM auth0.alembic_version", user=READER) == [(1,)]
    make_roles(cluster)


@pytest.mark.parametrize("role", [WRITER, READER, QUERY])
@pytest.mark.parametrize("mode", ["SHARE UPDATE EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE", "ROW EXCLUSIVE"])
def test_nobody_else_can_hold_up_a_deployment(cluster: Any, role: Any, mode: Any) -> None:
    make_roles(cluster)
    migrate_as(cluster)
    with cluster.connect(role) as session:
        session.execute("SET default_transaction_read_only = off")
        session.execute("BEGIN")
        with pytest.raises(refusals.InsufficientPrivilege):
            session.execute(f"LOCK TABLE auth0.alembic_version IN {mode} MODE")
        # Locks that it can take, among them an advisory one.
        session.execute("ROLLBACK")
        session.execute("BEGIN")
        if role != WRITER:
            session.execute("LOCK TABLE auth0.alembic_version, auth0.users IN ACCESS SHARE MODE")
        session.execute("SELECT pg_advisory_lock(hashtext('auth0-sync migrations'))")
        make_roles(cluster)
        assert migrate(Database(url=cluster.url_of(MIGRATOR)), deadline=time.monotonic())["to"] is not None


def test_readers_leave_connections_for_the_sync(cluster: Any) -> None:
    make_roles(cluster)
    opened = [cluster.connect(QUERY) for _ in range(20)]
    try:
        with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
            cluster.connect(QUERY)
        cluster.run("SELECT 1", user=WRITER)
    finally:
        for each in opened:
            each.close()


@pytest.mark.parametrize("role", [READER, QUERY])
def test_readers_sessions_end(cluster: Any, role: Any) -> None:
    make_roles(cluster)
    names = ("statement_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout")
    with cluster.connect(role) as session:
        assert [session.execute(f"SHOW {name}").fetchone()[0] for name in names] == ["5min", "5min", "1h"]


@pytest.mark.parametrize("role", [READER, QUERY, WRITER])
def test_what_a_role_stores_beside_the_tables_is_named(cluster: Any, role: Any) -> None:
    """Postgres lets everybody make large objects, and only a superuser can change that."""
    make_roles(cluster)
    cluster.run("SET default_transaction_read_only = off", "SELECT lo_from_bytea(0, 'kept')", user=role)
    try:
        assert cluster.run(roles.REPORT) == [(f"{role} owns 1 large objects",)]
    finally:
        with psycopg.connect(cluster.url) as superuser:
            superuser.execute("SELECT lo_unlink(oid) FROM pg_largeobject_metadata")


def test_many_at_once(cluster: Any) -> None:
    """Each tries again, as the function does."""
    start = threading.Barrier(4)

    def run() -> None:
        start.wait(10)
        while True:
            try:
                make_roles(cluster)
            except refusals.LockNotAvailable:
                continue
            except refusals.InternalError_ as error:
                if "tuple concurrently" not in str(error):
                    raise
            else:
                return

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(run) for _ in range(4)]:
            done.result(60)
    migrate_as(cluster)
    write(cluster, "a|1")


def test_statements_are_as_the_data_api_can_read_them() -> None:
    """The Data API takes `:name` for a parameter, in comments too, and one statement a call."""
    for statement in roles.statements():
        assert "--" not in statement
        assert ":" not in statement.replace("::", "")
        assert statement.count("$$") in (0, 2)
