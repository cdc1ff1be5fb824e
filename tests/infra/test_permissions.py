"""Each role allows what is done in its name, where it is done, and nothing more.

What is deployed comes from Terraform, with AWS mocked (the module's tests/permissions.tftest.hcl). What is asked of
AWS comes from the functions themselves: each handler is run with the environment that Terraform gives it, against
clients that keep every request. That no request of the code was missed is read from the code. What AWS's services do in
the name of a role of theirs comes from AWS's documentation and from what Terraform has them do.
"""

import ast
import gzip
import io
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import partialmethod
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import boto3
import botocore.session
import msgspec
import psycopg
import pytest
from botocore import xform_name
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from botocore.response import StreamingBody
from ministack.core import iam_evaluator
from psycopg.conninfo import conninfo_to_dict

from devstack.emulator import permissions
from devstack.traffic import DEFAULT_SOURCE
from pipeline import data_api
from pipeline.auth0.api import Fetched, ManagementApi
from pipeline.auth0.errors import Auth0Down
from pipeline.backfill.load import Loaded
from pipeline.backfill.objects import Result, Task
from pipeline.changes import Export
from pipeline.functions.watch import QuestionsFailed
from pipeline.sinks.dynamodb_requests import PreparedRequests
from tests.infra.deployed import Json, Resource, State
from tests.manifest.bucket import SETTINGS, Bucket, fill, sign
from tests.refresh.support import Context, login
from tests.strategies import EVENTS_SOURCE, UPDATED_AT, created, records, streamed, text, user

# As in the module's tests/mocks and tests/permissions.tftest.hcl.
ACCOUNT, REGION = "123456789012", "eu-central-1"
SOURCE_REGION = "us-east-1"
PREFIX = "auth0-sync-test"
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/auth0-sync-boundary"
DATABASE = "cluster-ABCDEFGHIJKL1234"
SECRETS_KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/the-secrets"

NETWORK_INTERFACES = {
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
}
"""Actions that no policy can narrow to one resource: the interfaces do not exist yet."""

ROOT = Path(__file__).parents[2]
SECURITY = ROOT / "docs/security.md"


class Right(NamedTuple):
    """One action that a policy allows or denies; ``condition`` is canonical JSON."""

    effect: str
    action: str
    resource: str
    condition: str = "{}"


def allow(action: str, resource: str, **condition: dict[str, str]) -> Right:
    listed = {operator: {key: [value] for key, value in keys.items()} for operator, keys in condition.items()}
    return Right("Allow", action, resource, json.dumps(listed, sort_keys=True))


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def rights(policy: str) -> set[Right]:
    """Return a policy, taken apart."""
    found = set()
    for statement in json.loads(policy)["Statement"]:
        condition = {
            operator: {key: listed(value) for key, value in keys.items()}
            for operator, keys in statement.get("Condition", {}).items()
        }
        for action in listed(statement["Action"]):
            for resource in listed(statement["Resource"]):
                found.add(Right(statement["Effect"], action, resource, json.dumps(condition, sort_keys=True)))
    return found


# What is deployed


class Function(NamedTuple):
    """A Lambda function: where its code begins, what it is given, what it may do."""

    name: str
    handler: str
    environment: dict[str, str]
    in_vpc: bool
    queue: str | None
    rights: set[Right]
    log: str

    @property
    def arn(self) -> str:
        return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{self.name}"


class Deployment(State):
    """The roles and functions of a deployment."""

    @property
    def key(self) -> str:
        [key] = [key for key in self.all("aws_kms_key") if key.values["key_usage"] != "SIGN_VERIFY"]
        return str(key.values["arn"])

    def function(self, resource: Resource) -> Function:
        queues = self.all("aws_lambda_event_source_mapping", resource.module.rpartition(".module.")[0])
        return Function(
            name=resource.values["function_name"],
            handler=resource.values["handler"],
            environment=resource.values["environment"][0]["variables"],
            in_vpc=bool(resource.values["vpc_config"]),
            queue=queues[0].values["event_source_arn"] if queues else None,
            rights=rights(self.one("aws_iam_role_policy", resource.module)["policy"]),
            log=self.one("aws_cloudwatch_log_group", resource.module)["arn"],
        )

    def functions(self) -> dict[str, Function]:
        """Return the functions by name, without the deployment's prefix."""
        found = [self.function(resource) for resource in self.all("aws_lambda_function")]
        return {function.name.removeprefix(f"{PREFIX}-"): function for function in found}


@pytest.fixture(scope="module")
def deployment(state: Json) -> Deployment:
    return Deployment(state)


# What is asked of AWS


class Connected(Exception):
    """A handler has got as far as the database."""


class Aws:
    """Answers the requests of every client, and keeps them."""

    def __init__(self) -> None:
        self.operations: set[str] = set()
        self.asked: set[tuple[str, str]] = set()
        self.answers: dict[str, Callable[[Json], Json]] = {}

    def answer(self, service: str, operation: str, parameters: Json) -> Json:
        self.operations.add(operation)
        self.asked.update(named_by_iam(service, operation, parameters))
        answer = self.answers.get(operation)
        return answer(parameters) if answer else {}

    def connect(self, conninfo: str, **options: Any) -> Any:
        """Record the right to a connection of psycopg. IAM checks the user in the token, not the connection's."""
        token = str(conninfo_to_dict(conninfo)["password"])
        query = parse_qs(urlsplit(f"https://{token}").query)
        service = query["X-Amz-Credential"][0].split("/")[3]
        [action], [name] = query["Action"], query["DBUser"]
        self.asked.add((f"{service}:{action}", f"arn:aws:{service}:{REGION}:{ACCOUNT}:dbuser:{DATABASE}/{name}"))
        raise Connected


def named_by_iam(service: str, operation: str, parameters: Json) -> Iterator[tuple[str, str]]:
    """Yield the actions that IAM evaluates for a request, and their resources."""
    match service:
        case "dynamodb":
            [table] = parameters.get("RequestItems") or [parameters["TableName"]]
            yield f"dynamodb:{operation}", f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{table}"
        case "sqs":
            account, queue = urlsplit(parameters["QueueUrl"]).path.split("/")[1:]
            yield f"sqs:{operation.removesuffix('Batch')}", f"arn:aws:sqs:{REGION}:{account}:{queue}"
        case "lambda":
            name = parameters["FunctionName"]
            yield f"lambda:{operation}Function", f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"
        case "secretsmanager":
            yield f"secretsmanager:{operation}", parameters["SecretId"]
        case "sns":
            yield f"sns:{operation}", parameters["TopicArn"]
        case "kms":
            yield f"kms:{operation}", parameters["KeyId"]
        case "s3":
            yield from done_to_s3(operation, parameters)
        case "athena":  # looks the tables up, reads them, and writes and reads results, in the caller's name
            yield f"athena:{operation}", f"arn:aws:athena:{REGION}:{ACCOUNT}:workgroup/{PREFIX}"
            yield from done_by_athena()
        case "rds-data":  # reads the secret in the caller's name
            yield f"rds-data:{operation}", parameters["resourceArn"]
            yield "secretsmanager:GetSecretValue", parameters["secretArn"]
        case _:
            raise AssertionError(f"{service}:{operation}: say here which actions IAM knows it by")


def done_to_s3(operation: str, parameters: Json) -> Iterator[tuple[str, str]]:
    """Service Authorization Reference, "Actions, resources, and condition keys for Amazon S3"."""
    bucket = f"arn:aws:s3:::{parameters['Bucket']}"
    if operation == "ListObjectVersions":
        yield "s3:ListBucketVersions", bucket
        return
    prefix = f"{bucket}/{parameters['Key'].partition('/')[0]}/*"
    if operation == "PutObject" and "/results/" in parameters["Key"]:
        prefix += "/results/*"
    yield f"s3:{operation}{'Version' if operation == 'GetObject' and 'VersionId' in parameters else ''}", prefix
    if "ObjectLockMode" in parameters:
        yield "s3:PutObjectRetention", prefix


def done_by_athena() -> Iterator[tuple[str, str]]:
    """Yield the rights for a query: "Control access to Amazon S3 from Athena", "Configure access to databases"."""
    glue, database = f"arn:aws:glue:{REGION}:{ACCOUNT}", PREFIX.replace("-", "_")
    for action in ("GetDatabase", "GetPartition", "GetPartitions", "GetTable", "GetTables"):
        for resource in ("catalog", f"database/{database}", f"table/{database}/*"):
            yield f"glue:{action}", f"{glue}:{resource}"
    bucket = f"arn:aws:s3:::{PREFIX}-archive-{ACCOUNT}-{REGION}"
    yield from ((f"s3:{action}", bucket) for action in ("GetBucketLocation", "ListBucket"))
    yield from (("s3:GetObject", f"{bucket}/{prefix}/*") for prefix in ("logs", "athena-results"))
    for action in ("AbortMultipartUpload", "ListMultipartUploadParts", "PutObject"):
        yield f"s3:{action}", f"{bucket}/athena-results/*"


def asked_of_kms(action: str, resource: str, key: str) -> set[Right]:
    """Return the requests to KMS that AWS's services make in the caller's name for an action on a resource."""
    service, name = resource.split(":")[2], resource.rpartition("/")[2]
    match action:
        case "s3:GetObject" | "s3:GetObjectVersion" | "s3:PutObject":  # with a bucket's key, S3 names the bucket only
            via_s3 = {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}
            return {allow(action, key, StringEquals=via_s3) for action in ("kms:Decrypt", "kms:GenerateDataKey")}
        case "sns:Publish":
            actions, context = ["kms:Decrypt", "kms:GenerateDataKey"], {"aws:sns:topicArn": resource}
        case "sqs:ReceiveMessage":
            actions, context = ["kms:Decrypt"], {"aws:sqs:arn": resource}
        case "sqs:SendMessage":
            actions, context = ["kms:Decrypt", "kms:GenerateDataKey"], {"aws:sqs:arn": resource}
        case (
            "dynamodb:BatchGetItem" | "dynamodb:DeleteItem" | "dynamodb:GetItem" | "dynamodb:PutItem" | "dynamodb:Scan"
        ):
            actions, context = ["kms:Decrypt"], {"aws:dynamodb:subscriberId": ACCOUNT, "aws:dynamodb:tableName": name}
        case "secretsmanager:GetSecretValue":
            actions, context = ["kms:Decrypt"], {"SecretARN": resource}
        case "secretsmanager:PutSecretValue":  # User Guide, "Secret encryption and decryption in AWS Secrets Manager"
            actions, context = ["kms:Decrypt", "kms:GenerateDataKey"], {"SecretARN": resource}
        case "firehose:PutRecord":  # AWS does not say with which context
            return {allow(action, key) for action in ("kms:Decrypt", "kms:GenerateDataKey")}
        case _:
            return set()
    keys = {f"kms:EncryptionContext:{name}": value for name, value in context.items()}
    via = {"kms:ViaService": f"{service}.{REGION}.amazonaws.com"}
    return {allow(action, key, StringEquals=via | keys) for action in actions}


def given_anyway(function: Function, key: str) -> set[Right]:
    """Return the rights of a function's role for its log, its settings, its network and its queue."""
    own = {"kms:EncryptionContext:aws:lambda:FunctionArn": function.arn}
    found = {allow(f"logs:{action}", f"{function.log}:*") for action in ("CreateLogStream", "PutLogEvents")}
    found.add(allow("kms:Decrypt", key, StringEquals=own))
    if function.in_vpc:
        found |= {allow(action, "*") for action in NETWORK_INTERFACES}
        code = json.dumps({"ArnEquals": {"lambda:SourceFunctionArn": [function.arn]}})
        found |= {Right("Deny", action, "*", code) for action in NETWORK_INTERFACES}
    if function.queue:
        for action in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes"):
            found.add(allow(f"sqs:{action}", function.queue))
            found |= asked_of_kms(f"sqs:{action}", function.queue, key)
    return found


def forget_clients() -> None:
    """Handlers keep theirs for the life of an execution environment."""
    for name in ("sync", "refresh", "backfill", "reconcile", "roles", "watch", "manifest"):
        module = import_module(f"pipeline.functions.{name}")
        for value in vars(module).values():
            if hasattr(value, "cache_clear"):
                value.cache_clear()


def _answer(client: BaseClient, aws: Aws, operation: str, parameters: Json) -> Json:
    return aws.answer(client.meta.service_model.service_name, operation, parameters)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    aws = Aws()
    monkeypatch.setattr(BaseClient, "_make_api_call", partialmethod(_answer, aws))
    monkeypatch.setattr(psycopg, "connect", aws.connect)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    forget_clients()
    yield aws
    forget_clients()


def invoke(function: Function, event: Json) -> Json:
    module, _, name = function.handler.rpartition(".")
    answer: Json = getattr(import_module(module), name)(event, Context(60))
    return answer


def sync_to_postgres(aws: Aws, function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Connected):
        invoke(function, {"Records": records(text(created(user())))})


def sync_to_dynamodb(aws: Aws, function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    """Store a whole user, and a part of one, which the sink merges with the item."""
    events = created(user("auth0|ada")), streamed("user.updated", user("auth0|eve"))
    assert invoke(function, {"Records": records(*events)}) == {"batchItemFailures": []}


def migrate(aws: Aws, function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Connected):
        invoke(function, {"revision": "head"})


def refresh(aws: Aws, function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetch a user too large for the sinks' queues, and one for whom Auth0 is down, so that the signal goes back."""

    def fetch(api: ManagementApi, user_id: str, deadline: float) -> Fetched:
        if user_id == "auth0|eve":
            raise Auth0Down
        return Fetched(user_id, text({"user_id": user_id, "updated_at": UPDATED_AT}).encode(), datetime.now(UTC))

    monkeypatch.setattr(ManagementApi, "user", fetch)
    monkeypatch.setattr("pipeline.auth0.fetcher.PAUSE", 0.001)
    monkeypatch.setenv("REFRESH_RATE", "1000")
    aws.answers["GetSecretValue"] = lambda _: {"SecretString": '{"client_id": "id", "client_secret": "secret"}'}
    aws.answers["SendMessageBatch"] = lambda request: {
        "Failed": [
            {"Id": entry["Id"], "Code": "InvalidParameterValue", "SenderFault": True}
            for entry in request["Entries"]
            if "auth0|ada" in entry["MessageBody"]
        ]
    }
    aws.answers["Invoke"] = lambda _: {"Payload": io.BytesIO(b'{"batchItemFailures": []}')}
    signals = records(login("auth0|ada"), login("auth0|eve"))
    assert invoke(function, {"Records": signals}) == {"batchItemFailures": []}


def roles(aws: Aws, function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run once with success, once with a statement that Postgres refuses."""
    answer = {"columnMetadata": [{"name": "line", "typeName": "text"}], "records": [[{"stringValue": "nobody"}]]}

    def refuse(parameters: Json) -> Json:
        raise ClientError({"Error": {"Code": "BadRequestException", "Message": "SQLState: 42601"}}, "ExecuteStatement")

    aws.answers["BeginTransaction"] = lambda _: {"transactionId": "transaction"}
    aws.answers["ExecuteStatement"] = lambda _: answer
    invoke(function, {})
    aws.answers["ExecuteStatement"] = refuse
    with pytest.raises(data_api.Refused):
        invoke(function, {})


def watch(aws: Aws, function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run once with a finding, once with a question that takes too long."""
    row = {"log_id": "1"}
    columns = [{"Name": name, "Type": "varchar"} for name in row]
    rows = [{"Data": [{"VarCharValue": value} for value in values]} for values in (list(row), list(row.values()))]
    aws.answers["StartQueryExecution"] = lambda _: {"QueryExecutionId": "q"}
    aws.answers["GetQueryResults"] = lambda _: {
        "ResultSet": {"ResultSetMetadata": {"ColumnInfo": columns}, "Rows": rows}
    }
    aws.answers["BatchGetItem"] = lambda _: {"Responses": {}}
    aws.answers["GetQueryExecution"] = lambda _: {"QueryExecution": {"Status": {"State": "SUCCEEDED"}}}
    assert invoke(function, {}) == {"mfa_weakened": 1}
    aws.answers["GetQueryExecution"] = lambda _: {"QueryExecution": {"Status": {"State": "RUNNING"}}}
    monkeypatch.setattr("pipeline.functions.watch.RESERVE", 59.9)
    with pytest.raises(QuestionsFailed, match="mfa_weakened"):
        invoke(function, {})


def manifests(aws: Aws, function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    """List an object of the archive and one of errors after an existing manifest, and record an erasure."""
    bucket = Bucket()
    fill(bucket, 1, settings=replace(SETTINGS, key_arn=function.environment["MANIFEST_KEY_ARN"]))
    errors = f"errors/processing-failed/dt={bucket.now.date()}/1"
    for key in (f"logs/dt={bucket.now.date()}/hour=01/1", errors):
        bucket.put(key, b"1")

    def list_versions(parameters: Json) -> Json:
        if "Delimiter" in parameters:
            return {"CommonPrefixes": [{"Prefix": prefix} for prefix in bucket.below(parameters["Prefix"])]}
        found = [
            {"Key": v.key, "VersionId": v.id, "Size": v.size, "LastModified": datetime.now(UTC), "IsLatest": v.latest}
            for v in bucket.versions(parameters["Prefix"])
        ]
        return {"Versions": found}

    def get(parameters: Json) -> Json:
        [version] = bucket.versions(parameters["Key"])
        content = bucket.read(version)
        return {"Body": StreamingBody(io.BytesIO(content), len(content))}

    def signed(parameters: Json) -> Json:
        return {"Signature": sign(parameters["Message"])}

    aws.answers |= {"ListObjectVersions": list_versions, "GetObject": get, "Sign": signed, "Verify": lambda _: {}}
    monkeypatch.setattr("pipeline.functions.manifest.RESERVE", 0)
    assert "manifests/dt=2026-11-02/0000.jsonl" in invoke(function, {})
    erased = {"key": errors, "before": "0" * 64, "after": None}
    recorded = invoke(function, {"erasure": {"reason": "rearchived", "reference": "", "objects": [erased]}})
    assert str(recorded).startswith("manifests/erasures/")


def backfill(aws: Aws, function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slice for each store."""
    content = gzip.compress(text(user()).encode())
    loaded = Result(Loaded(rows=1, applied=1))
    aws.answers["GetObject"] = lambda _: {"Body": StreamingBody(io.BytesIO(content), len(content))}
    aws.answers["Invoke"] = lambda _: {"Payload": io.BytesIO(msgspec.json.encode(loaded))}
    tasks = [Task(Export("job-1", "2026-01-15T09:00:00.000000Z"), 1, store) for store in ("postgres", "dynamodb")]
    answer = invoke(function, {"Records": records(*(msgspec.json.encode(task).decode() for task in tasks))})
    assert answer == {"batchItemFailures": []}


def reconcile(aws: Aws, function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sign in to Postgres; and find a user who is in DynamoDB alone, with a Postgres of nobody."""
    item = {"user_id": {"S": "auth0|ada"}, "version": {"S": "1"}}
    aws.answers["Scan"] = lambda request: {"Items": [item] if request["Segment"] == 0 else []}
    aws.answers["BatchGetItem"] = lambda request: {"Responses": {table: [item] for table in request["RequestItems"]}}
    monkeypatch.setattr(PreparedRequests, "_first_attempt", lambda *_: None)
    with pytest.raises(Connected):
        invoke(function, {})
    monkeypatch.setattr("pipeline.stores.server.Server.rows", lambda *_: [])
    assert invoke(function, {})["drift"] == {"missing in postgres": 1}


RUNS = {
    "backfill": backfill,
    "manifest": manifests,
    "reconcile": reconcile,
    "sync-postgres": sync_to_postgres,
    "sync-dynamodb": sync_to_dynamodb,
    "refresh": refresh,
    "migrate": migrate,
    "roles": roles,
    "watch": watch,
}
"""A run of each function in which it does all that it can."""


def run(name: str, aws: Aws, function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a function as Lambda does: with its own environment, and a role's temporary credentials."""
    for variable in [name for name in os.environ if name.startswith(("AWS_", "PG", "DATABASE_"))]:
        monkeypatch.delenv(variable)
    lent = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key", "AWS_SESSION_TOKEN": "token"}
    region = {"AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
    sources = {"EVENT_SOURCES": f"{DEFAULT_SOURCE},{EVENTS_SOURCE}"}
    for variable, value in (function.environment | lent | region | sources).items():
        monkeypatch.setenv(variable, value)
    RUNS[name](aws, function, monkeypatch)


# What AWS's services do


class Role(NamedTuple):
    """A role of one of AWS's services, other than Lambda."""

    address: str
    arn: str
    service: str
    trust: Json
    """The condition under which the service can take it."""
    rights: set[Right]


def service_roles(deployment: Deployment) -> Iterator[Role]:
    for resource in deployment.all("aws_iam_role"):
        [statement] = json.loads(resource.values["assume_role_policy"])["Statement"]
        policies = [
            policy.values["policy"]
            for policy in deployment.all("aws_iam_role_policy")
            if policy.values["role"] == resource.values["id"]
        ]
        service = statement["Principal"]["Service"]
        if service != "lambda.amazonaws.com":
            allowed = set().union(*map(rights, policies))
            yield Role(resource.address, resource.values["arn"], service, statement["Condition"], allowed)


def done_by_eventbridge(role: Role, deployment: Deployment) -> set[Right]:
    """Return a target's role's rights: User Guide, "Using identity-based policies in Amazon EventBridge"."""
    done = set()
    for target in deployment.all("aws_cloudwatch_event_target"):
        arn = target.values["arn"]
        if target.values["role_arn"] != role.arn:
            continue
        match arn.split(":")[2]:
            case "events":
                done.add(allow("events:PutEvents", arn))
            case "firehose":
                done |= {allow(f"firehose:{action}", arn) for action in ("PutRecord", "PutRecordBatch")}
                [stream] = [s for s in deployment.all("aws_kinesis_firehose_delivery_stream") if s.values["arn"] == arn]
                key = stream.values["server_side_encryption"][0]["key_arn"]
                done |= asked_of_kms("firehose:PutRecord", arn, key)
            case service:
                raise AssertionError(f"{target.address}: say here what EventBridge does to {service}")
    return done


def done_by_firehose(role: Role, deployment: Deployment) -> set[Right]:
    """Developer Guide, "Grant Firehose access to an Amazon S3 destination"; there with "*" below the bucket."""
    done = set()
    for stream in deployment.all("aws_kinesis_firehose_delivery_stream"):
        [settings] = stream.values["extended_s3_configuration"]
        if settings["role_arn"] != role.arn:
            continue
        bucket = settings["bucket_arn"]
        done |= {allow(f"s3:{a}", bucket) for a in ("GetBucketLocation", "ListBucket", "ListBucketMultipartUploads")}
        for prefix in (settings["prefix"], settings["error_output_prefix"]):
            folder = prefix.partition("!{")[0].rpartition("/")[0]
            done |= {
                allow(f"s3:{a}", f"{bucket}/{folder}/*") for a in ("AbortMultipartUpload", "GetObject", "PutObject")
            }
        [logs] = settings["cloudwatch_logging_options"]
        [log] = [g for g in deployment.all("aws_cloudwatch_log_group") if g.values["name"] == logs["log_group_name"]]
        done.add(allow("logs:PutLogEvents", f"{log.values['arn']}:*"))
        contexts = {"kms:EncryptionContext:aws:s3:arn": [bucket, f"{bucket}/*"]}
        condition = {
            "ArnLike": contexts, "StringEquals": {"kms:ViaService": [f"s3.{REGION}.amazonaws.com"]}
        }  # fmt: skip
        for action in ("kms:Decrypt", "kms:GenerateDataKey"):
            done.add(Right("Allow", action, deployment.key, json.dumps(condition, sort_keys=True)))
    return done


def done_by_flow_logs(role: Role, deployment: Deployment) -> set[Right]:
    """VPC User Guide, "IAM role for publishing flow logs to CloudWatch Logs"; the group is there already."""
    logs = [flow.values["log_destination"] for flow in deployment.all("aws_flow_log")]
    return {
        allow(f"logs:{a}", f"{log}:*")
        for log in logs
        for a in ("CreateLogStream", "DescribeLogStreams", "PutLogEvents")
    }


DONE_BY = {
    "events.amazonaws.com": done_by_eventbridge,
    "firehose.amazonaws.com": done_by_firehose,
    "vpc-flow-logs.amazonaws.com": done_by_flow_logs,
}
"""The actions of each service under a role of its own."""


# What the code holds


def reachable(handlers: set[str]) -> dict[str, ast.Module]:
    """Return the modules of ours that a handler's module imports, wherever in it, and they in turn."""
    found: dict[str, ast.Module] = {}
    waiting = {handler.rpartition(".")[0] for handler in handlers}
    while waiting:
        name = waiting.pop()
        path = ROOT.joinpath(*name.split("."))
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if name in found or not file.exists():
            continue
        found[name] = ast.parse(file.read_text())
        for node in ast.walk(found[name]):
            if isinstance(node, ast.Import):
                waiting |= {alias.name for alias in node.names if alias.name.startswith("pipeline")}
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pipeline"):
                waiting |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def operations_in(modules: dict[str, ast.Module]) -> set[str]:
    """Return every operation of AWS that the modules name, of any of the services that they make clients of."""
    nodes = [node for module in modules.values() for node in ast.walk(module)]
    attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
    # A session is botocore's, too, and not an operation of Athena alone.
    names = {node.attr for node in attributes if ast.unparse(node.value) != "botocore.session"}
    # A paginator's operation is named by a string, or the request would be missed.
    calls = [n for n in nodes if isinstance(n, ast.Call) and ast.unparse(n.func).endswith(".get_paginator")]
    names |= {str(call.args[0].value) for call in calls if isinstance(call.args[0], ast.Constant)}
    assert all(isinstance(call.args[0], ast.Constant) for call in calls)
    indirect = names & {"resource", "get_waiter", "Session", "generate_presigned_url"}
    assert not indirect, f"{indirect}: requests that are made so are not found here"
    made = [
        n
        for n in nodes
        if isinstance(n, ast.Call) and re.search(r"(^boto3\.|\.create_|^aws_)client$", ast.unparse(n.func))
    ]
    services = {str(call.args[0].value) for call in made if isinstance(call.args[0], ast.Constant)}
    session = botocore.session.get_session()
    return {
        operation
        for service in services
        for operation in session.get_service_model(service).operation_names
        if xform_name(operation) in names
    }


# The proof


def test_every_function_is_looked_at(deployment: Deployment) -> None:
    assert set(deployment.functions()) == set(RUNS)


@pytest.mark.parametrize("name", RUNS)
def test_a_role_allows_what_its_function_does_and_nothing_more(
    name: str, deployment: Deployment, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    function = deployment.functions()[name]
    run(name, aws, function, monkeypatch)
    needed = given_anyway(function, deployment.key)
    for action, resource in aws.asked:
        needed.add(allow(action, resource))
        theirs = "secret:auth0-" in resource and f"secret:{PREFIX}-query" not in resource
        needed |= asked_of_kms(action, resource, SECRETS_KEY if theirs else deployment.key)
    assert function.rights == needed


def test_a_role_allows_what_its_service_does_and_nothing_more(deployment: Deployment) -> None:
    found = list(service_roles(deployment))
    assert {role.service for role in found} == set(DONE_BY)
    for role in found:
        done = DONE_BY[role.service](role, deployment)
        assert done, f"{role.address} is given to nothing"
        assert role.rights == done, role.address
    named = [role.arn for role in found if role.service != "vpc-flow-logs.amazonaws.com"]
    assert len(set(named)) == len(named), "permissions.tftest.hcl must give each of these roles an ARN of its own"


def test_eventbridge_takes_a_role_for_the_rules_of_its_targets_only(deployment: Deployment) -> None:
    rules = {found.values["name"]: found.values["arn"] for found in deployment.all("aws_cloudwatch_event_rule")}
    targets = [target.values for target in deployment.all("aws_cloudwatch_event_target")]
    for role in service_roles(deployment):
        if role.service == "events.amazonaws.com":
            mine = sorted(rules[target["rule"]] for target in targets if target["role_arn"] == role.arn)
            assert sorted(listed(role.trust["ArnEquals"]["aws:SourceArn"])) == mine, role.address
            assert role.trust["StringEquals"] == {"aws:SourceAccount": ACCOUNT}
    # A queue and a function are reached by their own policies, everything else as a role.
    assert {target["arn"].split(":")[2] for target in targets if target["role_arn"] is None} == {"sqs", "lambda"}


def test_every_function_has_the_version(deployment: Deployment) -> None:
    environments = [found.values["environment"][0]["variables"] for found in deployment.all("aws_lambda_function")]
    assert {variables["AUTH0_SYNC_VERSION"] for variables in environments} == {version("auth0-sync")}


def test_every_function_names_itself_in_its_log(deployment: Deployment) -> None:
    functions = deployment.functions()
    assert {name: function.environment.get("SERVICE_NAME") for name, function in functions.items()} == {
        name: name for name in functions
    }


def test_only_its_schedule_starts_a_scheduled_function(deployment: Deployment) -> None:
    permissions = deployment.all("aws_lambda_permission")
    rules = {
        rule.module: rule for rule in deployment.all("aws_cloudwatch_event_rule") if rule.values["schedule_expression"]
    }
    functions = {deployment.functions()[name].name for name in ("watch", "manifest", "reconcile")}
    assert {permission.values["function_name"] for permission in permissions} == functions
    assert len(permissions) == len(rules) == len(functions)
    expressions = {rule.values["name"]: rule.values["schedule_expression"] for rule in rules.values()}
    assert expressions == {
        f"{PREFIX}-watch": "rate(2 hours)",
        f"{PREFIX}-manifest": "rate(1 hour)",
        f"{PREFIX}-reconcile": "rate(12 hours)",
    }
    for permission in permissions:
        assert permission.values["principal"] == "events.amazonaws.com"
        assert permission.values["source_arn"] == rules[permission.module].values["arn"]


def test_the_key_of_the_manifests_signs_for_their_function_only(deployment: Deployment) -> None:
    """An actor of the account may have kms:* of everything: the key's own policy denies it to sign."""
    [key] = [key for key in deployment.all("aws_kms_key") if key.values["key_usage"] == "SIGN_VERIFY"]
    denied, _ = statements(key.values["policy"])
    role = f"arn:aws:iam::{ACCOUNT}:role/{deployment.functions()['manifest'].name}"
    assert [(s["Principal"], s["Action"], s["Condition"]) for s in denied] == [
        ({"AWS": "*"}, "kms:Sign", {"StringNotEquals": {"aws:PrincipalArn": role}})
    ]
    names = {found.values["name"] for found in deployment.all("aws_iam_role")}
    assert role.rpartition("/")[2] in names


def test_a_bus_elsewhere_lets_the_account_put_events(deployment: Deployment) -> None:
    """User Guide, "Sending and receiving events between AWS Regions": PutTargets looks for it, and names no rule."""
    policies = {
        p.values["event_bus_name"]: p.values["policy"] for p in deployment.all("aws_cloudwatch_event_bus_policy")
    }
    elsewhere = [bus for bus in deployment.all("aws_cloudwatch_event_bus") if bus.module.startswith("module.relay[")]
    assert {bus.values["name"] for bus in elsewhere} == set(policies)
    for bus in elsewhere:
        [statement] = json.loads(policies[bus.values["name"]])["Statement"]
        assert statement == {
            "Sid": "ThisAccount",
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
            "Action": "events:PutEvents",
            "Resource": bus.values["arn"],
        }


def test_the_runs_make_every_request_that_the_code_holds(
    deployment: Deployment, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    functions = deployment.functions()
    for name, function in functions.items():
        with monkeypatch.context() as patch:
            forget_clients()
            run(name, aws, function, patch)
    assert operations_in(reachable({function.handler for function in functions.values()})) == aws.operations


def test_no_role_allows_everything_of_anything(deployment: Deployment) -> None:
    everywhere = set()
    for resource in deployment.all("aws_iam_role_policy"):
        for right in rights(resource.values["policy"]):
            assert "*" not in right.action, resource.address
            if right.effect == "Allow" and right.resource == "*":
                everywhere.add(right.action)
    assert everywhere == NETWORK_INTERFACES


def test_roles_are_for_aws_services_and_have_no_policies_of_others(deployment: Deployment) -> None:
    services = set()
    for resource in deployment.all("aws_iam_role"):
        for statement in json.loads(resource.values["assume_role_policy"])["Statement"]:
            assert set(statement["Principal"]) == {"Service"}, resource.address
            services |= set(listed(statement["Principal"]["Service"]))
            # Lambda alone takes a role for nobody but the function that has it.
            assert statement["Principal"]["Service"] == "lambda.amazonaws.com" or "Condition" in statement, (
                resource.address
            )
    assert services == {"lambda.amazonaws.com", *DONE_BY}
    assert deployment.all("aws_iam_role_policy_attachment") == []
    assert deployment.all("aws_lambda_function_url") == []


def statements(policy: str) -> tuple[list[Json], list[Json]]:
    """Return the statements that deny, and those that allow."""
    found = json.loads(policy)["Statement"]
    return [s for s in found if s["Effect"] == "Deny"], [s for s in found if s["Effect"] == "Allow"]


POLICIES = {"aws_sqs_queue": "sqs", "aws_s3_bucket_policy": "s3", "aws_sns_topic": "sns"}


@pytest.mark.parametrize("kind", POLICIES)
def test_policies_admit_only_their_sources(kind: str, deployment: Deployment) -> None:
    found = deployment.all(kind)
    assert found
    for resource in found:
        denied, allowed = statements(resource.values["policy"])
        plain = {"Bool": {"aws:SecureTransport": "false"}}
        assert [s["Principal"] for s in denied if s.get("Condition") == plain] == ["*"], resource.address
        for statement in allowed:
            assert set(statement["Principal"]) == {"Service"}, resource.address
            sources = [keys.get("aws:SourceArn") for keys in statement["Condition"].values()]
            assert any(sources), resource.address


def test_a_queue_takes_messages_of_its_rules_only(deployment: Deployment) -> None:
    rules = {found.values["name"]: found.values["arn"] for found in deployment.all("aws_cloudwatch_event_rule")}
    assert len(set(rules.values())) == len(rules), "permissions.tftest.hcl must give each rule an ARN of its own"
    opened = 0
    for queue in deployment.all("aws_sqs_queue"):
        targets = deployment.all("aws_cloudwatch_event_target", queue.module.rpartition(".module.")[0])
        mine = sorted(rules[target.values["rule"]] for target in targets)
        _, allowed = statements(queue.values["policy"])
        if queue.name == "failed":  # SQS itself moves messages there
            assert allowed == []
            continue
        if not targets:  # the backfill's, whose messages are a command's
            assert allowed == []
            continue
        [statement] = allowed
        assert statement["Principal"] == {"Service": "events.amazonaws.com"}
        assert statement["Action"] == "sqs:SendMessage"
        assert sorted(listed(statement["Condition"]["ArnEquals"]["aws:SourceArn"])) == mine, queue.address
        opened += 1
    assert opened


def sends(queue: Resource, principal: str) -> bool:
    """Return whether a principal that may send by its own policies may send to the queue."""
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue.values['name']}"
    if queue.module.startswith("module.relay["):
        arn = arn.replace(REGION, SOURCE_REGION)
    caller = iam_evaluator.PrincipalInfo(arn=principal, type="AssumedRole", account=ACCOUNT, policies=None)
    asked = permissions.context(caller, REGION, "sqs:SendMessage", arn, {"aws:PrincipalIsAWSService": "false"})
    return bool(iam_evaluator.evaluate_resource_policy(queue.values["policy"], asked).decision != "Deny")


def test_only_operators_can_send_messages(deployment: Deployment) -> None:
    """A developer's role, another function and another deployment may not send, whatever their own policies allow."""
    iam = f"arn:aws:iam::{ACCOUNT}"
    queues = deployment.all("aws_sqs_queue")
    for queue in queues:
        for operator in (f"{iam}:role/Deployer", f"{iam}:role/people/Deployer", f"{iam}:user/ada"):
            assert sends(queue, operator), queue.address
        for stranger in (
            f"{iam}:root",
            f"{iam}:role/developer",
            f"{iam}:role/Deployer/developer",
            f"{iam}:role/NotDeployer",
            f"{iam}:role/{PREFIX}-sync-postgres",
            f"{iam}:role/{PREFIX}-x-refresh",
            f"{iam}:user/eve",
        ):
            assert not sends(queue, stranger), (queue.address, stranger)
    refresh = f"{iam}:role/{PREFIX}-refresh"
    assert {queue.values["name"] for queue in queues if sends(queue, refresh)} == {
        f"{PREFIX}-{queue}" for queue in ("postgres", "dynamodb", "refresh")
    }


def test_every_role_is_within_the_boundary(deployment: Deployment) -> None:
    roles = deployment.all("aws_iam_role")
    assert len(roles) == len(deployment.functions()) + 5
    for role in roles:
        assert role.values["permissions_boundary"] == BOUNDARY, role.address


def test_every_queue_takes_messages_of_the_same_size(deployment: Deployment) -> None:
    """A dead-letter queue that took less than its source would lose what it is there to keep."""
    written = [
        block
        for path in (ROOT / "infra/terraform").rglob("*.tf")
        for block in re.findall(r'^resource "aws_sqs_queue" .*?^}', path.read_text(), flags=re.M | re.S)
    ]
    assert len(written) == 2  # of the queue's module: a queue and its dead-letter queue
    assert all("max_message_size" in block for block in written)
    sizes = {queue.address: queue.values["max_message_size"] for queue in deployment.all("aws_sqs_queue")}
    assert len(sizes) == 3 * 3 + 2 + 1 + 2  # consumers, the backfill, the archive, the relay of each stream
    assert set(sizes.values()) == {262_144}, sizes


def test_every_bucket_is_closed_to_the_public(deployment: Deployment) -> None:
    closed = {
        found.module: all(
            found.values[name]
            for name in ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets")
        )
        for found in deployment.all("aws_s3_bucket_public_access_block")
    }
    for bucket in deployment.all("aws_s3_bucket"):
        assert closed[bucket.module], bucket.address
        assert statements(deployment.one("aws_s3_bucket_policy", bucket.module)["policy"])[1] == []


def nested(*path: str | int) -> Callable[[Json], Any]:
    def value(values: Any) -> Any:
        for step in path:
            values = values[step]
        return values

    return value


def in_the_data_region(found: list[Resource]) -> list[Resource]:
    """Return the resources outside the source's region, where the deployment's key is not."""
    return [one for one in found if not one.module.startswith(("module.relay[", "module.source_observability["))]


KEYS: dict[str, list[Callable[[Json], Any]]] = {
    "aws_athena_workgroup": [
        nested("configuration", 0, "result_configuration", 0, "encryption_configuration", 0, "kms_key_arn")
    ],
    "aws_cloudwatch_log_group": [nested("kms_key_id")],
    "aws_dynamodb_table": [nested("server_side_encryption", 0, "kms_key_arn")],
    "aws_kinesis_firehose_delivery_stream": [nested("server_side_encryption", 0, "key_arn")],
    "aws_lambda_function": [nested("kms_key_arn")],
    "aws_rds_cluster": [nested("kms_key_id"), nested("master_user_secret_kms_key_id")],
    "aws_rds_cluster_instance": [nested("performance_insights_kms_key_id")],
    "aws_s3_bucket_server_side_encryption_configuration": [
        lambda values: values["rule"][0]["apply_server_side_encryption_by_default"][0]["kms_master_key_id"]
    ],
    "aws_secretsmanager_secret": [nested("kms_key_id")],
    "aws_sns_topic": [nested("kms_master_key_id")],
    "aws_sqs_queue": [nested("kms_master_key_id")],
}
"""The attributes that name the key, for each kind of resource that stores data."""


@pytest.mark.parametrize("kind", KEYS)
def test_deployments_key_encrypts_all_stored_data(kind: str, deployment: Deployment) -> None:
    found = in_the_data_region(deployment.all(kind))
    assert found
    for resource in found:
        assert [key(resource.values) for key in KEYS[kind]] == [deployment.key] * len(KEYS[kind]), resource.address


def test_the_keys_policy_reaches_everything_that_needs_it(deployment: Deployment) -> None:
    """The policy names resources by patterns, so that the key can exist before them."""
    [key] = [key for key in deployment.all("aws_kms_key") if key.values["arn"] == deployment.key]
    policy = {statement["Sid"]: statement for statement in json.loads(key.values["policy"])["Statement"]}

    def patterns(sid: str, name: str) -> list[str]:
        return listed(policy[sid]["Condition"]["ArnLike"][name])

    def reached(arn: str, by: list[str]) -> bool:
        return any(fnmatchcase(arn, pattern) for pattern in by)

    for group in deployment.all("aws_cloudwatch_log_group"):
        arn = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group.values['name']}"
        assert reached(arn, patterns("LogGroups", "kms:EncryptionContext:aws:logs:arn")), group.address
    for queue in in_the_data_region(deployment.all("aws_sqs_queue")):
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue.values['name']}"
        assert reached(arn, patterns("EventsToQueues", "kms:EncryptionContext:aws:sqs:arn")), queue.address
    for alarm in in_the_data_region(deployment.all("aws_cloudwatch_metric_alarm")):
        arn = f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{alarm.values['alarm_name']}"
        assert reached(arn, patterns("AlarmsToTopic", "aws:SourceArn")), alarm.address


def test_no_log_is_kept_for_ever(deployment: Deployment) -> None:
    for group in deployment.all("aws_cloudwatch_log_group"):
        assert group.values["retention_in_days"] > 0, group.address


def test_no_function_gets_a_secret_in_its_environment(deployment: Deployment) -> None:
    """A function's environment has names, addresses and ARNs only."""
    for function in deployment.functions().values():
        assert not {"DATABASE_URL", "PGPASSWORD", "AUTH0_CLIENT_SECRET"} & set(function.environment), function.name


# What docs/security.md says of it


@pytest.mark.parametrize("name", RUNS)
def test_the_documentation_has_each_functions_rights(name: str, deployment: Deployment) -> None:
    [row] = [line for line in SECURITY.read_text().splitlines() if line.startswith(f"| `{name}` |")]
    function = deployment.functions()[name]
    common = {right.action for right in given_anyway(function, deployment.key)}
    with_a_service = {"kms:Decrypt", "kms:GenerateDataKey"}
    own = {right.action for right in function.rights} - common - with_a_service
    assert set(re.findall(r"`([a-z0-9-]+:[A-Za-z]+)`", row.split("|")[2])) == own


WORDS = {
    "events.amazonaws.com": "EventBridge",
    "firehose.amazonaws.com": "Firehose",
    "vpc-flow-logs.amazonaws.com": "VPC",
}


def test_the_documentation_has_the_rights_of_each_services_role(deployment: Deployment) -> None:
    _, _, table = SECURITY.read_text().partition("| taken by | may | on |\n")
    rows = [line.split("|")[1:3] for line in table.partition("\n\n")[0].splitlines()[1:]]
    documented = {(by.split()[0].strip(","), frozenset(re.findall(r"`([\w-]+:\w+)`", may))) for by, may in rows}
    roles = list(service_roles(deployment))
    assert documented == {(WORDS[role.service], frozenset(right.action for right in role.rights)) for role in roles}


def test_the_documentation_has_the_policy_for_a_key_of_ones_own(deployment: Deployment) -> None:
    [key] = [key for key in deployment.all("aws_kms_key") if key.values["arn"] == deployment.key]
    iam, *services = json.loads(key.values["policy"])["Statement"]
    assert iam["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    _, _, rest = SECURITY.read_text().partition("```json key-policy\n")
    documented, _, _ = rest.partition("\n```\n")
    for placeholder, value in {"REGION": REGION, "ACCOUNT": ACCOUNT, "NAME": PREFIX}.items():
        documented = documented.replace(placeholder, value)
    assert json.loads(documented) == services
