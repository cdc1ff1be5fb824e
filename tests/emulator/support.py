"""Clients of a running emulator, and the few steps that many tests begin with."""

import io
import json
import time
import uuid
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from devstack.emulator import log_file, process

ACCOUNT, REGION = "000000000000", "us-east-1"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
ANYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}
"""A statement that allows everything."""


def users_table(dynamodb: Any, table: str = "") -> str:
    """Create a users table, as empty as that of a new deployment, by default of a new name; return the name."""
    table = table or name("users")
    dynamodb.create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "user_id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "user_id", "KeyType": "HASH"}],
    )
    return table


@dataclass(frozen=True)
class Caller:
    """An IAM user or a session of a role, with its credentials; ``name`` and ``arn`` are those of the user or role."""

    name: str
    arn: str
    endpoint: str
    region: str
    key: str
    secret: str
    token: str | None = None

    def client(self, service: str, region: str | None = None) -> Any:
        make: Any = boto3.client  # its types have names of services only
        return make(
            service,
            endpoint_url=self.endpoint,
            region_name=region or self.region,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            aws_session_token=self.token,
        )


@dataclass
class Aws:
    """A running emulator as AWS."""

    emulator: process.Emulator
    region: str = REGION

    def client(self, service: str, config: Config | None = None) -> Any:
        make: Any = boto3.client  # its types have names of services only
        return make(
            service,
            config=config,
            endpoint_url=self.emulator.endpoint,
            region_name=self.region,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    @cached_property
    def events(self) -> Any:
        return self.client("events")

    @cached_property
    def sqs(self) -> Any:
        return self.client("sqs")

    @cached_property
    def s3(self) -> Any:
        return self.client("s3")

    @cached_property
    def firehose(self) -> Any:
        return self.client("firehose")

    @cached_property
    def lambda_(self) -> Any:
        return self.client("lambda")

    @cached_property
    def athena(self) -> Any:
        return self.client("athena")

    @cached_property
    def glue(self) -> Any:
        return self.client("glue")

    def queue(self, **attributes: str) -> tuple[str, str]:
        """The URL and ARN of a new queue."""
        url = self.sqs.create_queue(QueueName=name("queue"), Attributes=attributes)["QueueUrl"]
        return url, self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]

    def messages(self, url: str, count: int = 1, seconds: float = 10) -> list[dict[str, Any]]:
        """Wait for ``count`` messages of a queue."""
        found: list[dict[str, Any]] = []

        def receive() -> bool:
            answer = self.sqs.receive_message(
                QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], AttributeNames=["All"]
            )
            found.extend(answer.get("Messages", []))
            return len(found) >= count

        wait_for(receive, seconds)
        return found

    def partner_bus(self) -> str:
        """The name of a new partner event source with its bus."""
        source = f"aws.partner/auth0.com/{name('tenant')}/auth0.logs"
        self.events.create_partner_event_source(Name=source, Account=ACCOUNT)
        self.events.create_event_bus(Name=source, EventSourceName=source)
        return source

    def rule(self, bus: str, target: dict[str, Any], pattern: dict[str, Any] | None = None) -> None:
        """Send what comes to a bus to one target."""
        rule = name("rule")
        pattern = pattern or {"source": [{"prefix": ""}]}
        self.events.put_rule(Name=rule, EventBusName=bus, EventPattern=json.dumps(pattern))
        self.events.put_targets(Rule=rule, EventBusName=bus, Targets=[{"Id": "1", **target}])

    def put(self, source: str, detail: str, **entry: Any) -> dict[str, Any]:
        """Put one partner event."""
        entries = [{"Source": source, "DetailType": "Auth0 log", "Detail": detail, **entry}]
        answer: dict[str, Any] = self.events.put_partner_events(Entries=entries)["Entries"][0]
        return answer

    def subscribe(self, topic: str, url: str, arn: str) -> None:
        """Send what a topic publishes to a queue, whose policy lets the topic do so."""
        service = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}}
        allowed = service | {"Action": "sqs:SendMessage", "Resource": arn}
        condition = {"Condition": {"ArnEquals": {"aws:SourceArn": topic}}}
        self.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy(allowed | condition)})
        self.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)

    def role(self, service: str, *statements: dict[str, Any]) -> str:
        """The ARN of a new role that ``service`` may take, with these statements."""
        return self._role({"Service": service}, statements)

    def function(self, code: str = "def handler(event, context): return 1", **settings: Any) -> dict[str, Any]:
        """Create a function, by default of a new name and a role without rights; return Lambda's answer."""
        package = io.BytesIO()
        with zipfile.ZipFile(package, "w") as archive:
            archive.writestr("function.py", code)
        if "Role" not in settings:
            settings["Role"] = self.role("lambda.amazonaws.com")
        settings.setdefault("FunctionName", name("function"))
        made: dict[str, Any] = self.lambda_.create_function(
            Runtime="python3.13", Handler="function.handler", Code={"ZipFile": package.getvalue()}, **settings
        )
        return made

    def session(self, *statements: dict[str, Any], path: str = "/") -> Caller:
        """A session of a new role with these statements, which the root user may take."""
        arn = self._role({"AWS": ROOT}, statements, path)
        keys = self.client("sts").assume_role(RoleArn=arn, RoleSessionName="session")["Credentials"]
        role, secret, token = arn.rpartition("/")[2], keys["SecretAccessKey"], keys["SessionToken"]
        return Caller(role, arn, self.emulator.endpoint, self.region, keys["AccessKeyId"], secret, token)

    def user(self, *statements: dict[str, Any]) -> Caller:
        """A new IAM user with these statements."""
        user = name("user")
        key, secret = make_user(self.client("iam"), user, *([policy(*statements)] if statements else []))
        arn = f"arn:aws:iam::{ACCOUNT}:user/{user}"
        return Caller(user, arn, self.emulator.endpoint, self.region, key, secret)

    def _role(self, principal: dict[str, str], statements: tuple[dict[str, Any], ...], path: str = "/") -> str:
        iam, role = self.client("iam"), name("role")
        made = iam.create_role(RoleName=role, Path=path, AssumeRolePolicyDocument=trust(principal))
        if statements:
            iam.put_role_policy(RoleName=role, PolicyName="rights", PolicyDocument=policy(*statements))
        return str(made["Role"]["Arn"])

    def bucket(self) -> str:
        bucket = name("bucket")
        self.s3.create_bucket(Bucket=bucket)
        return bucket

    def keys(self, bucket: str) -> list[str]:
        return [item["Key"] for item in self.s3.list_objects_v2(Bucket=bucket).get("Contents", [])]


def policy(*statements: dict[str, Any]) -> str:
    """A policy's document."""
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def allow(action: str | list[str], resource: str, **elements: Any) -> dict[str, Any]:
    """A statement that allows."""
    return {"Effect": "Allow", "Action": action, "Resource": resource, **elements}


def trust(principal: dict[str, str]) -> str:
    """The policy of a role that a principal may take."""
    return policy({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"})


def make_user(iam: Any, user: str, *documents: str) -> tuple[str, str]:
    """The access key and secret of a new IAM user with these policies."""
    iam.create_user(UserName=user)
    for number, document in enumerate(documents):
        iam.put_user_policy(UserName=user, PolicyName=f"policy-{number}", PolicyDocument=document)
    made = iam.create_access_key(UserName=user)["AccessKey"]
    return made["AccessKeyId"], made["SecretAccessKey"]


def name(kind: str) -> str:
    return f"{kind}-{uuid.uuid4().hex[:8]}"


def wait_for(condition: Callable[[], Any], seconds: float = 10) -> Any:
    """Return the first true value of ``condition``; fail if there is none in time.

    The pauses grow, as some conditions take a second of CPU.
    """
    deadline, pause = time.monotonic() + seconds, 0.05
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{condition} did not become true in {seconds} s"
        time.sleep(pause)
        pause = min(pause * 1.3, 1)


def refusals(log: Path) -> list[str]:
    """What an emulator has refused as AWS's service models do, from its log."""
    lines = [line for path in log_file.files(log) for line in path.read_text().splitlines()]
    return [line for line in lines if "service_models" in line and "Refused:" in line]
