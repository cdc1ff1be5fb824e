import gzip
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .support import Aws, allow, name, wait_for

pytestmark = pytest.mark.emulator

RIGHTS = ["kms:Decrypt", "kms:GenerateDataKey"]


@pytest.fixture(scope="module")
def key(aws: Aws) -> str:
    arn: str = aws.client("kms").create_key()["KeyMetadata"]["Arn"]
    return arn


def make_stream(aws: Aws, bucket: str, encryption: dict[str, str]) -> str:
    """The ARN of a stream that writes at once."""
    arn: str = aws.firehose.create_delivery_stream(
        DeliveryStreamName=name("stream"),
        DeliveryStreamEncryptionConfigurationInput=encryption,
        ExtendedS3DestinationConfiguration={
            "RoleARN": "arn:aws:iam::000000000000:role/firehose",
            "BucketARN": f"arn:aws:s3:::{bucket}",
            "BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 0},
            "CompressionFormat": "GZIP",
        },
    )["DeliveryStreamARN"]
    return arn


@pytest.fixture
def bucket(aws: Aws) -> str:
    return aws.bucket()


@pytest.fixture
def stream(aws: Aws, bucket: str, key: str) -> str:
    return make_stream(aws, bucket, {"KeyType": "CUSTOMER_MANAGED_CMK", "KeyARN": key})


def put_both_ways(firehose: Any, stream: str) -> list[str]:
    """What PutRecord and PutRecordBatch refuse with; nothing for each that succeeds."""
    refusals, called = [], stream.rpartition("/")[2]
    for put, records in (
        (firehose.put_record, {"Record": {"Data": b"{}"}}),
        (firehose.put_record_batch, {"Records": [{"Data": b"{}"}]}),
    ):
        try:
            put(DeliveryStreamName=called, **records)
        except ClientError as error:
            refusals.append(error.response["Error"]["Code"])
    return refusals


@pytest.mark.parametrize("missing", RIGHTS)
def test_a_caller_needs_both_rights_to_the_key(aws: Aws, stream: str, key: str, missing: str) -> None:
    put = allow("firehose:*", stream)
    others = [right for right in RIGHTS if right != missing]
    assert put_both_ways(aws.user(put, allow(RIGHTS, key)).client("firehose"), stream) == []
    for lacking in (allow(others, key), allow(RIGHTS, f"{key}-2")):
        refused = put_both_ways(aws.user(put, lacking).client("firehose"), stream)
        assert refused == ["InvalidKMSResourceException"] * 2


def test_a_stream_that_awss_own_key_encrypts_needs_none(aws: Aws, bucket: str) -> None:
    stream = make_stream(aws, bucket, {"KeyType": "AWS_OWNED_CMK"})
    assert put_both_ways(aws.user(allow("firehose:*", stream)).client("firehose"), stream) == []


def test_the_accounts_own_keys_may(aws: Aws, stream: str) -> None:
    assert put_both_ways(aws.firehose, stream) == []


def delivered(aws: Aws, stream: str, role: str) -> str:
    """Have a rule send an event to the stream as ``role``; the URL of the target's dead-letter queue."""
    source, (url, arn) = aws.partner_bus(), aws.queue()
    aws.rule(source, {"Arn": stream, "RoleArn": role, "DeadLetterConfig": {"Arn": arn}})
    aws.put(source, '{"n":1}')
    return url


def test_a_rule_puts_as_the_targets_role(aws: Aws, bucket: str, stream: str, key: str) -> None:
    role = aws.role("events.amazonaws.com", allow("firehose:PutRecord", stream), allow(RIGHTS, key))
    delivered(aws, stream, role)
    (found,) = wait_for(lambda: aws.keys(bucket))
    assert b'"detail":{"n":1}' in gzip.decompress(aws.s3.get_object(Bucket=bucket, Key=found)["Body"].read())


@pytest.mark.parametrize(
    ("rights", "code", "words"),
    [
        ("firehose:PutRecord", "SDK_CLIENT_ERROR", "InvalidKMSResourceException"),
        ("firehose:DescribeDeliveryStream", "NO_PERMISSIONS", "may not put records"),
    ],
    ids=["no right to the key", "no right to the stream"],
)
def test_refused_record_goes_to_the_dead_letter_queue(
    aws: Aws, bucket: str, stream: str, rights: str, code: str, words: str
) -> None:
    url = delivered(aws, stream, aws.role("events.amazonaws.com", allow(rights, stream)))
    (message,) = aws.messages(url)
    attributes = {key: value["StringValue"] for key, value in message["MessageAttributes"].items()}
    assert attributes["ERROR_CODE"] == code
    assert words in attributes["ERROR_MESSAGE"]
    assert aws.keys(bucket) == []
