import gzip
import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .support import ACCOUNT, Aws, name, policy, wait_for

pytestmark = pytest.mark.emulator

NEWLINE = {
    "Enabled": True,
    "Processors": [
        {
            "Type": "AppendDelimiterToRecord",
            "Parameters": [{"ParameterName": "Delimiter", "ParameterValue": "\\n"}],
        }
    ],
}


def make_stream(aws: Aws, bucket: str, interval: int = 1, **settings: Any) -> str:
    stream = name("stream")
    aws.firehose.create_delivery_stream(
        DeliveryStreamName=stream,
        ExtendedS3DestinationConfiguration={
            "RoleARN": "arn:aws:iam::000000000000:role/firehose",
            "BucketARN": f"arn:aws:s3:::{bucket}",
            "BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": interval},
            **settings,
        },
    )
    return stream


def put(aws: Aws, stream: str, *records: bytes) -> None:
    answer = aws.firehose.put_record_batch(DeliveryStreamName=stream, Records=[{"Data": record} for record in records])
    assert answer["FailedPutCount"] == 0


def body(aws: Aws, bucket: str, key: str) -> bytes:
    content: bytes = aws.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    return content


def test_a_stream_writes_only_what_the_bucket_lets_its_role_write(aws: Aws) -> None:
    buckets = {role: aws.bucket() for role in ("firehose", "another")}
    for role, bucket in buckets.items():
        deny = {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:PutObject",
            "Resource": f"arn:aws:s3:::{bucket}/logs/*",
            "Condition": {"ArnNotLike": {"aws:PrincipalArn": [f"arn:aws:iam::{ACCOUNT}:role/{role}"]}},
        }
        aws.s3.put_bucket_policy(Bucket=bucket, Policy=policy(deny))
        put(aws, make_stream(aws, bucket, Prefix="logs/"), b"1")
    wait_for(lambda: aws.keys(buckets["firehose"]))
    time.sleep(0.5)  # for a wrong delivery to come
    assert aws.keys(buckets["another"]) == []


def test_records_of_an_interval_become_one_compressed_object(aws: Aws) -> None:
    bucket = aws.bucket()
    stream = make_stream(
        aws,
        bucket,
        CompressionFormat="GZIP",
        FileExtension=".json.gz",
        Prefix="logs/dt=!{timestamp:yyyy-MM-dd}/hour=!{timestamp:HH}/",
        ErrorOutputPrefix="errors/!{firehose:error-output-type}/",
        ProcessingConfiguration=NEWLINE,
    )
    before = datetime.now(UTC)
    aws.firehose.put_record(DeliveryStreamName=stream, Record={"Data": b'{"n":1}'})
    put(aws, stream, b'{"n":2}', b'{"n":3}')
    assert aws.keys(bucket) == []
    (key,) = wait_for(lambda: aws.keys(bucket))
    match = re.fullmatch(
        rf"logs/dt=(.{{10}})/hour=(..)/{stream}-1-(\d{{4}}(?:-\d\d){{5}})-[0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}\.json\.gz",
        key,
    )
    assert match is not None, key
    arrival = datetime.strptime(match[3], "%Y-%m-%d-%H-%M-%S").replace(tzinfo=UTC)
    # The oldest record's arrival, not the time of writing.
    assert -1 < (arrival - before).total_seconds() < 0.9
    assert (match[1], match[2]) == (arrival.strftime("%Y-%m-%d"), arrival.strftime("%H"))
    assert gzip.decompress(body(aws, bucket, key)) == b'{"n":1}\n{"n":2}\n{"n":3}\n'


def test_a_stream_counts_the_records_that_it_takes(aws: Aws) -> None:
    stream = make_stream(aws, aws.bucket())
    put(aws, stream, b"1", b"2")
    put(aws, stream, b"3")
    with pytest.raises(ClientError, match="ValidationException"):
        put(aws, stream, b"x" * 1_024_001)
    now = datetime.now(UTC)
    answer = aws.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/Firehose",
        MetricName="IncomingRecords",
        Dimensions=[{"Name": "DeliveryStreamName", "Value": stream}],
        StartTime=now - timedelta(minutes=5),
        EndTime=now + timedelta(minutes=5),
        Period=3600,
        Statistics=["Sum"],
    )
    assert sum(point["Sum"] for point in answer["Datapoints"]) == 3


def test_full_buffer_is_written_at_once(aws: Aws) -> None:
    bucket = aws.bucket()
    stream = make_stream(aws, bucket, interval=900)
    put(aws, stream, b"a" * 600_000, b"b" * 600_000)
    (key,) = wait_for(lambda: aws.keys(bucket))
    assert body(aws, bucket, key) == b"a" * 600_000 + b"b" * 600_000


def test_zero_interval_writes_at_once(aws: Aws) -> None:
    bucket = aws.bucket()
    stream = make_stream(aws, bucket, interval=0)
    started = time.monotonic()
    put(aws, stream, b"a")
    wait_for(lambda: aws.keys(bucket))
    assert time.monotonic() - started < 1


def test_deletion_writes_what_is_buffered(aws: Aws) -> None:
    bucket = aws.bucket()
    stream = make_stream(aws, bucket, interval=900)
    put(aws, stream, b"a")
    aws.firehose.delete_delivery_stream(DeliveryStreamName=stream)
    (key,) = aws.keys(bucket)
    assert body(aws, bucket, key) == b"a"


def test_refused_write_is_tried_again(aws: Aws) -> None:
    bucket = name("bucket")
    stream = make_stream(aws, bucket, interval=0)
    put(aws, stream, b"a")
    time.sleep(0.3)  # for the first write to be refused
    put(aws, stream, b"b")
    aws.s3.create_bucket(Bucket=bucket)
    (key,) = wait_for(lambda: aws.keys(bucket))
    assert body(aws, bucket, key) == b"ab"


def test_dynamic_partitions_are_separate_objects(aws: Aws) -> None:
    bucket = aws.bucket()
    query = {"ParameterName": "MetadataExtractionQuery", "ParameterValue": "{kind:.kind}"}
    engine = {"ParameterName": "JsonParsingEngine", "ParameterValue": "JQ-1.6"}
    stream = make_stream(
        aws,
        bucket,
        Prefix="kind=!{partitionKeyFromQuery:kind}/!{timestamp:yyyy}/",
        ErrorOutputPrefix="errors/!{firehose:error-output-type}/",
        DynamicPartitioningConfiguration={"Enabled": True},
        ProcessingConfiguration={
            "Enabled": True,
            "Processors": [{"Type": "MetadataExtraction", "Parameters": [query, engine]}, *NEWLINE["Processors"]],  # type: ignore[misc]  # a list of two forms
        },
    )
    put(aws, stream, b'{"kind":"a","n":1}', b'{"kind":"b"}', b'{"kind":"a","n":2}', b"not json")
    keys = wait_for(lambda: (keys := sorted(aws.keys(bucket)))[2:] and keys)
    assert [key.split("/")[0] for key in keys] == ["errors", "kind=a", "kind=b"]
    assert body(aws, bucket, keys[1]) == b'{"kind":"a","n":1}\n{"kind":"a","n":2}\n'


def test_description_returns_what_was_set(aws: Aws) -> None:
    settings: dict[str, Any] = {
        "FileExtension": ".json.gz",
        "CustomTimeZone": "Europe/Berlin",
        "CompressionFormat": "GZIP",
        "Prefix": "logs/",
        "ErrorOutputPrefix": "errors/",
        "ProcessingConfiguration": NEWLINE,
        "DynamicPartitioningConfiguration": {"Enabled": False},
        "CloudWatchLoggingOptions": {"Enabled": True, "LogGroupName": "group", "LogStreamName": "stream"},
    }
    stream = make_stream(aws, aws.bucket(), **settings)
    described = aws.firehose.describe_delivery_stream(DeliveryStreamName=stream)["DeliveryStreamDescription"]
    destination = described["Destinations"][0]
    block = destination["ExtendedS3DestinationDescription"]
    assert {key: block[key] for key in settings} == settings

    aws.firehose.update_destination(
        DeliveryStreamName=stream,
        CurrentDeliveryStreamVersionId=described["VersionId"],
        DestinationId=destination["DestinationId"],
        ExtendedS3DestinationUpdate={"FileExtension": ".gz"},
    )
    described = aws.firehose.describe_delivery_stream(DeliveryStreamName=stream)["DeliveryStreamDescription"]
    block = described["Destinations"][0]["ExtendedS3DestinationDescription"]
    assert (block["FileExtension"], block["CustomTimeZone"]) == (".gz", "Europe/Berlin")


def test_other_compression_is_refused(aws: Aws) -> None:
    with pytest.raises(ClientError, match="not Snappy"):
        make_stream(aws, aws.bucket(), CompressionFormat="Snappy")
