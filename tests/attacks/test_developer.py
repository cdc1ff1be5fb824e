"""A developer of the company, who may read users from DynamoDB and Postgres."""

import psycopg
import pytest

from .actors import ATTEMPTS, Actor, Target, person

pytestmark = [pytest.mark.stack, pytest.mark.emulator, pytest.mark.postgres]

FORBIDDEN_SQL = (
    "UPDATE auth0.users SET name = 'x'",
    "DELETE FROM auth0.live_users",
    "LOCK TABLE auth0.users IN ACCESS EXCLUSIVE MODE",
    "SELECT * FROM auth0.user_rows",
    "UPDATE auth0.user_rows SET profile = '{}'",
    "DELETE FROM auth0.user_rows",
    "TRUNCATE auth0.user_rows",
    "INSERT INTO auth0.user_history SELECT * FROM auth0.user_history",
    "UPDATE auth0.alembic_version SET version_num = 'base'",
    "LOCK TABLE auth0.user_rows IN ACCESS EXCLUSIVE MODE",
    "DROP SCHEMA auth0 CASCADE",
    "CREATE TABLE auth0.mine ()",
    "CREATE TABLE public.mine ()",
    "CREATE TEMPORARY TABLE mine ()",
    "CREATE ROLE mine",
    "SET ROLE auth0_writer",
    "SET ROLE auth0_migrator",
    "GRANT auth0_writer TO auth0_reader",
    "ALTER ROLE auth0_reader CREATEROLE",
    "SELECT pg_read_file('/etc/passwd')",
    "COPY auth0.user_rows TO PROGRAM 'cat'",
)


@pytest.fixture(scope="module")
def developer(target: Target) -> Actor:
    policies = [target.output(name) for name in ("users_table_reader_policy", "database_query_policy")]
    return person(target, "attacks-developer", *filter(None, policies))


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_developer_changes_nothing(developer: Actor, attempt: str) -> None:
    assert not developer.may_attempt(attempt)


@pytest.mark.parametrize("login", ["auth0_reader", "auth0_query"])
@pytest.mark.parametrize("statement", FORBIDDEN_SQL)
def test_reading_logins_write_nothing(target: Target, login: str, statement: str) -> None:
    with psycopg.connect(target.stack.url_of(login)) as connection:
        connection.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE")  # read-only is only a default
        connection.commit()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)


@pytest.mark.parametrize("login", ["auth0_reader", "auth0_query"])
def test_reading_logins_read(target: Target, login: str) -> None:
    with psycopg.connect(target.stack.url_of(login)) as connection:
        assert connection.execute("SELECT count(*) > 0 FROM auth0.live_users").fetchone() == (True,)
