"""Events that EventBridge gave up: the command deletes only those that the target took; a list changes nothing."""

import gzip
import json
import signal
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.delivery import dead_letters
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
        """Move events to the dead-letter queue, as EventBridge does if it cannot deliver them."""
        attributes = {
            "ERROR_CODE": {"DataType": "String", "StringValue": "NO_PERMISSIONS"},
            "RULE_ARN": {"DataType": "String", "StringValue": "arn:aws:events:us-east-1:1:rule/aws.partner/x/changes"},
        }
        for body in bodies:
            self.aws.sqs.send_message(QueueUrl=url, MessageBody=body, MessageAttributes=attributes)

    def waiting(self, url: str) -> int:
        attributes = self.aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        return int(attributes["ApproximateNumberOfMessages"])

    def failed(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        result = CliRunner().invoke(app, ["failed", *arguments, "--deployment", self.name, "--json"])
        assert result.exit_code == code, (result.output, result.exception)
        report: dict[str, Any] = json.loads(result.stdout)
        return report

    def put_back(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        return self.failed(*arguments, "--put-back", code=code)

    def queues(self, target: str) -> tuple[str, str]:
        """Return a target's queue, and the dead-letter queue of EventBridge, beside the function's."""
        self.queue(f"{target}-failed")
        return self.queue(target), self.queue(f"{target}-undelivered")


@pytest.fixture
def deployment(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    monkeypatch.setattr(dead_letters, "WAIT", 0)
    environment = {"AWS_ENDPOINT_URL": aws.emulator.endpoint, "AWS_DEFAULT_REGION": REGION, "AWS_REGION": REGION}
    for variable, value in (environment | {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}).items():
        monkeypatch.setenv(variable, value)
    return Deployment(aws)


EVENTS = [json.dumps({"id": str(number), "detail": {"text": "é" * number}}) for number in range(23)]


def test_events_go_to_the_queue_and_out_of_the_dead_letters(deployment: Deployment) -> None:
    queue, dead = deployment.queues("postgres")
    deployment.give_up(dead, *EVENTS)
    report = deployment.put_back("postgres")
    assert (len(report["messages"]), report["done"], report["refused"], report["hidden"]) == (23, 23, {}, {})
    assert {(one["reason"], one["rule"]) for one in report["messages"]} == {("NO_PERMISSIONS", "changes")}
    assert deployment.waiting(dead) == 0
    assert sorted(message["Body"] for message in deployment.aws.messages(queue, 23)) == sorted(EVENTS)


def test_events_go_to_the_archive_a_line_each(deployment: Deployment) -> None:
    bucket, dead = deployment.aws.bucket(), deployment.queue("archive-undelivered")
    make_stream(deployment, bucket)
    deployment.give_up(dead, *EVENTS)
    assert deployment.put_back("archive")["done"] == 23
    assert deployment.waiting(dead) == 0
    assert wait_for(lambda: archived(deployment, bucket) == sorted(EVENTS))


def test_large_events_go_to_the_archive_in_several_batches(deployment: Deployment) -> None:
    bucket, dead = deployment.aws.bucket(), deployment.queue("archive-undelivered")
    make_stream(deployment, bucket)
    large = [json.dumps({"id": str(number), "x": "y" * 900 * 1024}) for number in range(6)]
    deployment.give_up(dead, *large, json.dumps({"x": "y" * 1010 * 1024}))
    report = deployment.put_back("archive", code=3)
    assert (len(report["messages"]), report["done"], report["refused"]) == (7, 6, {"RecordTooLarge": 1})
    assert deployment.waiting(dead) == 1
    assert wait_for(lambda: archived(deployment, bucket) == sorted(large))


def test_large_events_go_to_a_queue_in_several_batches(deployment: Deployment) -> None:
    queue, dead = deployment.queues("postgres")
    deployment.give_up(dead, *[json.dumps({"id": str(number), "x": "y" * 400 * 1024}) for number in range(5)])
    assert deployment.put_back("postgres")["done"] == 5
    assert deployment.waiting(queue) == 5


def test_a_list_changes_nothing(deployment: Deployment) -> None:
    queue, dead = deployment.queues("dynamodb")
    deployment.give_up(dead, *EVENTS)
    report = deployment.failed("dynamodb")
    assert (len(report["messages"]), report["done"]) == (23, 0)
    assert (deployment.waiting(dead), deployment.waiting(queue)) == (23, 0)


def test_no_more_than_the_limit(deployment: Deployment) -> None:
    queue, dead = deployment.queues("refresh")
    deployment.give_up(dead, *EVENTS)
    assert deployment.put_back("refresh", "--limit", "12")["done"] == 12
    assert (deployment.waiting(dead), deployment.waiting(queue)) == (11, 12)


def test_both_dead_letter_queues_of_a_target_are_put_back(deployment: Deployment) -> None:
    queue, dead = deployment.queues("postgres")
    deployment.give_up(dead, *EVENTS[:3])
    given_up = deployment.queue("postgres-failed")
    for body in EVENTS[3:5]:
        deployment.aws.sqs.send_message(QueueUrl=given_up, MessageBody=body)
    report = deployment.put_back("postgres")
    kinds = [one["queue"].rpartition("-")[2] for one in report["messages"]]
    assert (report["done"], kinds) == (5, ["failed"] * 2 + ["undelivered"] * 3)
    assert (deployment.waiting(dead), deployment.waiting(given_up), deployment.waiting(queue)) == (0, 0, 5)


def test_refused_event_is_exit_code_3_and_stays(deployment: Deployment) -> None:
    # A queue that takes less than the dead-letter queue holds, whose function does not exist.
    queue, dead = deployment.queues("postgres")
    deployment.aws.sqs.set_queue_attributes(QueueUrl=queue, Attributes={"MaximumMessageSize": "1024"})
    deployment.give_up(dead, json.dumps({"detail": "x" * 2000}), EVENTS[0])
    report = deployment.put_back("postgres", code=3)
    assert (report["done"], report["refused"]) == (1, {"ResourceNotFoundException": 1})
    assert (deployment.waiting(dead), deployment.waiting(queue)) == (1, 1)


def test_after_a_kill_the_hidden_messages_are_counted(deployment: Deployment) -> None:
    """A killed run leaves its messages hidden for five minutes; until then another run must not report 0."""
    _, dead = deployment.queues("postgres")
    deployment.give_up(dead, *EVENTS)
    killed = f"""
import boto3, os, signal
from pipeline.delivery import dead_letters
dead_letters.WAIT = 0
letters = dead_letters.DeadLetters(boto3.client("sqs"), {dead!r}).batches()
print(sum(len(batch) for batch in (next(letters), next(letters))), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", killed], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "20\n")
    report = deployment.put_back("postgres", code=3)
    [(queue, hidden)] = report["hidden"].items()
    assert (report["done"], hidden["messages"], queue) == (3, 20, f"{deployment.name}-postgres-undelivered")
    left = datetime.fromisoformat(hidden["until"]) - datetime.now(UTC)
    assert 290 < left.total_seconds() <= dead_letters.HIDDEN
    shown = CliRunner().invoke(app, ["failed", "postgres", "--deployment", deployment.name])
    assert "about 20 more messages are hidden until" in shown.stderr
    assert shown.exit_code == 0


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
    report = deployment.put_back("log-stream", "--source-region", "us-west-2")
    assert (len(report["messages"]), report["done"]) == (5, 5)
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
    assert deployment.put_back("event-stream", "--source-region", REGION)["done"] == 1


def test_the_region_of_a_stream_must_be_named(deployment: Deployment) -> None:
    result = CliRunner().invoke(app, ["failed", "log-stream", "--deployment", deployment.name])
    assert result.exit_code == 2


def test_empty_queues_are_no_error(deployment: Deployment) -> None:
    deployment.queues("postgres")
    assert deployment.put_back("postgres")["messages"] == []


def test_a_deployment_that_is_not_there_is_named(deployment: Deployment) -> None:
    result = CliRunner().invoke(app, ["failed", "postgres", "--deployment", "auth0-sync-nowhere"])
    assert isinstance(result.exception, BadSettings)
    assert "auth0-sync-nowhere-postgres" in str(result.exception)


def test_other_refusals_are_shown_as_they_are(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    class Denied:
        def get_queue_url(self, **_: Any) -> None:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetQueueUrl")

    monkeypatch.setattr("boto3.client", lambda _, **_settings: Denied())
    result = CliRunner().invoke(app, ["failed", "postgres", "--deployment", deployment.name])
    assert isinstance(result.exception, ClientError)


def test_people_see_the_rule_and_the_reason(deployment: Deployment) -> None:
    _, dead = deployment.queues("postgres")
    deployment.give_up(dead, *EVENTS[:2])
    looked = CliRunner().invoke(app, ["failed", "postgres", "--deployment", deployment.name])
    assert f"{deployment.name}-postgres-undelivered: 2 messages" in looked.stdout
    assert "NO_PERMISSIONS: 2" in looked.stdout
    assert "rule changes: 2" in looked.stdout
    done = CliRunner().invoke(app, ["failed", "postgres", "--deployment", deployment.name, "--put-back"])
    assert "Put back: 2" in done.stdout
