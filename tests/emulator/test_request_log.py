import json
from pathlib import Path
from typing import Any

import boto3
import pytest

from devstack.emulator import process

from .support import policy

pytestmark = pytest.mark.emulator


def test_every_request_is_recorded_as_iam_sees_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "requests.jsonl"
    monkeypatch.setenv("AUTH0_SYNC_EMULATOR_REQUESTS", str(log))
    emulator = process.start(tmp_path / "emulator")
    try:
        make: Any = boto3.client  # its types have names of services only

        def client(service: str) -> Any:
            keys = {"aws_access_key_id": "123456789012", "aws_secret_access_key": "secret"}
            return make(service, endpoint_url=emulator.endpoint, region_name="eu-central-1", **keys)

        client("sqs").create_queue(QueueName="users")
        client("s3").list_buckets()
        client("iam").create_role(RoleName="role", AssumeRolePolicyDocument=policy())
    finally:
        process.stop(emulator.pid)
    found = [json.loads(line) for line in log.read_text().splitlines()]
    queue = "arn:aws:sqs:eu-central-1:123456789012:users"
    assert {line["key"] for line in found} == {"123456789012"}
    assert [(line["action"], line["resource"]) for line in found if line["action"] != "iam:CreateRole"] == [
        ("sqs:CreateQueue", queue),
        ("s3:ListAllMyBuckets", "*"),
    ]
    [role] = [line for line in found if line["action"] == "iam:CreateRole"]
    assert role["operation"] == "iam:CreateRole"
    assert role["parameters"]["RoleName"] == "role"
