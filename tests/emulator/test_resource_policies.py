"""What a queue's or a bucket's policy denies is refused, whoever asks and whatever the caller's own policies allow."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .support import Aws, allow, policy

pytestmark = pytest.mark.emulator


def senders(queue: str, *arns: str) -> str:
    condition = {"Bool": {"aws:PrincipalIsAWSService": "false"}, "ArnNotLike": {"aws:PrincipalArn": list(arns)}}
    deny = {"Effect": "Deny", "Principal": "*", "Action": "sqs:SendMessage", "Resource": queue, "Condition": condition}
    return policy(deny)


def test_a_queue_refuses_senders_that_its_policy_denies(aws: Aws) -> None:
    sender = aws.session(allow("sqs:*", "*"), path="/people/")
    foreign = aws.session(allow("sqs:*", "*"))
    url, queue = aws.queue()
    aws.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": senders(queue, sender.arn)})

    sender.client("sqs").send_message(QueueUrl=url, MessageBody="mine")
    batch = [{"Id": "1", "MessageBody": "also mine"}]
    sender.client("sqs").send_message_batch(QueueUrl=url, Entries=batch)
    for sqs in (foreign.client("sqs"), aws.sqs):  # root, too
        with pytest.raises(ClientError, match=r"AccessDenied.*explicit deny in a resource-based policy"):
            sqs.send_message(QueueUrl=url, MessageBody="forged")
        with pytest.raises(ClientError, match="AccessDenied"):
            sqs.send_message_batch(QueueUrl=url, Entries=batch)
        assert sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert [message["Body"] for message in aws.messages(url, 2)] == ["mine", "also mine"]


def test_eventbridge_sends_to_a_queue_that_denies_all_others(aws: Aws) -> None:
    url, queue = aws.queue()
    aws.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": senders(queue)})
    bus = aws.partner_bus()
    aws.rule(bus, {"Arn": queue})
    aws.put(bus, "{}")
    assert len(aws.messages(url)) == 1


def test_plain_addresses_count_as_tls(aws: Aws) -> None:
    url, queue = aws.queue()
    plain = {"Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": queue}
    plain["Condition"] = {"Bool": {"aws:SecureTransport": "false"}}  # type: ignore[assignment]  # a dict beside text
    aws.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy(plain)})
    aws.sqs.send_message(QueueUrl=url, MessageBody="kept")


def test_a_bucket_refuses_what_its_policy_denies(aws: Aws) -> None:
    writer, foreign = aws.session(allow("s3:*", "*")), aws.session(allow("s3:*", "*"))
    bucket = aws.bucket()
    one = f"arn:aws:s3:::{bucket}"
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": ["s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:PutLifecycleConfiguration"],
        "Resource": [one, f"{one}/logs/*"],
        "Condition": {"ArnNotLike": {"aws:PrincipalArn": [writer.arn]}},
    }
    aws.s3.put_bucket_policy(Bucket=bucket, Policy=policy(deny))
    writer.client("s3").put_object(Bucket=bucket, Key="logs/1", Body=b"true")
    objects = {"Objects": [{"Key": "other"}, {"Key": "logs/1"}]}
    rule = {"ID": "all", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}
    lifecycle = {"Rules": [rule]}
    refused: list[tuple[str, dict[str, Any]]] = [
        ("put_object", {"Key": "logs/1", "Body": b"forged"}),
        ("copy_object", {"Key": "logs/1", "CopySource": f"{bucket}/logs/1"}),
        ("create_multipart_upload", {"Key": "logs/2"}),
        ("delete_object", {"Key": "logs/1"}),
        ("delete_object", {"Key": "logs/1", "VersionId": "null"}),
        ("delete_objects", {"Delete": objects}),
        ("put_bucket_lifecycle_configuration", {"LifecycleConfiguration": lifecycle}),
    ]
    for s3 in (foreign.client("s3"), aws.s3):
        for operation, parameters in refused:
            with pytest.raises(ClientError, match="AccessDenied"):
                getattr(s3, operation)(Bucket=bucket, **parameters)
        s3.put_object(Bucket=bucket, Key="other", Body=b"elsewhere")
    assert aws.s3.get_object(Bucket=bucket, Key="logs/1")["Body"].read() == b"true"


def test_root_may_always_replace_a_buckets_policy(aws: Aws) -> None:
    foreign = aws.session(allow("s3:*", "*"))
    bucket = aws.bucket()
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": f"arn:aws:s3:::{bucket}"}
    aws.s3.put_bucket_policy(Bucket=bucket, Policy=policy(deny))
    with pytest.raises(ClientError, match="AccessDenied"):
        foreign.client("s3").delete_bucket_policy(Bucket=bucket)
    assert json.loads(aws.s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"] == [deny]
    aws.s3.delete_bucket_policy(Bucket=bucket)
