"""Probes of each store, by every way into it."""

import base64
import io
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import boto3
import pytest

from devstack.traffic import DEFAULT_SOURCE
from pipeline import data_api, settings
from pipeline.changes import Signal, read
from pipeline.doctor import synthetic
from pipeline.doctor.probes import Invoking, Reading, metrics, wait
from pipeline.stores.aurora import DataApi
from pipeline.stores.postgres import PostgresStore
from tests import aurora
from tests.doctor.support import NOW, FakeClock
from tests.invoking import Function, sync_function
from tests.stores.conftest import Stored
from tests.strategies import changes

OLDER = synthetic.created(synthetic.SOURCE, NOW - timedelta(seconds=1))
NEW = synthetic.created(synthetic.SOURCE, NOW)
GONE = synthetic.deleted(synthetic.SOURCE, NOW + timedelta(milliseconds=1))


def test_the_events_are_ordered_and_of_one_user() -> None:
    assert OLDER.version < NEW.version < GONE.version
    assert {change.user_id for event in (OLDER, NEW, GONE) for change in changes(event.body)} == {synthetic.USER}


def test_sent_events_name_the_doctor_as_source() -> None:
    sent = [json.loads(event.body) for event in (OLDER, NEW, GONE)]
    assert {(event["source"], event["detail-type"]) for event in sent} == {("auth0-sync/doctor", "auth0-sync doctor")}
    assert {change.source for event in (OLDER, NEW, GONE) for change in changes(event.body)} == {"doctor"}


def test_sample_for_a_rules_pattern_is_auth0s_in_all_fields() -> None:
    sample = json.loads(synthetic.created(DEFAULT_SOURCE, NOW).body)
    assert (sample["source"], sample["detail-type"]) == (DEFAULT_SOURCE, "Auth0 log")
    assert {"id", "account", "time", "region", "resources"} <= sample.keys()


def test_a_login_is_a_signal_only() -> None:
    assert read(synthetic.login(DEFAULT_SOURCE, NOW)) == (Signal(synthetic.USER, "s"),)


class TestInvoking:
    """The function as it is deployed, in this process."""

    @pytest.fixture
    def function(self, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Function]:
        with sync_function(monkeypatch, SINK="postgres", DATABASE_URL=postgres_url) as function:
            yield function

    def probe(self, function: Function, *, tail: bool = True) -> Invoking:
        class Lambda:
            def invoke(self, FunctionName: str, Payload: str, LogType: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
                assert (FunctionName, LogType) == ("sync", "Tail")
                before = len(function.output)
                function.invoke(json.loads(Payload)["Records"])
                log = function.output[before:].encode()[-4096:] if tail else b""
                answer = io.BytesIO(b'{"batchItemFailures": []}')
                return {"Payload": answer, "LogResult": base64.b64encode(log).decode()}

        return Invoking(Lambda(), "sync")

    def test_probe_finds_only_the_event_that_arrived_by_the_queue(self, function: Function) -> None:
        probe = self.probe(function)
        assert not probe.has(NEW, OLDER)
        assert not probe.has(NEW, OLDER)
        function(NEW.body)
        assert probe.has(NEW, OLDER)
        assert not probe.has(GONE, NEW)
        function(GONE.body)
        assert probe.has(GONE, NEW)
        assert not probe.has(NEW, OLDER)

    def test_newer_version_does_not_count_as_the_sent_event(self, function: Function) -> None:
        function(GONE.body)
        assert not self.probe(function).has(NEW, OLDER)

    def test_missing_metrics_in_a_log_are_reported(self, function: Function) -> None:
        probe = self.probe(function, tail=False)
        assert not probe.has(NEW, OLDER)
        assert "no metrics" in probe.problem

    def test_error_of_a_function_is_reported(self) -> None:
        class Lambda:
            def invoke(self, **_: Any) -> dict[str, Any]:
                said = b'{"errorMessage": "The store cannot be reached", "errorType": "StoreDown"}'
                return {"Payload": io.BytesIO(said), "FunctionError": "Unhandled"}

        probe = Invoking(Lambda(), "sync")
        assert not probe.has(NEW, OLDER)
        assert probe.problem == "the function says: StoreDown: The store cannot be reached"


def test_reading_probe_compares_the_stored_version(stored: Stored) -> None:
    probe = Reading(stored.store, "SELECT")
    assert not probe.has(NEW, OLDER)
    for event, before in ((NEW, OLDER), (GONE, NEW)):
        stored.apply(event.body)
        assert probe.has(event, before)
    assert not probe.has(NEW, OLDER)


@pytest.mark.usefixtures("in_aurora")
def test_resuming_cluster_is_queried_again(api: aurora.DataApi) -> None:
    store = PostgresStore(DataApi(boto3.client("rds-data"), settings.Cluster.from_env(), resume=0))
    probe = Reading(store, "SELECT")
    api.faults.append(aurora.Fault("DatabaseResumingException", "it is being resumed"))
    assert not probe.has(NEW, OLDER)
    assert "it is being resumed" in probe.problem
    assert not probe.has(NEW, OLDER)
    assert probe.problem == ""
    api.faults.append(aurora.Fault("AccessDeniedException", "not authorized", 403))
    with pytest.raises(data_api.NotAllowed):
        probe.has(NEW, OLDER)


class Slow:
    how = problem = ""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    def has(self, event: synthetic.Event, before: synthetic.Event) -> bool:
        self.looks -= 1
        return self.looks < 0


def test_a_probe_looks_until_the_event_is_there_or_time_is_up() -> None:
    assert wait(Slow(3), NEW, OLDER, 10, FakeClock()) == 6
    assert wait(Slow(0), NEW, OLDER, 0, FakeClock()) == 0
    clock = FakeClock()
    assert wait(Slow(1 << 30), NEW, OLDER, 10, clock) is None
    assert clock.slept == 12


def test_metrics_are_found_at_the_end_of_a_log() -> None:
    metric = {"_aws": {"Timestamp": 1}, "Applied": [1.0], "Stale": [0.0], "sink": "postgres"}
    emf = json.dumps({"message": "batch", "applied": 1, "milliseconds": 5} | metric)
    log = f'f": 1}}\nSTART\n{emf}\nREPORT RequestId: 1\n'
    assert metrics(log) == {"Applied": 1.0, "Stale": 0.0}
    assert metrics("START\nREPORT") == {}
    assert metrics(emf[5:]) == {}
