"""The roles function, by the AWS SDK, against a Data API with a real Postgres behind it."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from pipeline import data_api, roles
from pipeline.errors import BadSettings
from pipeline.functions import roles as function
from pipeline.functions.migrate import migrate
from pipeline.migration import lock
from pipeline.settings import Database
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
        yield found
        function.data_api.cache_clear()


def operations(api: Any) -> Any:
    return [operation for operation, _ in api.calls]


def test_roles_and_then_migrations(api: Any) -> None:
    assert function.handler({}, Context()) == {"roles": ["auth0_migrator", "auth0_writer", "auth0_reader"]}
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
    """Whichever call it happens to: the one that begins, takes the lock, or makes something."""
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


def test_function_waits_for_another_deployment_and_names_it(api: Any) -> None:
    with api.cluster.connect() as other:
        other.execute(lock.TRY)
        with pytest.raises(function.Locked, match="Another deployment"):
            function.handler({}, Context(function.RESERVE + 0.5))
        assert api.open_transactions == 0
    function.handler({}, Context())


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


@pytest.mark.parametrize("name", ["CLUSTER_ARN", "MASTER_SECRET_ARN", "PGDATABASE"])
def test_a_missing_setting_is_named(api: Any, monkeypatch: pytest.MonkeyPatch, name: Any) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(BadSettings, match=name):
        function.handler({}, Context())
