"""`auth0-sync catch-up` on the emulator's queues, with the sync's code behind them, against the generator's model."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from typer.testing import CliRunner, Result

from devstack.traffic import Event, ExpectedState, Traffic, differences
from pipeline.cli import app
from pipeline.functions.sync import Sync
from pipeline.senders import Senders
from pipeline.settings import Database
from pipeline.sinks.dynamodb import DynamoDBSink
from pipeline.sinks.postgres import PostgresSink, connect
from pipeline.stores import Store
from pipeline.stores.dynamodb import DynamoDBStore
from pipeline.stores.postgres import PostgresStore
from pipeline.stores.server import Server
from tests.emulator.support import REGION, Aws, name, users_table, wait_for
from tests.refresh.events_api import offset_of
from tests.refresh.management_api import CLIENT_ID, CLIENT_SECRET, DOMAIN, ManagementApi
from tests.strategies import EVENTS_SOURCE, Json, streamed, text, user

pytestmark = pytest.mark.emulator

STORES = ("postgres", "dynamodb")


class Deployment:
    """Two queues, and the command on them."""

    def __init__(self, aws: Aws, environment: dict[str, str], place: Path) -> None:
        self.aws, self.name, self.environment, self.place = aws, name("auth0-sync"), environment, place
        self.urls = {store: self._queue(store) for store in STORES}

    def _queue(self, store: str) -> str:
        return str(self.aws.sqs.create_queue(QueueName=f"{self.name}-{store}")["QueueUrl"])

    def arguments(self, *more: str) -> list[str]:
        where = ["--deployment", self.name, "--place", str(self.place), "--quiet", "1"]
        return ["catch-up", *where, *(more if "--since" in more else ("--since", "2h", *more))]

    def result(self, *more: str) -> Result:
        return CliRunner().invoke(app, self.arguments(*more))

    def run(self, *more: str, code: int = 0) -> Json:
        result = self.result(*more, "--json")
        assert result.exit_code == code, (result.output, result.exception)
        report: Json = json.loads(result.stdout)
        return report

    def put(self, event: Json) -> None:
        """Send a live event, as EventBridge does."""
        for url in self.urls.values():
            self.aws.sqs.send_message(QueueUrl=url, MessageBody=text(event))

    def waiting(self) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = [
            self.aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
            for url in self.urls.values()
        ]
        return sum(int(number) for attributes in found for number in attributes.values())


@pytest.fixture
def auth0() -> Iterator[ManagementApi]:
    api = ManagementApi()
    yield api
    api.close()


@pytest.fixture
def deployment(aws: Aws, auth0: ManagementApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Deployment:
    environment = {
        "AWS_ENDPOINT_URL": aws.emulator.endpoint, "AWS_DEFAULT_REGION": REGION, "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AUTH0_BASE_URL": auth0.url,
        "AUTH0_DOMAIN": DOMAIN, "AUTH0_CLIENT_ID": CLIENT_ID, "AUTH0_CLIENT_SECRET": CLIENT_SECRET,
    }  # fmt: skip
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.delenv("LOG_STREAM_SOURCE", raising=False)
    return Deployment(aws, environment, tmp_path / "place.json")


@pytest.fixture
def stores(aws: Aws, postgres_url: str) -> Iterator[dict[str, tuple[Sync, Store]]]:
    """The sync's function and the reader of each store, by its name."""
    client, table = aws.client("dynamodb"), users_table(aws.client("dynamodb"))
    postgres, dynamodb = PostgresSink(lambda: connect(Database(url=postgres_url))), DynamoDBSink(client, table)
    silent: Any = {"log": MagicMock(), "measure": lambda *_: None}
    senders = Senders(frozenset({EVENTS_SOURCE}))
    with Server(Database(url=postgres_url)) as server:
        yield {
            "postgres": (Sync(postgres, "postgres", senders=senders, **silent), PostgresStore(server)),
            "dynamodb": (Sync(dynamodb, "dynamodb", senders=senders, **silent), DynamoDBStore(client, table)),
        }
    postgres.close()
    dynamodb.close()


@contextmanager
def functions(deployment: Deployment, stores: dict[str, tuple[Sync, Store]]) -> Iterator[None]:
    """Take the messages in the queues, as Lambda does."""
    stop = threading.Event()

    def work(store: str) -> None:
        sqs, url = deployment.aws.client("sqs"), deployment.urls[store]
        while not stop.is_set():
            found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"]).get(
                "Messages", []
            )
            records = [
                {"messageId": one["MessageId"], "body": one["Body"], "attributes": one["Attributes"]} for one in found
            ]
            if records:
                failed = {each["itemIdentifier"] for each in stores[store][0](records)["batchItemFailures"]}
                assert not failed
                entries = [{"Id": str(n), "ReceiptHandle": one["ReceiptHandle"]} for n, one in enumerate(found)]
                sqs.delete_message_batch(QueueUrl=url, Entries=entries)
            stop.wait(0.02)

    threads = [threading.Thread(target=work, args=[store]) for store in STORES]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def cloud_event(event: Event) -> Json:
    """The event of an Event Stream for a change that the generator has made."""
    change = event.change
    assert change is not None
    moment = change.date.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    item: Json = change.user or {"user_id": change.user_id, "deleted_at": moment}
    kind = "user.updated" if change.user else "user.deleted"
    return {"specversion": "1.0", "id": event.log_id, "type": kind, "time": moment, "data": {"object": item}}


def keep_absent_keys(expected: ExpectedState, deliveries: list[Event]) -> None:
    """Let the model keep what an event does not carry: an Event Stream's event need not have the whole user."""
    profiles: dict[str, Json] = {}
    changes = [(one.change, one.log_id) for one in deliveries if one.change]
    for change, _ in sorted(changes, key=lambda pair: (pair[0].version, not pair[0].user, pair[0].date, pair[1])):
        profiles[change.user_id] = profiles.get(change.user_id, {}) | change.user if change.user else {}
    for user_id in expected.live:
        expected.edit(user_id, profiles[user_id])


def test_a_stream_that_was_disabled_for_an_hour(
    deployment: Deployment, auth0: ManagementApi, stores: dict[str, tuple[Sync, Store]]
) -> None:
    """The Event Stream delivers a quarter of an hour, then nothing for an hour, then again, during the catch-up."""
    start = datetime.now(UTC) - timedelta(minutes=100)
    traffic = Traffic(events=2600, users=60, seed=11, start=start)
    deliveries = [one for one in traffic if not one.attempt and one.change]
    events = sorted(map(cloud_event, deliveries), key=lambda each: str(each["time"]))
    off, on = (start + timedelta(minutes=minutes) for minutes in (15, 75))
    at = [datetime.fromisoformat(each["time"]) for each in events]
    missed = [each for each, moment in zip(events, at, strict=True) if off <= moment < on]
    live = [each for each, moment in zip(events, at, strict=True) if not off <= moment < on]
    assert len(missed) > 200
    auth0.events.events, auth0.events.per_connection = events, 97
    auth0.events.cuts.extend([5000, 0, 70_001])
    with functions(deployment, stores):

        def go_on() -> None:
            for each in live:
                put = streamed(each["type"], each["data"]["object"], event_id=each["id"], time=each["time"])
                deployment.put(put)

        thread = threading.Thread(target=go_on)
        thread.start()
        report = deployment.run("--since", f"{off:%Y-%m-%dT%H:%M:%SZ}")
        thread.join()
        assert wait_for(lambda: deployment.waiting() == 0, 120)
    assert report["caught_up"]
    assert sum(report["events"].values()) >= len(missed)
    assert {*report["events"]} == {"user.updated", "user.deleted"}
    expected = traffic.expected
    keep_absent_keys(expected, deliveries)
    found = {
        store: {user_id: reader.read(user_id) or {} for user_id in {*expected.live, *expected.deleted}}
        for store, (_, reader) in stores.items()
    }
    assert [*differences.of_postgres(expected, found["postgres"])] == []
    assert [*differences.of_dynamodb(expected, found["dynamodb"])] == []
    for _, reader in stores.values():
        assert {user_id for user_id, _ in reader.versions()} == {*expected.live, *expected.deleted}


def recent(count: int) -> list[Json]:
    """Events of the last hour."""
    moments = [datetime.now(UTC) - timedelta(minutes=60, seconds=-number / 10) for number in range(count)]
    return [
        {
            "id": f"evt_{number}",
            "type": "user.updated",
            "time": moment.isoformat(timespec="milliseconds"),
            "data": {"object": user(f"auth0|{number}")},
        }
        for number, moment in enumerate(moments)
    ]


def bodies(deployment: Deployment, store: str) -> list[Json]:
    found: list[Json] = []
    url = deployment.urls[store]
    while messages := deployment.aws.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        found += [json.loads(one["Body"]) for one in messages]
        for one in messages:
            deployment.aws.sqs.delete_message(QueueUrl=url, ReceiptHandle=one["ReceiptHandle"])
    return found


def test_the_next_run_begins_where_this_one_ended(deployment: Deployment, auth0: ManagementApi) -> None:
    auth0.events.events = recent(30)
    assert deployment.run()["sent"] == {"postgres": 30, "dynamodb": 30}
    assert deployment.result("--restart").stdout.endswith("Sent to postgres: 30\nSent to dynamodb: 30\n")
    assert {one["source"] for one in bodies(deployment, "postgres")} == {"auth0-sync/auth0.events"}
    auth0.events.events += recent(3)
    again = deployment.run("--since", "5m")
    assert (again["events"], again["resumed"]) == ({"user.updated": 3}, True)
    assert deployment.run("--restart")["sent"] == {"postgres": 33, "dynamodb": 33}


def test_the_run_after_a_restart_that_failed_begins_at_its_time(deployment: Deployment, auth0: ManagementApi) -> None:
    """The restart may be for events of long ago that a store did not take."""
    auth0.events.events = recent(9)
    deployment.run()
    assert deployment.result("--restart", "--deployment", "auth0-sync-none").exit_code == 1
    report = deployment.run()
    assert (report["resumed"], report["sent"]["postgres"]) == (False, 9)


def test_a_dry_run_counts_and_keeps_nothing(deployment: Deployment, auth0: ManagementApi) -> None:
    auth0.events.events = recent(12)
    report = deployment.run("--dry-run")
    assert (report["events"], report["sent"]) == ({"user.updated": 12}, {})
    assert deployment.waiting() == 0
    assert not deployment.place.exists()
    assert "user.updated: 12" in deployment.result("--dry-run").stdout


def test_a_run_that_was_killed_goes_on(deployment: Deployment, auth0: ManagementApi) -> None:
    auth0.events.events, auth0.events.per_event = recent(300), 0.01
    command = [sys.executable, "-c", "from pipeline.cli import main; main()", *deployment.arguments("--since", "2h")]
    with subprocess.Popen(command, env=os.environ | deployment.environment, stdout=subprocess.DEVNULL) as process:
        assert wait_for(deployment.place.exists, 60)
        time.sleep(0.3)  # of the 3 that Auth0 takes for the events, so that the kill comes between two of them
        process.send_signal(signal.SIGKILL)
    auth0.events.per_event = 0
    assert wait_for(lambda: auth0.events.open == 0, 10)
    report = deployment.run()
    assert report["resumed"]
    assert 0 < report["events"]["user.updated"] < 300
    for store in STORES:
        ids = [one["detail"]["id"] for one in bodies(deployment, store)]
        assert {*ids} == {f"evt_{number}" for number in range(300)}
        assert len(ids) < 450


def test_a_time_that_auth0_no_longer_keeps_says_what_to_do(deployment: Deployment, auth0: ManagementApi) -> None:
    auth0.events.events, auth0.events.first = recent(9), 4
    result = deployment.result("--since", "2026-01-15T10:00:00Z")
    said = str(result.exception)
    assert result.exit_code == 1
    assert "no longer keeps the events from 2026-01-15T10:00:00Z on" in said
    assert all(word in said for word in ("docs/backfill.md", "reconcile --export", "--restart"))
    begin = f"{datetime.now(UTC) - timedelta(hours=3):%Y-%m-%dT%H:%M:%SZ}"
    place = {"domain": DOMAIN, "since": begin, "offset": offset_of(1), "reached": begin}
    deployment.place.write_text(json.dumps(place))
    assert f"The queues have the events before {begin}" in str(deployment.result().exception)


def test_a_queue_that_is_missing_stops_it_before_auth0_is_read(deployment: Deployment, auth0: ManagementApi) -> None:
    result = deployment.result("--deployment", "auth0-sync-none")
    assert "there is no queue auth0-sync-none-postgres" in str(result.exception)
    assert auth0.events.begins == []


def test_an_event_that_a_queue_refuses_means_exit_code_3(deployment: Deployment, auth0: ManagementApi) -> None:
    auth0.events.events = recent(3)
    limit = {"MaximumMessageSize": "1024"}
    deployment.aws.sqs.set_queue_attributes(QueueUrl=deployment.urls["postgres"], Attributes=limit)
    auth0.events.events[1]["data"]["object"]["x"] = "y" * 1024
    report = deployment.run(code=3)
    assert report["sent"] == {"postgres": 2, "dynamodb": 3}
    assert report["refused"] == {"postgres: ResourceNotFoundException": 1}  # it has no function
    assert report["refused_from"][:19] == auth0.events.events[1]["time"][:19]


def test_the_missing_permission_is_named(deployment: Deployment, auth0: ManagementApi) -> None:
    auth0.scopes.discard("read:events")
    assert "lacks permissions of the Auth0 Management API: read:events" in str(deployment.result().exception)


def test_another_tenant_than_the_deployments_is_refused(deployment: Deployment, auth0: ManagementApi) -> None:
    source = "aws.partner/auth0.com/other-8b47abb4-0c52-4a5f-9a26-000000000000/auth0.logs"
    assert f"mirrors the tenant of {source}" in str(deployment.result("--log-stream-source", source).exception)
    assert auth0.requests == []


@pytest.mark.parametrize("since", ["yesterday", "2h30", "2999-01-01", "99999999d", "-1h", ""])
def test_a_time_that_is_none_is_a_usage_error(deployment: Deployment, since: str) -> None:
    assert deployment.result("--since", since).exit_code == 2


def test_a_second_run_on_the_same_machine_is_refused(deployment: Deployment, auth0: ManagementApi) -> None:
    auth0.events.events, auth0.events.most = recent(3), 2
    command = [sys.executable, "-c", "from pipeline.cli import main; main()", *deployment.arguments("--quiet", "20")]
    with subprocess.Popen(command, env=os.environ | deployment.environment, stdout=subprocess.DEVNULL) as process:
        assert wait_for(deployment.place.exists, 60)
        assert "Another catch-up" in str(deployment.result().exception)
        process.kill()
