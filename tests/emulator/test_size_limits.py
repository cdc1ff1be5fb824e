import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .support import Aws, name

pytestmark = pytest.mark.emulator

KIB = 1024
STREAM = {
    "RoleARN": "arn:aws:iam::000000000000:role/firehose",
    "BufferingHints": {"SizeInMBs": 64, "IntervalInSeconds": 900},
}


def detail(size: int) -> str:
    """A detail of so many bytes, in characters of two bytes each."""
    return json.dumps({"x": "é" * (size // 2)}, ensure_ascii=False)


def counts(aws: Aws, bus: str) -> dict[str, float]:
    """EventBridge's metrics of the one rule of a bus."""
    cloudwatch = aws.client("cloudwatch")
    dimension = [{"Name": "EventBusName", "Value": bus}]
    found = {}
    for metric in cloudwatch.list_metrics(Namespace="AWS/Events", Dimensions=dimension)["Metrics"]:
        query = {"MetricStat": {"Metric": metric, "Period": 3600, "Stat": "Sum"}, "Id": "m"}
        [answer] = cloudwatch.get_metric_data(MetricDataQueries=[query], StartTime=0, EndTime=4e9)["MetricDataResults"]
        found[metric["MetricName"]] = sum(answer["Values"])
    return found


@pytest.mark.parametrize("operation", ["put_events", "put_partner_events"])
def test_entry_of_a_mebibyte_fails_alone(aws: Aws, operation: str) -> None:
    source, (url, arn) = aws.partner_bus(), aws.queue()
    if operation == "put_partner_events":
        aws.rule(source, {"Arn": arn})
    entries = [{"Source": source, "DetailType": "t", "Detail": detail(size)} for size in (10, 1024 * KIB, 1000 * KIB)]
    if operation == "put_events":
        source = "app"
        entries = [entry | {"Source": source} for entry in entries]
        aws.rule("default", {"Arn": arn}, {"source": [source]})
    answer = getattr(aws.events, operation)(Entries=entries)
    assert [set(entry) for entry in answer["Entries"]] == [{"EventId"}, {"ErrorCode", "ErrorMessage"}, {"EventId"}]
    assert answer["FailedEntryCount"] == 1
    assert len(aws.messages(url, 2)) == 2


def test_event_too_large_for_a_queue_goes_to_a_larger_dead_letter_queue(aws: Aws) -> None:
    source, (url, arn), (dead, dead_arn) = aws.partner_bus(), aws.queue(MaximumMessageSize="262144"), aws.queue()
    aws.rule(source, {"Arn": arn, "DeadLetterConfig": {"Arn": dead_arn}})
    aws.put(source, detail(300 * KIB))
    aws.put(source, detail(200 * KIB))
    (message,), (refused,) = aws.messages(url), aws.messages(dead)
    assert len(message["Body"]) < len(refused["Body"])
    assert "shorter than 262144 bytes" in refused["MessageAttributes"]["ERROR_MESSAGE"]["StringValue"]
    matched = {"MatchedEvents": 2, "Invocations": 2}
    assert counts(aws, source) == matched | {"FailedInvocations": 1, "InvocationsSentToDlq": 1}


def test_event_too_large_for_queue_and_dead_letter_queue_is_gone_and_counted(aws: Aws) -> None:
    source, (url, arn), (dead, dead_arn) = aws.partner_bus(), *[aws.queue(MaximumMessageSize="262144") for _ in "ab"]
    aws.rule(source, {"Arn": arn, "DeadLetterConfig": {"Arn": dead_arn}})
    aws.put(source, detail(300 * KIB))
    assert all("Messages" not in aws.sqs.receive_message(QueueUrl=queue) for queue in (url, dead))
    matched = {"MatchedEvents": 1, "Invocations": 1}
    assert counts(aws, source) == matched | {"FailedInvocations": 1, "InvocationsFailedToBeSentToDlq": 1}


def test_the_attributes_of_a_dead_letter_count(aws: Aws) -> None:
    source, (_, arn), (_, dead_arn) = aws.partner_bus(), *[aws.queue(MaximumMessageSize="262144") for _ in "ab"]
    aws.rule(source, {"Arn": arn.replace("queue-", "gone-"), "DeadLetterConfig": {"Arn": dead_arn}})
    aws.put(source, detail(262_144 - 500))
    assert counts(aws, source)["InvocationsFailedToBeSentToDlq"] == 1


def test_rule_without_a_target_counts(aws: Aws) -> None:
    source = aws.partner_bus()
    aws.events.put_rule(Name=name("rule"), EventBusName=source, EventPattern=json.dumps({"source": [source]}))
    aws.put(source, "{}")
    assert counts(aws, source) == {"MatchedEvents": 1}


@pytest.mark.parametrize(
    ("sizes", "code"),
    [
        ([1000 * KIB] * 4, None),
        ([1000 * KIB + 1], "ValidationException"),
        ([10, 1000 * KIB + 1], "ValidationException"),
        ([1000 * KIB] * 4 + [97 * KIB], "InvalidArgumentException"),
    ],
)
def test_batch_of_records(aws: Aws, sizes: list[int], code: str | None) -> None:
    stream, bucket = name("stream"), aws.bucket()
    destination: Any = STREAM | {"BucketARN": f"arn:aws:s3:::{bucket}"}
    aws.firehose.create_delivery_stream(DeliveryStreamName=stream, ExtendedS3DestinationConfiguration=destination)
    records = [{"Data": b"x" * size} for size in sizes]
    if code is None:
        assert aws.firehose.put_record_batch(DeliveryStreamName=stream, Records=records)["FailedPutCount"] == 0
        return
    with pytest.raises(ClientError) as refused:
        aws.firehose.put_record_batch(DeliveryStreamName=stream, Records=records)
    assert refused.value.response["Error"]["Code"] == code


@pytest.mark.parametrize(("kind", "limit"), [("RequestResponse", 6 << 20), ("Event", 1 << 20)])
def test_payload_of_an_invocation(aws: Aws, kind: str, limit: int) -> None:
    with pytest.raises(ClientError) as refused:
        aws.lambda_.invoke(FunctionName="none", InvocationType=kind, Payload=json.dumps("x" * limit))
    assert refused.value.response["Error"]["Code"] == "RequestTooLargeException"
    with pytest.raises(aws.lambda_.exceptions.ResourceNotFoundException):
        aws.lambda_.invoke(FunctionName="none", InvocationType=kind, Payload=json.dumps("x" * (limit - 2)))
