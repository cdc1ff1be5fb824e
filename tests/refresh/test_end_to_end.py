"""The function in the AWS emulator, fed by a real queue, against the stand-in for Auth0."""

import io
import json
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

import pipeline
from devstack.emulator import process
from pipeline.changes import Meaning, Snapshot, Tombstone, read
from tests.emulator.support import ANYTHING, policy

from .management_api import CLIENT_ID, CLIENT_SECRET, DOMAIN, Answer, ManagementApi
from .support import login

pytestmark = pytest.mark.emulator

ROOT = Path(pipeline.__file__).parent


class Aws:
    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._clients: dict[str, Any] = {}

    def client(self, service: Any) -> Any:
        if service not in self._clients:
            self._clients[service] = boto3.client(
                service,
                endpoint_url=self._endpoint,
                region_name="us-east-1",
                aws_access_key_id="test",
                aws_secret_access_key="test",
            )
        return self._clients[service]

    def role(self) -> str:
        """Return the ARN of a new role for functions, with all rights."""
        iam, name = self.client("iam"), f"refresh-{uuid.uuid4().hex[:8]}"
        trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))["Role"]["Arn"]
        iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=policy(ANYTHING))
        return arn

    def queue(self, **attributes: str) -> tuple[str, str]:
        sqs = self.client("sqs")
        url = sqs.create_queue(QueueName=f"queue-{uuid.uuid4().hex[:8]}", Attributes=attributes)["QueueUrl"]
        return url, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]

    def messages(self, url: str) -> int:
        """Return the number of messages in a queue, in all states."""
        names = [f"ApproximateNumberOfMessages{state}" for state in ("", "NotVisible", "Delayed")]
        held = self.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        assert set(held) == set(names)
        return sum(int(number) for number in held.values())

    def receive(self, url: str) -> list[str]:
        answer = self.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        return [message["Body"] for message in answer.get("Messages", [])]


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with pytest.MonkeyPatch.context() as patches:
        patches.setenv("AUTH0_SYNC_EMULATOR_IAM_SECONDS", "0")
        emulator = process.start(tmp_path_factory.mktemp("emulator"))
    yield Aws(emulator.endpoint)
    process.stop(emulator.pid)


def package() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path in ROOT.rglob("*.py"):
            if path.relative_to(ROOT).parts[0] not in ("cli", "archive"):
                archive.write(path, Path("pipeline") / path.relative_to(ROOT))
    return content.getvalue()


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def test_signals_become_users_in_the_sink_queues_and_a_limit_fills_no_dead_letter_queue(
    aws: Aws, auth0: ManagementApi
) -> None:
    sink, _ = aws.queue()
    failed, failed_arn = aws.queue()
    redrive = json.dumps({"deadLetterTargetArn": failed_arn, "maxReceiveCount": 1})
    url, arn = aws.queue(VisibilityTimeout="30", RedrivePolicy=redrive)
    secret = aws.client("secretsmanager").create_secret(
        Name=f"auth0-{uuid.uuid4().hex[:8]}",
        SecretString=json.dumps({"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}),
    )
    function = f"refresh-{uuid.uuid4().hex[:8]}"
    environment = {
        "AUTH0_DOMAIN": DOMAIN,
        "AUTH0_BASE_URL": auth0.url,
        "AUTH0_CLIENT_SECRET_ARN": secret["ARN"],
        "REFRESH_QUEUE_URL": url,
        "SINK_QUEUE_URLS": sink,
        "REFRESH_RATE": "20",
    }
    aws.client("lambda").create_function(
        FunctionName=function,
        Runtime="python3.13",
        Role=aws.role(),
        Handler="pipeline.functions.refresh.handler",
        Timeout=30,
        Code={"ZipFile": package()},
        Environment={"Variables": environment},
    )
    auth0.add("samlp|conn|a/b c")
    auth0.add("auth0|ada")
    # Twice, where SQS delivers a message once, and each time for longer than is waited out in place.
    auth0.next_answers += [Answer(429, headers={"Retry-After": "11"})] * 2
    sqs = aws.client("sqs")
    for user_id in ("auth0|ada", "auth0|ada", "samlp|conn|a/b c", "auth0|nobody"):
        sqs.send_message(QueueUrl=url, MessageBody=login(user_id))
    mapping = aws.client("lambda").create_event_source_mapping(
        FunctionName=function, EventSourceArn=arn, FunctionResponseTypes=["ReportBatchItemFailures"], BatchSize=10
    )
    found: list[Meaning] = []

    def all_came() -> bool:
        found.extend(meaning for body in aws.receive(sink) for meaning in read(body))
        return len(found) >= 3

    wait_for(all_came, 90)
    users = {change.user_id: bytes(change.profile) for change in found if isinstance(change, Snapshot)}
    assert users == {user_id: auth0.users[user_id] for user_id in ("auth0|ada", "samlp|conn|a/b c")}
    assert {change.user_id for change in found if isinstance(change, Tombstone)} == {"auth0|nobody"}
    assert [request.status for request in auth0.requests].count(429) == 2
    assert aws.receive(failed) == []
    wait_for(lambda: aws.messages(url) == 0, 10)
    aws.client("lambda").delete_event_source_mapping(UUID=mapping["UUID"])
