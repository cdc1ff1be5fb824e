"""Events of the archive into the queues again, and what Firehose could not archive into its stream."""

import base64
import gzip
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from typer.testing import CliRunner

from pipeline.archive import replay
from pipeline.cli import app
from pipeline.delivery import Sent
from pipeline.delivery.consumers import Consumer
from pipeline.delivery.errors import QueueDown
from pipeline.delivery.queue import Queue
from tests.cli.test_undelivered import Deployment, archived, deployment, make_stream
from tests.emulator.support import wait_for
from tests.strategies import deleted, log, text, updated, user

__all__ = ["deployment"]

pytestmark = pytest.mark.emulator

DAY = "2026-11-22"
HOURS = {
    "2026-11-21T23": [text(updated(user("auth0|late")))],
    f"{DAY}T08": [text(updated(user(f"auth0|{number}"))) for number in range(25)],
    f"{DAY}T09": [
        text(deleted("auth0|1")),
        text(log("s", user_id="auth0|1")),
        text(log("scp", user_id="auth0|2")),
        text(log("fp")),
        "not JSON",
    ],
    "2026-11-23T00": [text(updated(user("auth0|next")))],
}


class Archive:
    """A deployment with a filled archive."""

    def __init__(self, on: Deployment) -> None:
        self.on, self.bucket = on, on.aws.bucket()
        self.urls = {which: on.queue(which) for which in ("postgres", "dynamodb", "refresh")}
        for hour, events in HOURS.items():
            day, _, number = hour.partition("T")
            content = gzip.compress("".join(f"{event}\n" for event in events).encode())
            key = f"logs/dt={day}/hour={number}/1.json.gz"
            on.aws.s3.put_object(Bucket=self.bucket, Key=key, Body=content)
        on.aws.s3.put_object(Bucket=self.bucket, Key=f"errors/dt={DAY}/1.json.gz", Body=b"not of the archive")

    def run(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        where = ["--deployment", self.on.name, "--bucket", self.bucket, "--prefix", "logs/"]
        result = CliRunner().invoke(app, ["replay", *where, *arguments, "--json"])
        assert result.exit_code == code, (result.output, result.exception)
        report: dict[str, Any] = json.loads(result.stdout)
        return report

    def bodies(self, which: str, count: int) -> list[str]:
        return sorted(message["Body"] for message in self.on.aws.messages(self.urls[which], count))


@pytest.fixture
def archive(deployment: Deployment) -> Archive:
    return Archive(deployment)


def test_changes_of_a_period_go_to_both_sinks(archive: Archive) -> None:
    report = archive.run("--since", f"{DAY}T08:30", "--until", f"{DAY}T09")
    changes = sorted([*HOURS[f"{DAY}T08"], HOURS[f"{DAY}T09"][0]])
    assert (report["objects"], report["events"], report["unreadable"]) == (2, 30, {"NotJson": 1})
    assert report["wanted"] == report["sent"] == {"postgres": 26, "dynamodb": 26}
    assert (report["refused"], report["resume"], report["invoked"]) == ({}, None, {})
    assert archive.bodies("postgres", 26) == archive.bodies("dynamodb", 26) == changes
    assert archive.on.waiting(archive.urls["refresh"]) == 0


def test_an_hour_begins_in_the_object_before_it(archive: Archive) -> None:
    assert archive.run("--since", DAY, "--until", DAY, "--dry-run")["events"] == 31
    assert archive.run("--since", f"{DAY}T09", "--until", f"{DAY}T09", "--dry-run")["events"] == 30
    assert archive.run("--since", f"{DAY}T09:15", "--until", f"{DAY}T09", "--dry-run")["events"] == 5
    assert archive.run("--since", f"{DAY}T10:15+01:00", "--until", f"{DAY}T09", "--dry-run")["events"] == 5
    assert archive.run("--since", f"{DAY}T23:30", "--dry-run")["events"] == 1


def test_one_user_one_sink_or_only_a_look(archive: Archive) -> None:
    report = archive.run("--since", DAY, "--user", "auth0|1", "--sink", "postgres")
    assert report["sent"] == {"postgres": 2}
    assert archive.on.waiting(archive.urls["dynamodb"]) == 0
    looked = archive.run("--since", DAY, "--dry-run")
    assert (looked["wanted"], looked["sent"]) == ({"postgres": 28, "dynamodb": 28}, {})
    assert archive.on.waiting(archive.urls["postgres"]) == 2


def test_the_refresh_gets_the_events_that_only_name_a_user(archive: Archive) -> None:
    assert archive.run("--since", DAY, "--sink", "refresh")["sent"] == {"refresh": 1}
    assert archive.bodies("refresh", 1) == [HOURS[f"{DAY}T09"][2]]


class DownForFullBatches(Queue):
    def send(self, bodies: Sequence[str], delays: Sequence[int] = ()) -> Sent:
        down = Sent(dict.fromkeys(range(len(bodies)), QueueDown()))
        return down if len(bodies) == 10 else super().send(bodies, delays)


def test_a_queue_that_is_down_stops_it_and_it_says_where_to_go_on(archive: Archive) -> None:
    aws, report = archive.on.aws, replay.Report()
    objects = list(replay.keys(aws.s3, archive.bucket, "logs/", *replay.period(DAY, "2026-11-23", datetime.now(UTC))))
    down = DownForFullBatches(aws.sqs, archive.urls["postgres"])
    replay.replay(aws.s3, archive.bucket, objects, {Consumer.POSTGRES: down}, report)
    assert (report.refused, report.resume) == ({"postgres: QueueDown": 20}, f"{DAY}T08")
    assert report.sent == {"postgres": 6}
    assert report.resume is not None
    assert archive.run("--since", report.resume, "--sink", "postgres")["resume"] is None
    found = {json.loads(body)["id"] for body in archive.bodies("postgres", 33)}
    assert found >= {json.loads(event)["id"] for event in HOURS[f"{DAY}T08"]}


def test_message_that_a_queue_refuses_means_exit_code_3(archive: Archive) -> None:
    limit = {"MaximumMessageSize": "1024"}
    archive.on.aws.sqs.set_queue_attributes(QueueUrl=archive.urls["postgres"], Attributes=limit)
    report = archive.run("--since", DAY, "--user", "auth0|3", code=3)
    assert report["sent"] == {"postgres": 0, "dynamodb": 1}
    assert report["refused"] == {"postgres: ResourceNotFoundException": 1}  # it has no function


def test_dry_run_counts_events_over_the_queues_limit(archive: Archive) -> None:
    [event] = [event for event in HOURS[f"{DAY}T08"] if '"auth0|3"' in event]
    assert len(event.encode()) > 1024
    limit = {"MaximumMessageSize": "1024"}
    archive.on.aws.sqs.set_queue_attributes(QueueUrl=archive.urls["postgres"], Attributes=limit)
    report = archive.run("--since", DAY, "--dry-run", "--user", "auth0|3")
    assert report["too_large"] == {"postgres": 1, "dynamodb": 0}


def test_impossible_period_is_a_usage_error(archive: Archive) -> None:
    where = ["--deployment", archive.on.name, "--bucket", archive.bucket, "--prefix", "logs/"]
    for period in (["--since", "yesterday"], ["--since", DAY, "--until", "2026-11-21"]):
        assert CliRunner().invoke(app, ["replay", *where, *period]).exit_code == 2
    now = datetime(2026, 11, 22, 10, tzinfo=UTC)
    assert replay.period(DAY, None, now) == (datetime(2026, 11, 22, tzinfo=UTC), now)


def test_people_see_what_was_done(archive: Archive) -> None:
    where = ["--deployment", archive.on.name, "--bucket", archive.bucket, "--prefix", "logs/", "--since", DAY]
    looked = CliRunner().invoke(app, ["replay", *where, "--dry-run"]).stdout
    assert "for postgres: 28" in looked
    assert "unreadable, NotJson: 1" in looked
    assert "Nothing was sent" in looked
    done = CliRunner().invoke(app, ["replay", *where]).stdout
    assert "Sent to dynamodb: 28" in done


def test_error_records_go_to_the_stream_again(deployment: Deployment) -> None:
    bucket = deployment.aws.bucket()
    make_stream(deployment, bucket)
    events = [json.dumps({"number": number}) for number in range(7)]
    records = [
        {"errorCode": "Lambda.X", "rawData": base64.b64encode(f"{event}\n".encode()).decode()} for event in events
    ]
    content = "\n".join(json.dumps(record) for record in records).encode()
    deployment.aws.s3.put_object(Bucket=bucket, Key="errors/processing-failed/dt=2026-11-22/1", Body=content)
    where = ["rearchive", "--deployment", deployment.name, "--bucket", bucket, "--prefix", "errors/"]
    looked = CliRunner().invoke(app, [*where, "--dry-run"]).stdout
    assert "1 objects under errors/, 7 events" in looked
    assert "failed because of Lambda.X: 7" in looked
    done = json.loads(CliRunner().invoke(app, [*where, "--json"]).stdout)
    assert (done["events"], done["sent"], done["refused"]) == (7, 7, {})
    assert not [key for key in deployment.aws.keys(bucket) if key.startswith("errors/")]
    assert wait_for(lambda: archived(deployment, bucket) == sorted(events))


def test_object_of_which_the_stream_does_not_take_all_stays(deployment: Deployment) -> None:
    bucket = deployment.aws.bucket()
    make_stream(deployment, bucket)
    for name, events in (("1", ["small", "x" * (1000 * 1024 + 1)]), ("2", ["another"])):
        records = [{"errorCode": "x", "rawData": base64.b64encode(event.encode()).decode()} for event in events]
        content = "\n".join(json.dumps(record) for record in records).encode()
        deployment.aws.s3.put_object(Bucket=bucket, Key=f"errors/{name}", Body=content)
    where = ["rearchive", "--deployment", deployment.name, "--bucket", bucket, "--prefix", "errors/", "--json"]
    result = CliRunner().invoke(app, where)
    assert result.exit_code == 3
    report = json.loads(result.stdout)
    assert (report["events"], report["sent"], report["refused"]) == (3, 2, {"RecordTooLarge": 1})
    assert [key for key in deployment.aws.keys(bucket) if key.startswith("errors/")] == ["errors/1"]
