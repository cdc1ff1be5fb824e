"""`auth0-sync redrive`, on the emulator: nothing is deleted that was not taken, and a look changes nothing."""

import gzip
import json
from collections.abc import Sequence
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.delivery import Sent, dead_letters, redrive
from pipeline.delivery.errors import QueueDown
from pipeline.errors import BadSettings
from tests.emulator.support import REGION, Aws, name, wait_for
from tests.strategies import log, text, updated, user

pytestmark = pytest.mark.emulator


class Deployment:
    """The queues and the delivery stream of a deployment of the test's own, and the command on it."""

    def __init__(self, aws: Aws) -> None:
        self.aws, self.name = aws, name("auth0-sync")

    def queue(self, which: str) -> str:
        url: str = self.aws.sqs.create_queue(QueueName=f"{self.name}-{which}")["QueueUrl"]
        return url

    def give_up(self, url: str, *bodies: str) -> None:
        """What EventBridge does with events that it cannot deliver."""
        attributes = {
            "ERROR_CODE": {"DataType": "String", "StringValue": "NO_PERMISSIONS"},
            "RULE_ARN": {"DataType": "String", "StringValue": "arn:aws:events:us-east-1:1:rule/aws.partner/x/changes"},
        }
        for body in bodies:
            self.aws.sqs.send_message(QueueUrl=url, MessageBody=body, MessageAttributes=attributes)

    def waiting(self, url: str) -> int:
        attributes = self.aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        return int(attributes["ApproximateNumberOfMessages"])

    def redrive(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        result = CliRunner().invoke(app, ["redrive", *arguments, "--deployment", self.name, "--json"])
        assert result.exit_code == code, result.output
        report: dict[str, Any] = json.loads(result.stdout)
        return report


@pytest.fixture
def deployment(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    monkeypatch.setattr(dead_letters, "WAIT", 0)
    environment = {"AWS_ENDPOINT_URL": aws.emulator.endpoint, "AWS_DEFAULT_REGION": REGION, "AWS_REGION": REGION}
    for variable, value in (environment | {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}).items():
        monkeypatch.setenv(variable, value)
    return Deployment(aws)


EVENTS = [json.dumps({"id": str(number), "detail": {"text": "é" * number}}) for number in range(23)]


def test_events_go_to_the_queue_and_out_of_the_dead_letters(deployment: Deployment) -> None:
    queue, dead = deployment.queue("postgres"), deployment.queue("postgres-undelivered")
    deployment.give_up(dead, *EVENTS)
    report = deployment.redrive("postgres")
    assert (report["found"], report["sent"], report["refused"]) == (23, 23, {})
    assert report["errors"] == {"NO_PERMISSIONS": 23}
    assert report["rules"] == {"changes": 23}
    assert deployment.waiting(dead) == 0
    assert sorted(message["Body"] for message in deployment.aws.messages(queue, 23)) == sorted(EVENTS)


def test_events_go_to_the_archive_a_line_each(deployment: Deployment) -> None:
    bucket, dead = deployment.aws.bucket(), deployment.queue("archive-undelivered")
    make_stream(deployment, bucket)
    deployment.give_up(dead, *EVENTS)
    assert deployment.redrive("archive")["sent"] == 23
    assert deployment.waiting(dead) == 0
    assert wait_for(lambda: archived(deployment, bucket) == sorted(EVENTS))


def test_large_events_go_to_the_archive_in_several_batches(deployment: Deployment) -> None:
    bucket, dead = deployment.aws.bucket(), deployment.queue("archive-undelivered")
    make_stream(deployment, bucket)
    large = [json.dumps({"id": str(number), "x": "y" * 900 * 1024}) for number in range(6)]
    deployment.give_up(dead, *large, json.dumps({"x": "y" * 1010 * 1024}))
    report = deployment.redrive("archive", code=3)
    assert (report["found"], report["sent"], report["refused"]) == (7, 6, {"RecordTooLarge": 1})
    assert deployment.waiting(dead) == 1
    assert wait_for(lambda: archived(deployment, bucket) == sorted(large))


def test_large_events_go_to_a_queue_in_several_batches(deployment: Deployment) -> None:
    queue, dead = deployment.queue("postgres"), deployment.queue("postgres-undelivered")
    deployment.give_up(dead, *[json.dumps({"id": str(number), "x": "y" * 400 * 1024}) for number in range(5)])
    assert deployment.redrive("postgres")["sent"] == 5
    assert deployment.waiting(queue) == 5


def test_a_look_changes_nothing(deployment: Deployment) -> None:
    queue, dead = deployment.queue("dynamodb"), deployment.queue("dynamodb-undelivered")
    deployment.give_up(dead, *EVENTS)
    report = deployment.redrive("dynamodb", "--dry-run")
    assert (report["found"], report["sent"]) == (23, 0)
    assert (deployment.waiting(dead), deployment.waiting(queue)) == (23, 0)


def test_no_more_than_the_limit(deployment: Deployment) -> None:
    queue, dead = deployment.queue("refresh"), deployment.queue("refresh-undelivered")
    deployment.give_up(dead, *EVENTS)
    assert deployment.redrive("refresh", "--limit", "12")["sent"] == 12
    assert (deployment.waiting(dead), deployment.waiting(queue)) == (11, 12)


def test_event_that_is_not_taken_stays(deployment: Deployment) -> None:
    dead = deployment.queue("postgres-undelivered")
    deployment.give_up(dead, *EVENTS)
    report = redrive.Report("dead", "nowhere")

    class OfEachBatchOneLess:
        def send(self, bodies: Sequence[str]) -> Sent:
            return Sent({0: QueueDown()} if len(bodies) > 1 else {})

    redrive.move(deployment.aws.sqs, dead, OfEachBatchOneLess(), report)
    assert report.refused["QueueDown"] == report.found - report.sent == deployment.waiting(dead) == 3


def test_a_target_that_takes_nothing_is_left_alone(deployment: Deployment) -> None:
    dead = deployment.queue("postgres-undelivered")
    deployment.give_up(dead, *EVENTS)
    tried: list[str] = []

    class Down:
        def send(self, bodies: Sequence[str]) -> Sent:
            tried.extend(bodies)
            return Sent(dict.fromkeys(range(len(bodies)), QueueDown()))

    redrive.move(deployment.aws.sqs, dead, Down(), redrive.Report("dead", "nowhere"))
    assert len(tried) == 10
    assert deployment.waiting(dead) == 23


def test_refused_event_is_exit_code_3(deployment: Deployment) -> None:
    queue, dead = deployment.queue("postgres"), deployment.queue("postgres-undelivered")
    deployment.aws.sqs.set_queue_attributes(QueueUrl=queue, Attributes={"MaximumMessageSize": "1024"})
    deployment.give_up(dead, json.dumps({"detail": "x" * 2000}), EVENTS[0])
    report = deployment.redrive("postgres", code=3)
    assert (report["sent"], report["refused"]) == (1, {"QueueRefused": 1})
    assert (deployment.waiting(dead), deployment.waiting(queue)) == (1, 1)


def make_stream(deployment: Deployment, bucket: str) -> None:
    delimiter = [{"ParameterName": "Delimiter", "ParameterValue": "\\n"}]
    deployment.aws.firehose.create_delivery_stream(
        DeliveryStreamName=f"{deployment.name}-archive",
        ExtendedS3DestinationConfiguration={
            "RoleARN": "arn:aws:iam::000000000000:role/firehose",
            "BucketARN": f"arn:aws:s3:::{bucket}",
            "BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 1},
            "CompressionFormat": "GZIP",
            "ProcessingConfiguration": {
                "Enabled": True,
                "Processors": [{"Type": "AppendDelimiterToRecord", "Parameters": delimiter}],
            },
        },
    )


def archived(deployment: Deployment, bucket: str) -> list[str]:
    objects = [deployment.aws.s3.get_object(Bucket=bucket, Key=key) for key in deployment.aws.keys(bucket)]
    return sorted(line for one in objects for line in gzip.decompress(one["Body"].read()).decode().splitlines())


def test_event_that_was_not_forwarded_goes_everywhere(deployment: Deployment) -> None:
    events = {
        "change": text(updated(user("auth0|ada"))),
        "signal": text(log("scp", user_id="auth0|ada")),
        "login": text(log("s", user_id="auth0|ada")),
        "no user": text(log("fp")),
        "unreadable": "not JSON",
    }
    bucket = deployment.aws.bucket()
    make_stream(deployment, bucket)
    queues = {which: deployment.queue(which) for which in ("postgres", "dynamodb", "refresh")}
    sqs = boto3.client("sqs", region_name="us-west-2")
    dead = sqs.create_queue(QueueName=f"{deployment.name}-log-stream-undelivered")["QueueUrl"]
    for body in events.values():
        sqs.send_message(QueueUrl=dead, MessageBody=body)
    report = deployment.redrive("log-stream", "--source-region", "us-west-2")
    assert (report["found"], report["sent"]) == (5, 5)
    assert "Messages" not in sqs.receive_message(QueueUrl=dead, VisibilityTimeout=0)
    for sink in ("postgres", "dynamodb"):
        found = [message["Body"] for message in deployment.aws.messages(queues[sink], 5)]
        assert sorted(found) == sorted(events.values())
    assert [message["Body"] for message in deployment.aws.messages(queues["refresh"])] == [events["signal"]]
    assert wait_for(lambda: archived(deployment, bucket) == sorted(events.values()))


def test_without_refresh_nothing_is_sent_there(deployment: Deployment) -> None:
    bucket = deployment.aws.bucket()
    make_stream(deployment, bucket)
    deployment.queue("postgres")
    deployment.queue("dynamodb")
    dead = deployment.queue("event-stream-undelivered")
    deployment.give_up(dead, text(updated(user("auth0|ada"))))
    report = deployment.redrive("event-stream", "--source-region", REGION)
    assert report["sent"] == 1
    assert report["to"].count(",") == 2


def test_the_region_of_a_stream_must_be_named(deployment: Deployment) -> None:
    result = CliRunner().invoke(app, ["redrive", "log-stream", "--deployment", deployment.name])
    assert result.exit_code == 2


def test_empty_queue_is_no_error(deployment: Deployment) -> None:
    deployment.queue("postgres")
    deployment.queue("postgres-undelivered")
    assert deployment.redrive("postgres")["found"] == 0


def test_a_deployment_that_is_not_there_is_named(deployment: Deployment) -> None:
    result = CliRunner().invoke(app, ["redrive", "postgres", "--deployment", "auth0-sync-nowhere"])
    assert isinstance(result.exception, BadSettings)
    assert "auth0-sync-nowhere-postgres" in str(result.exception)


def test_other_refusals_are_shown_as_they_are(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    class Denied:
        def get_queue_url(self, **_: Any) -> None:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetQueueUrl")

    monkeypatch.setattr("boto3.client", lambda _: Denied())
    result = CliRunner().invoke(app, ["redrive", "postgres", "--deployment", deployment.name])
    assert isinstance(result.exception, ClientError)


def test_people_see_what_was_done(deployment: Deployment) -> None:
    deployment.queue("postgres")
    deployment.give_up(deployment.queue("postgres-undelivered"), *EVENTS[:2])
    looked = CliRunner().invoke(app, ["redrive", "postgres", "--deployment", deployment.name, "--dry-run"])
    assert "2 events" in looked.stdout
    assert "NO_PERMISSIONS: 2" in looked.stdout
    assert "Nothing was sent" in looked.stdout
    done = CliRunner().invoke(app, ["redrive", "postgres", "--deployment", deployment.name])
    assert f"Sent to {deployment.name}-postgres: 2" in done.stdout
