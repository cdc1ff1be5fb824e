"""Whoever has taken over a function, by its dependencies or its input: the rights are those of the function's role."""

import psycopg
import pytest

from .actors import ATTEMPTS, Target, function

pytestmark = [pytest.mark.stack, pytest.mark.emulator, pytest.mark.postgres]

MAY = {
    "sync-postgres": set[str](),
    "sync-dynamodb": {"put a user into the table"},
    "refresh": {"send a change to Postgres", "send a change to DynamoDB", "read the secret of Auth0"},
    "backfill": set[str](),
}
"""What the function is there for. What the sinks believe of the refresh: see tests/unit/test_senders.py."""

FORBIDDEN_SQL = (
    "UPDATE auth0.user_history SET actor = 'nobody'",
    "DELETE FROM auth0.user_history",
    "DELETE FROM auth0.users",
    "UPDATE auth0.live_users SET name = 'x'",
    "DELETE FROM auth0.user_rows",
    "TRUNCATE auth0.user_rows",
    "UPDATE auth0.alembic_version SET version_num = 'base'",
    "DELETE FROM auth0.alembic_version",
    "ALTER TABLE auth0.user_rows DISABLE TRIGGER ALL",
    "DROP TABLE auth0.user_rows",
    "CREATE TABLE auth0.mine ()",
    "CREATE TEMPORARY TABLE mine ()",
    "SET ROLE auth0_migrator",
    "CREATE ROLE mine",
    "COPY auth0.user_rows TO PROGRAM 'cat'",
)


@pytest.mark.parametrize("attempt", ATTEMPTS)
@pytest.mark.parametrize("name", MAY)
def test_function_does_only_its_own_work(target: Target, name: str, attempt: str) -> None:
    assert function(target, name).may_attempt(attempt) is (attempt in MAY[name])


@pytest.mark.parametrize("statement", FORBIDDEN_SQL)
def test_writer_cannot_rewrite_the_past(target: Target, statement: str) -> None:
    with (
        psycopg.connect(target.stack.url_of("auth0_writer")) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement)
