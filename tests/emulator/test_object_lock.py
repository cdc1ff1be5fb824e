from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from .support import Aws, allow

pytestmark = pytest.mark.emulator

UNTIL = datetime.now(UTC) + timedelta(days=1)


def locked_bucket(aws: Aws) -> str:
    bucket = aws.bucket()
    aws.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    aws.s3.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"})
    return bucket


def locked(aws: Aws, bucket: str) -> str:
    """The version of a new object that is locked until tomorrow."""
    version: str = aws.s3.put_object(Bucket=bucket, Key="logs/1", Body=b"1")["VersionId"]
    retention: Any = {"Mode": "GOVERNANCE", "RetainUntilDate": UNTIL}
    aws.s3.put_object_retention(Bucket=bucket, Key="logs/1", VersionId=version, Retention=retention)
    return version


def test_a_locked_version_is_deleted_only_by_a_caller_who_may_bypass_the_lock(aws: Aws) -> None:
    bucket = locked_bucket(aws)
    version = locked(aws, bucket)
    objects = f"arn:aws:s3:::{bucket}/*"
    intruder = aws.user(allow(["s3:DeleteObjectVersion", "s3:PutObjectRetention"], objects)).client("s3")
    rights = allow(["s3:DeleteObjectVersion", "s3:BypassGovernanceRetention"], objects)
    eraser = aws.user(rights).client("s3")
    for client, bypass in ((intruder, False), (intruder, True), (eraser, False)):
        with pytest.raises(ClientError, match=r"object lock|BypassGovernanceRetention"):
            client.delete_object(Bucket=bucket, Key="logs/1", VersionId=version, BypassGovernanceRetention=bypass)
    with pytest.raises(ClientError, match=r"object lock|BypassGovernanceRetention"):
        intruder.put_object_retention(
            Bucket=bucket,
            Key="logs/1",
            VersionId=version,
            Retention={"Mode": "GOVERNANCE", "RetainUntilDate": datetime.now(UTC) + timedelta(seconds=5)},
            BypassGovernanceRetention=True,
        )
    eraser.delete_object(Bucket=bucket, Key="logs/1", VersionId=version, BypassGovernanceRetention=True)


def test_a_locked_object_can_be_hidden_but_not_changed(aws: Aws) -> None:
    bucket = locked_bucket(aws)
    version = locked(aws, bucket)
    aws.s3.put_object(Bucket=bucket, Key="logs/1", Body=b"forged")
    aws.s3.delete_object(Bucket=bucket, Key="logs/1")
    assert aws.s3.get_object(Bucket=bucket, Key="logs/1", VersionId=version)["Body"].read() == b"1"


def test_an_upload_that_gets_a_retention_needs_a_checksum(aws: Aws) -> None:
    bucket = locked_bucket(aws)
    plain = aws.client("s3", Config(request_checksum_calculation="when_required"))
    lock = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": UNTIL}
    plain.put_object(Bucket=bucket, Key="1", Body=b"1")
    with pytest.raises(ClientError, match="x-amz-checksum"):
        plain.put_object(Bucket=bucket, Key="2", Body=b"1", **lock)
    aws.s3.put_object(Bucket=bucket, Key="2", Body=b"1", **lock)
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
    aws.s3.put_object_lock_configuration(
        Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
    )
    with pytest.raises(ClientError, match="x-amz-checksum"):
        plain.put_object(Bucket=bucket, Key="3", Body=b"1")
