"""Actors with AWS credentials of their own, and what they may attempt."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from devstack.stack import Stack
from tests.emulator.support import ANYTHING, ROOT, make_user, policy, trust

DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}
FORGED = "auth0|forged"


@dataclass(frozen=True)
class Target:
    """The deployment that an actor attacks."""

    stack: Stack

    def output(self, name: str) -> Any:
        """Return an output of Terraform, or None if it is null."""
        return self.stack.outputs.get(name)

    def glue_database(self) -> str:
        """Return the name of the archive's database."""
        [name] = [database["Name"] for database in self.stack.client("glue").get_databases()["DatabaseList"]]
        return str(name)

    def log_object(self) -> str:
        """Return the key of an object of the archive."""
        found = self.stack.client("s3").list_objects_v2(
            Bucket=self.output("archive_bucket"), Prefix=self.output("archive_prefix"), MaxKeys=1
        )
        return str(found["Contents"][0]["Key"])


Call = tuple[str, str, dict[str, Any]]
"""A service, an operation by boto3's name, and its parameters."""

ATTEMPTS: dict[str, Callable[[Target], Call]] = {
    # The mirror
    "send a change to Postgres": lambda at: ("sqs", "send_message", _message(at.output("queue_urls")["postgres"])),
    "send a change to DynamoDB": lambda at: ("sqs", "send_message", _message(at.output("queue_urls")["dynamodb"])),
    "invoke the sync into Postgres": lambda at: ("lambda", "invoke", _invoke(at, "sync-postgres", {"Records": []})),
    "invoke the sync into DynamoDB": lambda at: ("lambda", "invoke", _invoke(at, "sync-dynamodb", {"Records": []})),
    "put a user into the table": lambda at: (
        "dynamodb",
        "put_item",
        {"TableName": at.output("users_table"), "Item": {"user_id": {"S": FORGED}, "version": {"S": "9"}}},
    ),
    "delete a user from the table": lambda at: (
        "dynamodb",
        "delete_item",
        {"TableName": at.output("users_table"), "Key": {"user_id": {"S": FORGED}}},
    ),
    "delete the table": lambda at: ("dynamodb", "delete_table", {"TableName": at.output("users_table")}),
    "take the schema back": lambda at: ("lambda", "invoke", _invoke(at, "migrate", {"revision": "base"})),
    # The archive
    "put an object among the logs": lambda at: (
        "s3",
        "put_object",
        {"Bucket": at.output("archive_bucket"), "Key": at.log_object() + ".forged", "Body": b"{}"},
    ),
    "overwrite an object of the logs": lambda at: (
        "s3",
        "put_object",
        {"Bucket": at.output("archive_bucket"), "Key": at.log_object(), "Body": b"{}"},
    ),
    "delete an object of the logs": lambda at: (
        "s3",
        "delete_object",
        {"Bucket": at.output("archive_bucket"), "Key": at.log_object()},
    ),
    "stop the versions of the archive": lambda at: (
        "s3",
        "put_bucket_versioning",
        {"Bucket": at.output("archive_bucket"), "VersioningConfiguration": {"Status": "Suspended"}},
    ),
    "let the archive expire": lambda at: (
        "s3",
        "put_bucket_lifecycle_configuration",
        {
            "Bucket": at.output("archive_bucket"),
            "LifecycleConfiguration": {
                "Rules": [{"ID": "x", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}]
            },
        },
    ),
    "drop a table of the archive": lambda at: (
        "glue",
        "delete_table",
        {"DatabaseName": at.glue_database(), "Name": "logs"},
    ),
    # Secrets and rights
    "read the secret of Auth0": lambda at: ("secretsmanager", "get_secret_value", {"SecretId": "auth0-sync"}),
    "make a role": lambda at: (
        "iam",
        "create_role",
        {"RoleName": f"{at.output('deployment')}-more", "AssumeRolePolicyDocument": trust({"AWS": ROOT})},
    ),
    "give a role more rights": lambda at: (
        "iam",
        "put_role_policy",
        {"RoleName": _role(at, "refresh"), "PolicyName": "more", "PolicyDocument": policy(ANYTHING)},
    ),
    "change a function's code": lambda at: (
        "lambda",
        "update_function_code",
        {"FunctionName": at.output("function_names")["refresh"], "ZipFile": b"x"},
    ),
    # Silence
    "take messages from a queue": lambda at: (
        "sqs",
        "receive_message",
        {"QueueUrl": at.output("dlq_urls")["postgres"]},
    ),
    "empty a queue": lambda at: ("sqs", "purge_queue", {"QueueUrl": at.output("dlq_urls")["dynamodb"]}),
    "stop the sync": lambda at: (
        "lambda",
        "update_event_source_mapping",
        {"UUID": at.output("event_source_mapping_ids")["postgres"], "Enabled": False},
    ),
    "disable a rule": lambda at: ("events", "disable_rule", _rule(at)),
    "silence the alarms": lambda at: (
        "cloudwatch",
        "disable_alarm_actions",
        {"AlarmNames": [f"{at.output('deployment')}-dead-letters"]},
    ),
    "delete a log group": lambda at: (
        "logs",
        "delete_log_group",
        {"logGroupName": at.output("log_group_names")["refresh"]},
    ),
    # Personal data
    "read every user of the table": lambda at: ("dynamodb", "scan", {"TableName": at.output("users_table")}),
    "read an object of the logs": lambda at: (
        "s3",
        "get_object",
        {"Bucket": at.output("archive_bucket"), "Key": at.log_object()},
    ),
}
"""Calls, by what an actor attempts with them.

Those that some actor may make (each ``MAY``) harm no later test. Others, such as "delete the table", do if a refusal
fails: the first test that fails counts then.
"""


def _message(url: str) -> dict[str, Any]:
    return {"QueueUrl": url, "MessageBody": "{}"}


def _invoke(at: Target, function: str, event: Any) -> dict[str, Any]:
    return {"FunctionName": at.output("function_names")[function], "Payload": json.dumps(event)}


def _role(at: Target, function: str) -> str:
    role = at.stack.client("lambda").get_function_configuration(FunctionName=at.output("function_names")[function])
    return str(role["Role"].rpartition("/")[2])


def _rule(at: Target) -> dict[str, Any]:
    bus = at.output("bus_names")["log-stream"]
    return {"Name": at.output("rule_names")["user-changes"]["log-stream"], "EventBusName": bus}


class Actor:
    """A principal with credentials of its own, which makes calls to the local stack."""

    def __init__(self, target: Target, key: str, secret: str, token: str | None = None) -> None:
        self._target = target
        self._session = boto3.Session(key, secret, token, region_name=target.stack.region)

    def client(self, service: str) -> Any:
        """Return a boto3 client with the actor's credentials."""
        make: Any = self._session.client
        config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, proxies={})
        return make(service, endpoint_url=self._target.stack.endpoint, config=config)

    def may(self, service: str, operation: str, **parameters: Any) -> bool:
        """Return whether a call is allowed; it may fail for other reasons then."""
        try:
            getattr(self.client(service), operation)(**parameters)
        except ClientError as error:
            return error.response["Error"]["Code"] not in DENIED
        return True

    def may_attempt(self, name: str) -> bool:
        """Make one of ``ATTEMPTS``; return whether it is allowed."""
        service, operation, parameters = ATTEMPTS[name](self._target)
        return self.may(service, operation, **parameters)


def person(target: Target, name: str, *policies: str) -> Actor:
    """Return an IAM user of the account with ``policies`` (JSON) and no other right."""
    return Actor(target, *make_user(target.stack.client("iam"), name, *policies))


def function(target: Target, name: str) -> Actor:
    """Return an actor that has taken over a function: it has the credentials of the function's role.

    The function must have run: MiniStack makes its credentials then, by the rule of its ``execution_credentials``.
    """
    found = target.stack.client("lambda").get_function_configuration(FunctionName=target.output("function_names")[name])
    digest = _sha256(f"{found['FunctionArn']}:{found['Role']}")
    return Actor(target, f"ASIA{digest[:16].upper()}", _sha256(f"secret:{digest}"), _sha256(f"token:{digest}"))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
