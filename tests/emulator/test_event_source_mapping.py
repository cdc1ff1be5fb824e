import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .support import ANYTHING, Aws, wait_for

pytestmark = pytest.mark.emulator

# Reports what it was invoked with to OUT, waits SECONDS, and answers with ANSWER, or fails the messages that are bad.
FUNCTION = """
import json, os, time
import boto3

sqs = boto3.client("sqs")

def handler(event, context):
    bodies = [record["body"] for record in event["Records"]]
    sqs.send_message(QueueUrl=os.environ["OUT"], MessageBody=json.dumps([time.time(), bodies]))
    time.sleep(float(os.environ.get("SECONDS", "0")))
    if "ANSWER" in os.environ:
        return json.loads(os.environ["ANSWER"])
    failed = [record["messageId"] for record in event["Records"] if record["body"].startswith("bad")]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}
"""


def make_function(aws: Aws, timeout: int = 3, **environment: str) -> tuple[str, str]:
    """The name of a function and the URL of the queue to which it reports."""
    out, _ = aws.queue()
    role = aws.role("lambda.amazonaws.com", ANYTHING)
    made = aws.function(FUNCTION, Role=role, Timeout=timeout, Environment={"Variables": {"OUT": out, **environment}})
    return made["FunctionName"], out


def make_mapping(aws: Aws, function: str, arn: str, **settings: Any) -> str:
    mapping = aws.lambda_.create_event_source_mapping(
        FunctionName=function, EventSourceArn=arn, FunctionResponseTypes=["ReportBatchItemFailures"], **settings
    )
    uuid: str = mapping["UUID"]
    return uuid


def send(aws: Aws, url: str, *bodies: str) -> None:
    for start in range(0, len(bodies), 10):
        part = bodies[start : start + 10]
        entries = [{"Id": str(number), "MessageBody": body} for number, body in enumerate(part)]
        aws.sqs.send_message_batch(QueueUrl=url, Entries=entries)


def batches(aws: Aws, out: str, count: int, seconds: float = 15) -> list[tuple[float, list[str]]]:
    """The time and bodies of ``count`` invocations."""
    return sorted(tuple(json.loads(message["Body"])) for message in aws.messages(out, count, seconds))


def waiting(aws: Aws, url: str) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    attributes = aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(attributes[attribute]) for attribute in names)


def test_full_batch_does_not_wait_for_the_window(aws: Aws) -> None:
    (url, arn), (function, out) = aws.queue(), make_function(aws)
    make_mapping(aws, function, arn, BatchSize=30, MaximumBatchingWindowInSeconds=60)
    send(aws, url, *map(str, range(60)))
    found = batches(aws, out, 2)
    assert [len(bodies) for _, bodies in found] == [30, 30]
    assert sorted(int(body) for _, bodies in found for body in bodies) == list(range(60))
    wait_for(lambda: waiting(aws, url) == 0)


def test_window_collects_messages(aws: Aws) -> None:
    (url, arn), (function, out) = aws.queue(), make_function(aws)
    make_mapping(aws, function, arn, BatchSize=100, MaximumBatchingWindowInSeconds=2)
    started = time.time()
    send(aws, url, "first")
    time.sleep(0.8)  # within the window
    send(aws, url, "second")
    ((invoked, bodies),) = batches(aws, out, 1)
    assert bodies == ["first", "second"]
    assert 1.9 < invoked - started < 4


def test_only_reported_messages_come_back_and_end_in_the_dead_letter_queue(aws: Aws) -> None:
    dead_url, dead_arn = aws.queue()
    (url, arn), (function, _) = aws.queue(VisibilityTimeout="1"), make_function(aws, timeout=1)
    # As Terraform's separate redrive policy resource does it: after the queue, before the mapping.
    policy = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": 2})
    aws.sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": policy})
    make_mapping(aws, function, arn, BatchSize=10)
    send(aws, url, "good", "bad", "fine")
    (message,) = aws.messages(dead_url, seconds=15)
    assert message["Body"] == "bad"
    assert int(message["Attributes"]["ApproximateReceiveCount"]) == 3  # two by the function, one by this test
    assert waiting(aws, url) == 0


@pytest.mark.parametrize(
    "answer",
    ['{"batchItemFailures":[{"itemIdentifier":""}]}', '{"batchItemFailures":[{"itemIdentifier":"other"}]}', "[1]"],
)
def test_malformed_answer_brings_the_whole_batch_back(aws: Aws, answer: str) -> None:
    (url, arn), (function, out) = aws.queue(VisibilityTimeout="1"), make_function(aws, timeout=1, ANSWER=answer)
    mapping = make_mapping(aws, function, arn, BatchSize=10)
    send(aws, url, "one")
    found = batches(aws, out, 2)
    aws.lambda_.delete_event_source_mapping(UUID=mapping)
    assert [bodies for _, bodies in found[:2]] == [["one"], ["one"]]


def test_maximum_concurrency(aws: Aws) -> None:
    (url, arn), (function, out) = aws.queue(), make_function(aws, SECONDS="1.5")
    make_mapping(aws, function, arn, BatchSize=1, ScalingConfig={"MaximumConcurrency": 2})
    send(aws, url, *"abcd")
    times = [moment for moment, _ in batches(aws, out, 4)]
    assert times[2] - times[0] > 1.2


def test_no_message_is_lost_under_load(aws: Aws) -> None:
    source, (url, arn), (function, out) = aws.partner_bus(), aws.queue(), make_function(aws)
    aws.rule(source, {"Arn": arn})
    make_mapping(aws, function, arn, BatchSize=10)
    entry = {"Source": source, "DetailType": "Auth0 log"}
    for start in range(0, 600, 20):
        entries = [{**entry, "Detail": json.dumps({"n": number})} for number in range(start, start + 20)]
        aws.events.put_partner_events(Entries=entries)
    seen: set[int] = set()

    def all_seen() -> bool:
        for message in aws.sqs.receive_message(QueueUrl=out, MaxNumberOfMessages=10).get("Messages", []):
            seen.update(json.loads(body)["detail"]["n"] for body in json.loads(message["Body"])[1])
        return len(seen) == 600

    wait_for(all_seen, 20)
    wait_for(lambda: waiting(aws, url) == 0)


def test_mapping_is_checked_at_creation(aws: Aws) -> None:
    (_, arn), (function, _) = aws.queue(VisibilityTimeout="5"), make_function(aws, timeout=6)
    with pytest.raises(ClientError, match="Queue visibility timeout: 5 seconds is less than Function timeout: 6"):
        make_mapping(aws, function, arn)
    with pytest.raises(ClientError, match="Maximum batch window in seconds must be greater than 0"):
        make_mapping(aws, function, arn, BatchSize=11)
