import gzip
import json

import pytest

from .support import REGION, Aws, allow, name, wait_for

pytestmark = pytest.mark.emulator

DETAILS = [
    '{"number":1e400,"big":123456789012345678901234567890,"precise":0.10000000000000000001,"plain":1.50}',
    '{"twice":1,"twice":2}',
    '{"escaped":"\\u00e9\\ud800\\/","raw":"é\U0001f600","space":" a  b "}',
    '{"deep":' + "[" * 10_000 + "]" * 10_000 + "}",
]


@pytest.mark.parametrize("detail", DETAILS, ids=["numbers", "duplicate keys", "escapes", "nesting"])
def test_detail_is_delivered_as_it_was_put(aws: Aws, detail: str) -> None:
    source, (url, arn) = aws.partner_bus(), aws.queue()
    aws.rule(source, {"Arn": arn})
    aws.put(source, detail)
    (message,) = aws.messages(url)
    assert message["Body"].startswith('{"version":"0","id":"')
    assert message["Body"].endswith(f',"resources":[],"detail":{detail}}}')


def test_white_space_between_tokens_is_dropped(aws: Aws) -> None:
    source, (url, arn) = aws.partner_bus(), aws.queue()
    aws.rule(source, {"Arn": arn})
    aws.put(source, '{\n  "a" : [ 1,\t2 ],\r\n "b c": " \\" \\\\" }')
    (message,) = aws.messages(url)
    assert message["Body"].endswith('"detail":{"a":[1,2],"b c":" \\" \\\\"}}')


def test_input_path_and_constant_input(aws: Aws) -> None:
    source, (url, arn) = aws.partner_bus(), aws.queue()
    aws.rule(source, {"Arn": arn, "InputPath": "$.detail.data"})
    aws.rule(source, {"Arn": arn, "Input": '"constant"'})
    aws.put(source, '{"data":{"type":"s"}}')
    assert {message["Body"] for message in aws.messages(url, 2)} == {'{"type":"s"}', '"constant"'}


def test_event_is_one_firehose_record(aws: Aws) -> None:
    source, bucket, stream = aws.partner_bus(), aws.bucket(), name("stream")
    arn = aws.firehose.create_delivery_stream(
        DeliveryStreamName=stream,
        ExtendedS3DestinationConfiguration={
            "RoleARN": "arn:aws:iam::000000000000:role/firehose",
            "BucketARN": f"arn:aws:s3:::{bucket}",
            "BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 1},
            "CompressionFormat": "GZIP",
        },
    )["DeliveryStreamARN"]
    aws.rule(source, {"Arn": arn, "RoleArn": aws.role("events.amazonaws.com", allow("firehose:PutRecord", arn))})
    answer = aws.put(source, '{"n":1e400}')
    (key,) = wait_for(lambda: aws.keys(bucket))
    body = gzip.decompress(aws.s3.get_object(Bucket=bucket, Key=key)["Body"].read()).decode()
    assert f'"id":"{answer["EventId"]}"' in body
    assert body.endswith('"detail":{"n":1e400}}')  # no delimiter unless the stream adds one


@pytest.mark.parametrize("service", ["firehose", "sqs"])
def test_undeliverable_event_goes_to_the_targets_dead_letter_queue(aws: Aws, service: str) -> None:
    source, (url, arn) = aws.partner_bus(), aws.queue()
    resource = "deliverystream/none" if service == "firehose" else "none"
    target = f"arn:aws:{service}:{REGION}:000000000000:{resource}"
    role = aws.role("events.amazonaws.com", allow("firehose:PutRecord", target))
    aws.rule(source, {"Arn": target, "RoleArn": role, "DeadLetterConfig": {"Arn": arn}})
    aws.put(source, '{"n":1}')
    (message,) = aws.messages(url)
    attributes = {key: value["StringValue"] for key, value in message["MessageAttributes"].items()}
    assert json.loads(message["Body"])["detail"] == {"n": 1}
    assert (attributes["TARGET_ARN"], attributes["ERROR_CODE"]) == (target, "NO_RESOURCE")
