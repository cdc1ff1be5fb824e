"""The roles function, by the AWS SDK, against a Data API with a real Postgres behind it."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pipeline import data_api, roles
from pipeline.errors import BadSettings
from pipeline.functions import roles as function
from pipeline.functions.migrate import migrate
from pipeline.migration import lock
from pipeline.settings import Cluster, Database
from tests import aurora
from tests.aurora import Fault

RESUMING = Fault("DatabaseResumingException", "The Aurora DB instance is resuming after being auto-paused.")
MADE = "SELECT count(*) FROM pg_roles WHERE rolname ~ '^auth0_'"


class Context:
    def __init__(self, seconds: Any = 60.0) -> None:
        self.ends = time.monotonic() + seconds

    def get_remaining_time_in_millis(self) -> Any:
        return int((self.ends - time.monotonic()) * 1000)


@pytest.fixture
def api(postgres_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(data_api, "PAUSE", 0.01)
    with aurora.cluster(postgres_server) as cluster, aurora.data_api(cluster) as found:
        for name, value in (aurora.ENVIRONMENT | {"AWS_ENDPOINT_URL": found.endpoint}).items():
            monkeypatch.setenv(name, value)
        function.data_api.cache_clear()
        function.secrets_manager.cache_clear()
        yield found
        function.data_api.cache_clear()
        function.secrets_manager.cache_clear()


def operations(api: Any) -> Any:
    return [operation for operation, _ in api.calls]


def test_roles_and_then_migrations(api: Any) -> None:
    found = ["auth0_migrator", "auth0_writer", "auth0_reader", "auth0_query"]
    assert function.handler({}, Context()) == {"roles": found, "others": []}
    assert api.open_transactions == 0
    assert migrate(Database(url=api.cluster.url_of("auth0_migrator")))["to"] is not None
    assert api.cluster.run("SELECT count(*) FROM auth0.users", user="auth0_writer") == [(0,)]
    assert api.cluster.run("SELECT count(*) FROM live_users", user="auth0_reader") == [(0,)]


def test_second_invocation_succeeds(api: Any) -> None:
    function.handler({}, Context())
    assert function.handler({"any": "thing"}, Context())["roles"]


def test_function_waits_for_a_paused_cluster(api: Any) -> None:
    api.faults = [RESUMING] * 5
    function.handler({}, Context())
    assert operations(api)[:6] == ["BeginTransaction"] * 6
    assert api.cluster.run(MADE) == [(len(roles.NAMES) + 1,)]


@pytest.mark.parametrize(
    "fault",
    [
        Fault("BadRequestException", "Communications link failure\n\nThe last packet sent successfully"),
        Fault("StatementTimeoutException", "Request timed out"),
        Fault("DatabaseUnavailableException", status=504),
        Fault("DatabaseNotFoundException", "DBCluster has no instance", 404),
        Fault("InternalServerErrorException", status=500),
        Fault("DatabaseErrorException", "FATAL: the database system is starting up; SQLState: 57P03"),
        Fault("DatabaseErrorException", "ERROR: tuple concurrently updated; SQLState: XX000"),
    ],
)
@pytest.mark.parametrize("call", [0, 1, 5])
def test_temporary_error_restarts_the_transaction(
    api: Any, fault: Any, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error may hit any call: the beginning, the lock, or a statement."""
    answer = api._answer

    def faulty(operation: Any, body: Any) -> Any:
        if len(api.calls) == call:
            api.faults = [fault]
        return answer(operation, body)

    monkeypatch.setattr(api, "_answer", faulty)
    function.handler({}, Context())
    assert operations(api).count("BeginTransaction") == 2
    assert operations(api)[-1] == "CommitTransaction"
    assert api.cluster.run(MADE) == [(len(roles.NAMES) + 1,)]


def test_function_gives_up_before_its_timeout(api: Any) -> None:
    api.faults = [RESUMING] * 1000
    context = Context(function.RESERVE + 0.3)
    with pytest.raises(data_api.Unavailable, match=r"Try again in a minute.*DatabaseResumingException"):
        function.handler({}, context)
    assert context.get_remaining_time_in_millis() > (function.RESERVE - 1) * 1000
    assert api.cluster.run(MADE) == [(0,)]


def test_function_waits_for_a_migration_and_names_it(api: Any) -> None:
    function.handler({}, Context())
    migrate(Database(url=api.cluster.url_of("auth0_migrator")))
    before = api.secrets[aurora.QUERY_SECRET_ARN]
    with api.cluster.connect("auth0_migrator") as other:
        other.execute("BEGIN")
        other.execute(lock.TAKE)
        with pytest.raises(function.Locked, match="Another deployment"):
            function.handler({}, Context(function.RESERVE + 0.5))
        assert api.open_transactions == 0
    assert api.secrets[aurora.QUERY_SECRET_ARN] == before
    function.handler({}, Context())


def query(api: Any, sql: str) -> Any:
    """Run a query as people do with the secret, in a transaction of its own."""
    with data_api.Transaction(function.data_api(), Cluster.from_env()) as transaction:
        transaction.execute("SET TRANSACTION READ WRITE")
        return transaction.execute(sql).rows


def test_people_read_with_a_password_that_each_run_renews(api: Any) -> None:
    function.handler({}, Context())
    migrate(Database(url=api.cluster.url_of("auth0_migrator")))
    first = json.loads(api.secrets[aurora.QUERY_SECRET_ARN])
    assert query(api, "SELECT current_user::text, count(*) FROM live_users GROUP BY 1") == []
    assert query(api, "SELECT current_user::text") == [("auth0_query",)]
    function.handler({}, Context())
    second = json.loads(api.secrets[aurora.QUERY_SECRET_ARN])
    assert query(api, "SELECT count(*) FROM live_users") == [(0,)]
    assert first["username"] == second["username"] == "auth0_query"
    assert first["password"] != second["password"]
    assert min(len(each["password"]) for each in (first, second)) >= 43  # 256 bits
    api.secrets[aurora.QUERY_SECRET_ARN] = json.dumps(first)
    with pytest.raises(data_api.DataApiError):
        query(api, "SELECT 1")


def test_the_password_is_in_no_statement_and_no_log(api: Any, capfd: pytest.CaptureFixture[str]) -> None:
    function.handler({}, Context())
    password = json.loads(api.secrets[aurora.QUERY_SECRET_ARN])["password"]
    for code in (password, password.encode().hex()):
        assert not [sql for _, sql in api.calls if code in sql]
        assert code not in "".join(capfd.readouterr())


def test_the_old_password_stays_if_the_new_one_cannot_be_stored(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    function.handler({}, Context())
    monkeypatch.setattr(function, "PROPAGATION", 0.1)
    monkeypatch.setenv("QUERY_SECRET_ARN", aurora.SECRET_ARN)
    with pytest.raises(data_api.NotAllowed):
        function.handler({}, Context())
    monkeypatch.setenv("QUERY_SECRET_ARN", aurora.QUERY_SECRET_ARN)
    assert query(api, "SELECT current_user::text") == [("auth0_query",)]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO auth0.user_rows (user_id, updated_at, version, source, event_id) VALUES ('a', now(), '', '', '')",
        "UPDATE auth0.user_rows SET blocked = false",
        "DELETE FROM auth0.user_rows",
        "TRUNCATE auth0.user_rows",
        "INSERT INTO auth0.user_history SELECT * FROM auth0.user_history",
        "UPDATE auth0.alembic_version SET version_num = '0001'",
        "DROP TABLE auth0.user_rows",
        "CREATE TABLE auth0.x ()",
        "CREATE TABLE public.x ()",
        "CREATE TEMPORARY TABLE x ()",
        "CREATE SCHEMA x",
        "CREATE ROLE x",
        "CREATE FUNCTION public.x() RETURNS int LANGUAGE sql RETURN 1",
        "ALTER ROLE auth0_writer PASSWORD 'x'",
        "GRANT auth0_writer TO auth0_query",
        "SET ROLE auth0_writer",
        "SET ROLE auth0_migrator",
        "SET ROLE auth0_reader",
        f"SET ROLE {aurora.MASTER}",
        "SET SESSION AUTHORIZATION auth0_writer",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'auth0_writer'",
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE usename = 'auth0_migrator'",
        "LOCK TABLE auth0.user_rows IN ROW EXCLUSIVE MODE",
        "LOCK TABLE auth0.alembic_version IN SHARE UPDATE EXCLUSIVE MODE",
        "COPY auth0.user_rows TO '/tmp/users'",
        "SELECT pg_read_file('/etc/passwd')",
    ],
)
def test_holder_of_the_query_secret_can_only_read(api: Any, statement: Any) -> None:
    function.handler({}, Context())
    migrate(Database(url=api.cluster.url_of("auth0_migrator")))
    with api.cluster.connect("auth0_writer") as writer, api.cluster.connect("auth0_migrator"):
        with pytest.raises(data_api.Refused, match=r"permission denied|must be owner|42501"):
            query(api, statement)
        writer.execute("SELECT 1")


def test_others_with_rights_are_named(api: Any) -> None:
    function.handler({}, Context())
    migrate(Database(url=api.cluster.url_of("auth0_migrator")))
    with api.cluster.connect("postgres") as superuser:
        superuser.execute("CREATE ROLE ada LOGIN")
        try:
            superuser.execute("GRANT auth0_readers TO ada")
            superuser.execute("GRANT SELECT ON auth0.live_users TO ada")
            assert function.handler({}, Context())["others"] == [
                "ada is a member of auth0_readers",
                "ada may SELECT auth0.live_users",
            ]
        finally:
            superuser.execute("DROP OWNED BY ada")
            superuser.execute("DROP ROLE ada")


USER = "User: arn:aws:sts::123456789012:assumed-role/auth0-sync-prod-roles/roles is not authorized to perform: "


@pytest.mark.parametrize(
    "fault",
    [
        Fault("AccessDeniedException", f"{USER}rds-data:BeginTransaction on resource: {aurora.ARN}", 403),
        Fault("ForbiddenException", f"{USER}secretsmanager:GetSecretValue on resource: {aurora.SECRET_ARN}", 403),
        Fault("BadRequestException", f"{USER}secretsmanager:GetSecretValue on resource: {aurora.SECRET_ARN}"),
        Fault("BadRequestException", "Access to KMS is not allowed (Service: AWSSecretsManager; Status Code: 400)"),
    ],
)
def test_function_waits_for_a_new_policy(api: Any, fault: Any) -> None:
    """IAM takes seconds, at times a minute, to apply what a first deployment has just written."""
    api.faults = [fault] * 3
    function.handler({}, Context())
    assert operations(api)[:4] == ["BeginTransaction"] * 4
    assert api.cluster.run(MADE) == [(len(roles.NAMES) + 1,)]


def test_missing_right_is_named_before_the_timeout(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASTER_SECRET_ARN", aurora.SECRET_ARN + "-other")
    monkeypatch.setattr(function, "PROPAGATION", 0.3)
    context = Context(1000)
    with pytest.raises(data_api.NotAllowed, match="secretsmanager:GetSecretValue"):
        function.handler({}, context)
    assert len(operations(api)) > 1
    assert context.get_remaining_time_in_millis() > 900 * 1000


def test_a_function_whose_time_ends_does_not_wait_for_iam(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASTER_SECRET_ARN", aurora.SECRET_ARN + "-other")
    with pytest.raises(data_api.NotAllowed):
        function.handler({}, Context(function.RESERVE))
    assert operations(api) == ["BeginTransaction"]


def test_refused_statement_is_rolled_back_and_reported(api: Any) -> None:
    with api.cluster.connect("postgres") as superuser:
        superuser.execute("CREATE SCHEMA auth0")
    with pytest.raises(data_api.Refused, match="schema auth0 belongs to"):
        function.handler({}, Context())
    assert operations(api)[-1] == "RollbackTransaction"
    assert api.open_transactions == 0
    assert api.cluster.run(MADE) == [(0,)]


def test_unreachable_address_is_unavailable(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    function.data_api.cache_clear()
    with pytest.raises(data_api.Unavailable, match="EndpointConnectionError"):
        function.handler({}, Context(function.RESERVE + 0.3))


@pytest.mark.parametrize("name", ["CLUSTER_ARN", "MASTER_SECRET_ARN", "QUERY_SECRET_ARN", "PGDATABASE"])
def test_a_missing_setting_is_named(api: Any, monkeypatch: pytest.MonkeyPatch, name: Any) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(BadSettings, match=name):
        function.handler({}, Context())
