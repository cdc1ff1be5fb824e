"""What a smoke test can see of each store, by whichever way leads to it."""

import base64
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from devstack.traffic import DEFAULT_SOURCE
from pipeline import data_api, roles, settings
from pipeline.changes import Signal, read
from pipeline.deploy import smoke, stores, synthetic
from pipeline.functions.migrate import migrate
from pipeline.settings import Database
from pipeline.sinks.dynamodb import DynamoDBSink
from pipeline.sinks.postgres import PostgresSink, connect
from tests import aurora
from tests.emulator.support import Aws, name
from tests.invoking import Function, sync_function

NOW = datetime(2026, 11, 25, 10, 0, tzinfo=UTC)
OLDER = synthetic.created(synthetic.SOURCE, NOW - timedelta(seconds=1))
NEW = synthetic.created(synthetic.SOURCE, NOW)
ADVICE = "set it to 1 in the cluster's parameter group"
GONE = synthetic.deleted(synthetic.SOURCE, NOW + timedelta(milliseconds=1))


def test_the_events_are_ordered_and_of_one_user() -> None:
    assert OLDER.version < NEW.version < GONE.version
    assert {change.user_id for event in (OLDER, NEW, GONE) for change in read(event.body)} == {synthetic.USER}


def test_events_that_are_sent_say_who_sent_them() -> None:
    sent = [json.loads(event.body) for event in (OLDER, NEW, GONE)]
    assert {(event["source"], event["detail-type"]) for event in sent} == {("auth0-sync/doctor", "auth0-sync doctor")}
    assert {change.source for event in (OLDER, NEW, GONE) for change in read(event.body)} == {"doctor"}  # type: ignore[union-attr]


def test_sample_for_a_rules_pattern_is_auth0s_in_all_fields() -> None:
    sample = json.loads(synthetic.created(DEFAULT_SOURCE, NOW).body)
    assert (sample["source"], sample["detail-type"]) == (DEFAULT_SOURCE, "Auth0 log")
    assert {"id", "account", "time", "region", "resources"} <= sample.keys()


def test_a_login_is_a_signal_only() -> None:
    assert read(synthetic.login(DEFAULT_SOURCE, NOW)) == (Signal(synthetic.USER, "s"),)


class TestBySync:
    """The function as it is deployed, in this process."""

    @pytest.fixture
    def function(self, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Function]:
        with sync_function(monkeypatch, SINK="postgres", DATABASE_URL=postgres_url) as function:
            yield function

    def store(self, function: Function, *, tail: bool = True) -> stores.BySync:
        class Lambda:
            def invoke(self, FunctionName: str, Payload: str, LogType: str) -> dict[str, Any]:  # noqa: N803
                assert (FunctionName, LogType) == ("sync", "Tail")
                before = len(function.output)
                function.invoke(json.loads(Payload)["Records"])
                log = function.output[before:].encode()[-4096:] if tail else b""
                answer = io.BytesIO(b'{"batchItemFailures": []}')
                return {"Payload": answer, "LogResult": base64.b64encode(log).decode()}

        return stores.BySync(Lambda(), "sync")

    def test_has_what_came_by_the_queue_and_nothing_else(self, function: Function) -> None:
        store = self.store(function)
        assert not store.has(NEW, OLDER)
        assert not store.has(NEW, OLDER)
        function(NEW.body)
        assert store.has(NEW, OLDER)
        assert not store.has(GONE, NEW)
        function(GONE.body)
        assert store.has(GONE, NEW)
        assert not store.has(NEW, OLDER)

    def test_a_newer_version_of_somebody_else_is_not_taken_for_it(self, function: Function) -> None:
        function(GONE.body)
        assert not self.store(function).has(NEW, OLDER)

    def test_a_log_without_metrics_is_said_and_asked_for_again(self, function: Function) -> None:
        store = self.store(function, tail=False)
        assert not store.has(NEW, OLDER)
        assert "no metrics" in store.problem

    def test_a_function_that_fails_is_asked_again_and_quoted(self) -> None:
        class Lambda:
            def invoke(self, **_: Any) -> dict[str, Any]:
                said = b'{"errorMessage": "The store cannot be reached", "errorType": "StoreDown"}'
                return {"Payload": io.BytesIO(said), "FunctionError": "Unhandled"}

        store = stores.BySync(Lambda(), "sync")
        assert not store.has(NEW, OLDER)
        assert store.problem == "the function says: StoreDown: The store cannot be reached"


class TestAurora:
    @pytest.fixture
    def cluster(self, postgres_server: str) -> Iterator[aurora.Cluster]:
        with aurora.cluster(postgres_server) as cluster:
            with psycopg.connect(cluster.url_of(aurora.MASTER)) as master:
                for statement in roles.statements():
                    master.execute(statement)
            migrate(Database(url=cluster.url_of("auth0_migrator")))
            yield cluster

    @pytest.fixture
    def api(self, cluster: aurora.Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[aurora.DataApi]:
        with aurora.data_api(cluster) as api:
            for variable, value in (aurora.ENVIRONMENT | {"AWS_ENDPOINT_URL": api.endpoint}).items():
                monkeypatch.setenv(variable, value)
            yield api

    def test_is_read_as_a_reader(self, cluster: aurora.Cluster, api: aurora.DataApi) -> None:
        import boto3

        store = stores.Aurora(boto3.client("rds-data"), settings.Cluster.from_env())
        sink = PostgresSink(lambda: connect(Database(url=cluster.url_of("auth0_writer"))))
        assert not store.has(NEW, OLDER)
        for event, before in ((NEW, OLDER), (GONE, NEW)):
            [change] = read(event.body)
            sink.apply([change])  # type: ignore[list-item]
            assert store.has(event, before)
        assert not store.has(NEW, OLDER)
        sink.close()
        assert ("Execute", f"SET LOCAL ROLE {roles.READERS}") in api.calls
        assert api.open_transactions == 0

    def test_one_that_resumes_is_asked_again(self, api: aurora.DataApi) -> None:
        import boto3

        store = stores.Aurora(boto3.client("rds-data"), settings.Cluster.from_env())
        api.faults.append(aurora.Fault("DatabaseResumingException", "it is being resumed"))
        assert not store.has(NEW, OLDER)
        assert "it is being resumed" in store.problem
        api.faults.append(aurora.Fault("AccessDeniedException", "not authorized", 403))
        with pytest.raises(data_api.NotAllowed):
            store.has(NEW, OLDER)

    @pytest.mark.parametrize(
        ("value", "verdict"), [("1", "ok"), ("on", "ok"), ("0", "bad"), ("off", "bad"), (None, "bad")]
    )
    def test_smoke_test_wants_tls_for_everybody(
        self, cluster: aurora.Cluster, api: aurora.DataApi, value: str | None, verdict: str
    ) -> None:
        import boto3

        if value is not None:
            with psycopg.connect(cluster.url, autocommit=True) as superuser:
                superuser.execute(f"ALTER ROLE {aurora.MASTER} SET rds.force_ssl = '{value}'")
        outputs = {"cluster_arn": aurora.ARN, "master_secret_arn": aurora.SECRET_ARN, "name": aurora.DATABASE}
        deployed = smoke.Deployed({"region": "eu-central-1", "database": outputs}, lambda *_: boto3.client("rds-data"))
        api.faults.append(aurora.Fault("DatabaseResumingException", "it is being resumed"))
        [check] = smoke._database(deployed, 10)
        assert check.verdict == verdict
        assert check.detail == ("" if verdict == "ok" else f"rds.force_ssl is {value}: {ADVICE}")


def test_the_table_is_read(aws: Aws) -> None:
    dynamodb, table = aws.client("dynamodb"), name("users")
    dynamodb.create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "user_id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "user_id", "AttributeType": "S"}],
    )
    store, sink = stores.Table(dynamodb, table), DynamoDBSink(dynamodb, table)
    assert not store.has(NEW, OLDER)
    for event, before in ((NEW, OLDER), (GONE, NEW)):
        [change] = read(event.body)
        sink.apply([change])  # type: ignore[list-item]
        assert store.has(event, before)
    assert not store.has(NEW, OLDER)


class TestWait:
    class Slow:
        how = problem = ""

        def __init__(self, looks: int) -> None:
            self.looks = looks

        def has(self, event: synthetic.Event, before: synthetic.Event) -> bool:
            self.looks -= 1
            return self.looks < 0

    def test_until_it_is_there_or_time_is_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(stores, "AGAIN", 0.0)
        assert stores.wait(self.Slow(3), NEW, OLDER, 10) is not None
        assert stores.wait(self.Slow(1 << 30), NEW, OLDER, 0.01) is None


def test_metrics_are_found_at_the_end_of_a_log() -> None:
    emf = json.dumps({"_aws": {"Timestamp": 1}, "Applied": [1.0], "Stale": [0.0], "sink": "postgres"})
    log = f'f": 1}}\nSTART\n{{"message": "batch"}}\n{emf}\nREPORT RequestId: 1\n'
    assert stores.metrics(log) == {"Applied": 1.0, "Stale": 0.0}
    assert stores.metrics("START\nREPORT") == {}
    assert stores.metrics(emf[5:]) == {}
