"""The rights of the roles equal the documentation, and after any drift those of a new database."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import errors as refusals
from psycopg import sql

from pipeline import roles
from pipeline.functions.migrate import migrate
from pipeline.settings import Database
from tests import aurora
from tests.releases import Release

MIGRATOR, WRITER, READER, QUERY = roles.NAMES
OURS = (*roles.NAMES, roles.READERS)
STRANGER = "auth0_test_stranger"
DOCS = Path(__file__).parents[2] / "docs/database.md"

TABLES = ("user_rows", "user_history", "alembic_version")
VIEWS = ("users", "live_users", "metadata_keys", "metadata_history")
RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")

STATE = """
    WITH ours AS (SELECT oid, rolname FROM pg_roles WHERE rolname = ANY (%(ours)s))
    SELECT 'role', rolname::text, ARRAY[
        rolcanlogin, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls, rolinherit
    ]::text, concat_ws(' ', rolconnlimit, coalesce(rolvaliduntil, 'infinity'), rolconfig::text)
    FROM pg_roles WHERE oid IN (SELECT oid FROM ours)
    UNION SELECT 'setting', setrole::regrole::text, setconfig::text, ''
    FROM pg_db_role_setting WHERE setrole IN (SELECT oid FROM ours) AND setdatabase <> 0
    UNION SELECT 'password', rolname::text, '', '' FROM pg_authid
    WHERE oid IN (SELECT oid FROM ours) AND rolpassword IS NOT NULL
    UNION SELECT 'member', roleid::regrole::text, member::regrole::text,
        ARRAY[admin_option, inherit_option, set_option]::text
    FROM pg_auth_members WHERE member IN (SELECT oid FROM ours)
    UNION SELECT 'owner', kind, name, owner::regrole::text FROM (
        SELECT 'database' AS kind, '' AS name, datdba AS owner FROM pg_database WHERE datname = current_database()
        UNION ALL SELECT 'schema', nspname, nspowner FROM pg_namespace WHERE nspname IN ('auth0', 'public')
        UNION ALL SELECT 'relation', relname, relowner FROM pg_class WHERE relnamespace = 'auth0'::regnamespace
        UNION ALL SELECT 'function', proname, proowner FROM pg_proc WHERE pronamespace = 'auth0'::regnamespace
    ) AS owned
    UNION SELECT kind, name, coalesce(nullif(grantee, 0)::regrole::text, 'PUBLIC'),
        concat_ws(' ', privilege_type, is_grantable)
    FROM (
        SELECT 'database' AS kind, '' AS name, coalesce(datacl, acldefault('d', datdba)) AS acl
        FROM pg_database WHERE datname = current_database()
        UNION ALL SELECT 'schema', nspname, coalesce(nspacl, acldefault('n', nspowner))
        FROM pg_namespace WHERE nspname IN ('auth0', 'public')
        UNION ALL SELECT 'relation', relname, coalesce(relacl, acldefault('r', relowner))
        FROM pg_class WHERE relnamespace = 'auth0'::regnamespace AND relkind IN ('r', 'v')
        UNION ALL SELECT 'column', relname || '.' || attname, attacl
        FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid WHERE relnamespace = 'auth0'::regnamespace
        UNION ALL SELECT 'function', proname, coalesce(proacl, acldefault('f', proowner))
        FROM pg_proc WHERE pronamespace = 'auth0'::regnamespace
        UNION ALL SELECT 'default', concat_ws(' ', defaclnamespace::regnamespace, defaclobjtype), defaclacl
        FROM pg_default_acl WHERE defaclrole = 'auth0_migrator'::regrole
    ) AS acls CROSS JOIN LATERAL aclexplode(acl)
    WHERE grantee = 0 OR grantee IN (SELECT oid FROM ours)
    ORDER BY 1, 2, 3, 4
"""
"""The roles' attributes, their possessions, and the rights of them and of everybody."""


def make_roles(cluster: aurora.Cluster, user: str) -> None:
    with psycopg.connect(cluster.url_of(user)) as connection:
        for statement in roles.statements():
            connection.execute(statement, prepare=True)


def state(connection: psycopg.Connection) -> Any:
    return set(connection.execute(STATE, {"ours": list(OURS)}).fetchall())


class Drifting:
    """A cluster with roles and schema, and the administrator who makes the roles."""

    def __init__(self, cluster: aurora.Cluster, administrator: str) -> None:
        self.cluster, self.administrator = cluster, administrator
        make_roles(cluster, administrator)
        migrate(Database(url=cluster.url_of(MIGRATOR)))
        make_roles(cluster, administrator)
        self.superuser = psycopg.connect(cluster.url, autocommit=True)
        self.superuser.execute(f"CREATE ROLE {STRANGER} LOGIN")
        self.superuser.execute(f'ALTER DATABASE "{self.superuser.info.dbname}" OWNER TO {administrator}')
        self.fresh = state(self.superuser)

    def restore(self) -> Any:
        make_roles(self.cluster, self.administrator)
        return state(self.superuser)


@contextmanager
def drifting(server: str, *, by_superuser: bool) -> Iterator[Drifting]:
    with aurora.cluster(server) as cluster:
        name = str(psycopg.conninfo.conninfo_to_dict(cluster.url)["user"]) if by_superuser else aurora.MASTER
        made = Drifting(cluster, name)
        try:
            yield made
        finally:
            made.superuser.execute(f"DROP OWNED BY {STRANGER}")
            made.superuser.execute(f"DROP ROLE {STRANGER}")
            made.superuser.close()


@pytest.fixture(scope="module")
def made(postgres_server: str, request: pytest.FixtureRequest) -> Iterator[Drifting]:
    """Yield one cluster at a time, because roles are the server's."""
    with drifting(postgres_server, by_superuser=request.param == "superuser") as found:
        yield found


rds = pytest.mark.parametrize("made", ["master user"], indirect=True)
"""The master user makes the roles, and is no superuser."""
own_server = pytest.mark.parametrize("made", ["superuser"], indirect=True)
"""A superuser makes the roles, and may have changed everything."""


def rows_of_the_page() -> dict[str, tuple[str, str]]:
    """Return the table in docs/database.md: the rights of the sync and of the readers, by row."""
    page = DOCS.read_text("utf-8").partition("| on | `auth0_writer` |")[2].partition("\n\n")[0]
    cells = [[cell.strip() for cell in line.split("|")[1:4]] for line in page.splitlines()[2:]]
    return {name: (writer, readers) for name, writer, readers in cells}


@rds
def test_the_documented_matrix_is_that_of_the_database(made: Drifting) -> None:
    rows = rows_of_the_page()
    others = rows.pop("`alembic_version`, the other views, tables of your own")
    assert rows.pop("functions") == ("`EXECUTE`", "`EXECUTE`")
    assert set(rows) == {"`user_rows`", "`users`", "`user_history`"}
    for relation in (*TABLES, *VIEWS):
        row = rows.get(f"`{relation}`", others)
        for role, cell in (
            (WRITER, row[0]),
            (roles.READERS, row[1]),
            (READER, row[1]),
            (QUERY, row[1]),
            (STRANGER, ""),
        ):
            held = {
                right
                for right in RIGHTS
                if made.superuser.execute(
                    "SELECT has_table_privilege(%s, %s, %s)", [role, f"auth0.{relation}", right]
                ).fetchone()
                == (True,)
            }
            assert held == set(re.findall(r"`(\w+)`", cell)), (role, relation)


@rds
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE auth0.user_history SET actor = 'alice'",
        "DELETE FROM auth0.user_history",
        "TRUNCATE auth0.user_history",
        "SELECT * FROM auth0.alembic_version",
        "UPDATE auth0.alembic_version SET version_num = '0001'",
        "INSERT INTO auth0.alembic_version VALUES ('9999')",
        "DELETE FROM auth0.user_rows",
        "ALTER TABLE auth0.user_history DISABLE TRIGGER ALL",
        "CREATE RULE hide AS ON INSERT TO auth0.user_history DO INSTEAD NOTHING",
    ],
)
def test_the_sync_cannot_rewrite_history_or_the_schemas_version(made: Drifting, statement: str) -> None:
    with made.cluster.connect(WRITER) as writer, pytest.raises(refusals.InsufficientPrivilege):
        writer.execute(statement)


MINE = "CREATE TABLE auth0.mine (id int); CREATE SCHEMA sales CREATE TABLE sales.mine (id int)"


@rds
def test_own_tables_are_for_readers_alone(made: Drifting, tmp_path: Path) -> None:
    release = Release(tmp_path)
    own = release.own("mine", f"op.execute({MINE!r})", 'op.execute("DROP TABLE auth0.mine; DROP SCHEMA sales CASCADE")')
    target = Database(url=made.cluster.url_of(MIGRATOR))
    migrate(target, own, directory=release.directory)
    try:
        for table in ("auth0.mine", "sales.mine"):
            with made.cluster.connect(QUERY) as reader:
                assert reader.execute(f"SELECT * FROM {table}").fetchall() == []
            with made.cluster.connect(WRITER) as writer, pytest.raises(refusals.InsufficientPrivilege):
                writer.execute(f"INSERT INTO {table} VALUES (1)")
        made.cluster.run(
            f"GRANT INSERT ON sales.mine TO {WRITER}", f"GRANT USAGE ON SCHEMA sales TO {WRITER}", user=MIGRATOR
        )
        made.restore()
        made.cluster.run(
            "INSERT INTO sales.mine VALUES (1)", user=WRITER
        )  # the user's own schema, the user's own rights
    finally:
        migrate(target, "own@base", allow_data_loss=True, directory=release.directory)


# Drift

ours, grantees = st.sampled_from(OURS), st.sampled_from((*OURS, "PUBLIC", STRANGER))
logins = st.sampled_from(roles.NAMES)
relations = st.sampled_from([f"auth0.{name}" for name in (*TABLES, *VIEWS)])


def drawn(template: str, **choices: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.fixed_dictionaries(choices).map(lambda drawn: template.format(**drawn))


def by_migrator(template: str, **choices: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return drawn(f"SET ROLE auth0_migrator; {template}", **choices)


TABLE_RIGHTS = st.sampled_from(("ALL", "DELETE", "TRUNCATE", "INSERT", "UPDATE", "SELECT", "TRIGGER", "REFERENCES"))
KINDS = st.sampled_from(("TABLES", "ROUTINES", "SEQUENCES", "TYPES", "SCHEMAS"))

# A master user of RDS, and anybody who signs in as auth0_migrator, can do these too.
RIGHTS_DRIFT = (
    by_migrator("GRANT {right} ON {on} TO {to}", right=TABLE_RIGHTS, on=relations, to=grantees),
    by_migrator(
        "GRANT {right} ON {on} TO {to} WITH GRANT OPTION",
        right=TABLE_RIGHTS,
        on=relations,
        to=st.sampled_from((*OURS, STRANGER)),
    ),
    by_migrator("REVOKE {right} ON {on} FROM {to} CASCADE", right=TABLE_RIGHTS, on=relations, to=grantees),
    by_migrator(
        "GRANT UPDATE (user_id) ON {on} TO {to}", on=relations.filter(lambda name: "users" in name), to=grantees
    ),
    by_migrator(
        "GRANT {right} ON SCHEMA auth0 TO {to}", right=st.sampled_from(("CREATE", "USAGE", "ALL")), to=grantees
    ),
    by_migrator("REVOKE ALL ON SCHEMA auth0 FROM {to} CASCADE", to=grantees),
    by_migrator("GRANT EXECUTE ON FUNCTION auth0.as_text(jsonb) TO {to}", to=grantees),
    by_migrator("REVOKE ALL ON FUNCTION auth0.as_text(jsonb) FROM {to} CASCADE", to=grantees),
    by_migrator(
        "ALTER DEFAULT PRIVILEGES GRANT ALL ON {kind} TO {to}", kind=KINDS, to=st.sampled_from((*OURS, "PUBLIC"))
    ),
    by_migrator(
        "ALTER DEFAULT PRIVILEGES IN SCHEMA auth0 GRANT ALL ON {kind} TO {to}",
        kind=st.sampled_from(("TABLES", "ROUTINES", "SEQUENCES", "TYPES")),
        to=st.sampled_from((*OURS, "PUBLIC")),
    ),
    by_migrator("ALTER DEFAULT PRIVILEGES REVOKE ALL ON {kind} FROM {to}", kind=KINDS, to=grantees),
    drawn("SET ROLE auth0_writer; GRANT SELECT ON auth0.user_rows TO {to}", to=grantees),
)
MASTERS_DRIFT = (
    drawn(
        "GRANT {right} ON DATABASE {{database}} TO {to}", right=st.sampled_from(("CREATE", "TEMPORARY", "ALL")), to=ours
    ),
    drawn("GRANT ALL ON SCHEMA public TO {to}", to=st.sampled_from((*OURS,))),
    drawn("GRANT CREATE ON SCHEMA public TO PUBLIC"),
    drawn("REVOKE ALL ON DATABASE {{database}} FROM {to} CASCADE", to=ours),
    drawn(
        "ALTER ROLE {role} {attribute}",
        role=ours,
        attribute=st.sampled_from(
            (
                "LOGIN",
                "NOLOGIN",
                "NOINHERIT",
                "CREATEROLE",
                "CREATEDB",
                "CONNECTION LIMIT 0",
                "PASSWORD 'x'",
                "VALID UNTIL '2020-01-01'",
            )
        ),
    ),
    drawn(
        "ALTER ROLE {role} SET {setting}",
        role=ours,
        setting=st.sampled_from(
            (
                "search_path = public",
                "default_transaction_read_only = off",
                "statement_timeout = 0",
                "row_security = off",
                "idle_session_timeout = 0",
            )
        ),
    ),
    drawn("ALTER ROLE {role} IN DATABASE {{database}} SET search_path = public", role=ours),
    drawn("ALTER ROLE {role} RESET ALL", role=ours),
    st.tuples(ours, ours)
    .filter(lambda pair: pair[0] != pair[1])
    .map(lambda pair: f"GRANT {pair[0]} TO {pair[1]} WITH ADMIN TRUE"),
    drawn("REVOKE auth0_readers FROM {role}", role=logins),
    drawn("REVOKE rds_iam FROM {role}", role=logins),
    drawn("GRANT rds_iam TO {role}", role=ours),
)
SUPERUSERS_DRIFT = (
    drawn(
        "ALTER ROLE {role} {attribute}", role=ours, attribute=st.sampled_from(("SUPERUSER", "REPLICATION", "BYPASSRLS"))
    ),
    drawn(
        "GRANT {role} TO {to}",
        role=st.sampled_from(
            ("pg_read_all_data", "pg_write_all_data", "pg_signal_backend", "pg_execute_server_program")
        ),
        to=ours,
    ),
    drawn("ALTER TABLE {on} OWNER TO {to}", on=st.sampled_from([f"auth0.{name}" for name in TABLES]), to=ours),
    drawn("ALTER VIEW auth0.live_users OWNER TO {to}", to=ours),
    drawn("ALTER FUNCTION auth0.as_text(jsonb) OWNER TO {to}", to=ours),
    drawn("ALTER SCHEMA auth0 OWNER TO {to}", to=ours),
    drawn("ALTER DATABASE {{database}} OWNER TO {to}", to=ours),
)


def drift(made: Drifting, statements: list[str]) -> None:
    """Run each as the administrator; one that Postgres refuses, such as a circle of memberships, changes nothing."""
    database = sql.Identifier(made.superuser.info.dbname).as_string(made.superuser)
    for statement in statements:
        first = () if statement.startswith("SET ROLE") else (f"SET ROLE {made.administrator}",)
        for part in (*first, *statement.split("; ")):
            try:
                made.superuser.execute(part.replace("{database}", database))
            except psycopg.DatabaseError:
                break
        made.superuser.execute("RESET ROLE")


SLOW = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


@own_server
@SLOW
@given(st.lists(st.one_of(*RIGHTS_DRIFT, *MASTERS_DRIFT, *SUPERUSERS_DRIFT), min_size=1, max_size=8))
def test_after_any_drift_a_superuser_restores_the_rights_of_a_new_database(
    made: Drifting, statements: list[str]
) -> None:
    drift(made, statements)
    assert made.restore() ^ made.fresh == set()


@rds
@SLOW
@given(st.lists(st.one_of(*RIGHTS_DRIFT, *MASTERS_DRIFT), min_size=1, max_size=8))
def test_after_the_drift_of_a_master_user_the_function_restores_them(made: Drifting, statements: list[str]) -> None:
    drift(made, statements)
    assert made.restore() ^ made.fresh == set()


@own_server
def test_a_table_with_sequences_comes_back_to_the_migrator(made: Drifting) -> None:
    table = "auth0.mine (id serial PRIMARY KEY, other int GENERATED ALWAYS AS IDENTITY)"
    made.superuser.execute(f"CREATE TABLE {table}")
    try:
        made.restore()
        owners = "SELECT DISTINCT relowner::regrole::text FROM pg_class WHERE relname ~ '^mine'"
        assert made.superuser.execute(owners).fetchall() == [(MIGRATOR,)]
    finally:
        made.superuser.execute("DROP TABLE auth0.mine")
