"""The policies of infra/terraform/policies, and the questions that a recorded deployment asks IAM.

The emulator's `request_log` records requests. Here each becomes questions to IAM: the actions and resources of the
Service Authorization Reference, with the keys that the policies' conditions name.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from ministack.core import iam_evaluator

from pipeline.terraform import CONFIGURATION

Json = dict[str, Any]

POLICIES: Final = CONFIGURATION / "policies"
PLAN: Final = ("deploy-plan",)
APPLY: Final = ("deploy-plan", "deploy-apply-roles", "deploy-apply", "deploy-apply-stores")
"""The policies of a planner and of a deployer, by file."""

RECORD: Final = Path(__file__).with_name("deployment-actions.json")
"""Record by tests/deploy/test_production.py: the actions of each command."""

ALWAYS: Final = ("sts:GetCallerIdentity",)
"""Actions that IAM allows everybody."""

ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\b(vpc|subnet|sg|rtb|fl|eni|acl|sgr)-[0-9a-f]{8,}")
"""Identifiers that AWS makes up."""


class Asked(NamedTuple):
    """One question to IAM: an action, its resource, and the request's condition keys."""

    action: str
    resource: str
    keys: Mapping[str, str] = MappingProxyType({})


class Place(NamedTuple):
    """A deployment's account, and the prefix of its names."""

    account: str
    name: str

    def render(self, policy: str, *, auth0_secret: str = "arn:aws:secretsmanager:*:*:secret:none") -> str:
        """Return a policy with its placeholders replaced, as docs/deploy.md says."""
        text = (POLICIES / f"{policy}.json").read_text()
        database = self.name.replace("-", "_")
        for placeholder, value in {
            "AUTH0_SECRET": auth0_secret, "ACCOUNT": self.account, "DATABASE": database, "NAME": self.name,
        }.items():  # fmt: skip
            text = text.replace(placeholder, value)
        return text

    @property
    def boundary(self) -> str:
        return f"arn:aws:iam::{self.account}:policy/{self.name}-boundary"


def statements(policy: str) -> list[Json]:
    """Return the statements of a policy's file, with its placeholders."""
    found: list[Json] = json.loads((POLICIES / f"{policy}.json").read_text())["Statement"]
    return found


def allowed_actions(*policies: str) -> set[str]:
    """Return every action that policies allow."""
    return {
        action
        for policy in policies
        for statement in statements(policy)
        if statement["Effect"] == "Allow"
        for action in statement["Action"]
    }


def allows(documents: Iterable[str], asked: Asked, account: str) -> bool:
    """Return whether rendered policies together allow the action of a question."""
    context = iam_evaluator.EvalContext(
        principal_arn=f"arn:aws:iam::{account}:role/deployer",
        principal_type="AssumedRole",
        principal_account=account,
        action=asked.action,
        resource_arn=asked.resource,
        region="eu-central-1",
        service_context={key.lower(): value for key, value in asked.keys.items()},
    )
    parsed = [iam_evaluator.parse_policy_document(document) for document in documents]
    return bool(iam_evaluator.evaluate(context, parsed).decision == "Allow")


# The record


class Recorded:
    """The requests of a deployment's owner, by the command that made them."""

    def __init__(self, log: Path, place: Place) -> None:
        self.place = place
        self.asked: dict[str, list[Asked]] = defaultdict(list)
        phase, boundaries = None, {}
        for line in map(json.loads, log.read_text().splitlines()):
            if "phase" in line:
                phase = line["phase"]
            elif phase and line["key"] == place.account:
                parameters = line["parameters"]
                if line["operation"] == "iam:CreateRole":
                    boundaries[parameters["RoleName"]] = parameters.get("PermissionsBoundary")
                boundary = boundaries.get(parameters.get("RoleName"))
                self.asked[phase] += questions(line, place, boundary)

    def actions(self, *phases: str) -> set[str]:
        """Return every action of the phases."""
        return {asked.action for phase in phases for asked in self.asked[phase]} - {*ALWAYS}

    def refused(self, phase: str, policies: Iterable[str]) -> list[Asked]:
        """Return the questions of a phase that the policies do not allow, each once."""
        documents = [self.place.render(policy) for policy in policies]
        found = {str(asked): asked for asked in self.asked[phase] if asked.action not in ALWAYS}
        return [asked for asked in found.values() if not allows(documents, asked, self.place.account)]


def questions(line: Json, place: Place, boundary: str | None = None) -> Iterator[Asked]:
    """Yield the questions to IAM about a recorded request."""
    service, _, operation = line["operation"].partition(":")
    parameters, region = line["parameters"], line["region"]
    prefix = f"arn:aws:{SERVICES.get(service, service)}:{region}:{place.account}:"
    action = f"{SERVICES.get(service, service)}:{OPERATIONS.get(line['operation'], operation)}"
    keys = {"aws:ResourceTag/Deployment": place.name}
    if service == "s3":  # has names of actions that differ from those of its operations
        yield Asked(line["action"], line["resource"])
    elif service == "iam":
        role = parameters.get("RoleName", "*")
        extra = {"iam:PermissionsBoundary": boundary} if boundary else {}
        yield Asked(action, f"arn:aws:iam::{place.account}:role/{role}", extra)
    elif service == "rds-data":
        yield Asked(action, parameters["resourceArn"])
        yield Asked("secretsmanager:GetSecretValue", parameters["secretArn"])
    else:
        tags = {
            f"aws:RequestTag/{tag['TagKey']}": tag["TagValue"] for tag in parameters.get("Tags", []) if "TagKey" in tag
        }
        for named in RESOURCES[service](operation, parameters):
            # IAM knows the workgroup of a query by the query's id.
            resource = f"workgroup/{place.name}" if named == "workgroup/*" else named
            full = resource if resource == "*" or resource.startswith("arn:") else prefix + resource
            yield Asked(action, ID.sub("*", full), keys | tags | _of_mapping(parameters, prefix, place))
    yield from _passed_roles(service, parameters)


def _of_mapping(parameters: Json, prefix: str, place: Place) -> Json:
    """Return the key of an event source mapping's function, which AWS knows by the mapping's id, too."""
    name = parameters.get("FunctionName") or (f"{place.name}-refresh" if "UUID" in parameters else "")
    return {"lambda:FunctionArn": name if name.startswith("arn:") else f"{prefix}function:{name}"} if name else {}


def _passed_roles(service: str, parameters: Any) -> Iterator[Asked]:
    """Yield a question for each role that a request passes to a service."""
    to = "vpc-flow-logs" if service == "ec2" else SERVICES.get(service, service)
    for role in sorted(set(re.findall(r'"(arn:aws:iam::\d{12}:role/[^"*]+)"', json.dumps(parameters)))):
        if service in ("ec2", "events", "firehose", "lambda"):
            yield Asked("iam:PassRole", role, {"iam:PassedToService": f"{to}.amazonaws.com"})


SERVICES: Final = {"monitoring": "cloudwatch"}
OPERATIONS: Final = {"lambda:Invoke": "InvokeFunction", "sqs:SendMessageBatch": "SendMessage"}
"""Actions whose names differ from those of their operations."""

Resources = Callable[[str, Json], Iterator[str]]


def _athena(operation: str, parameters: Json) -> Iterator[str]:
    name = parameters.get("WorkGroup") or (parameters.get("Name") if "WorkGroup" in operation else None)
    yield parameters.get("ResourceARN") or f"workgroup/{name or '*'}"


def _cloudwatch(operation: str, parameters: Json) -> Iterator[str]:
    if operation in ("DescribeAlarms", "GetMetricStatistics", "GetMetricData"):
        yield "*"
    elif "Dashboard" in operation:
        names = parameters.get("DashboardNames") or [parameters["DashboardName"]]
        yield from (f"arn:aws:cloudwatch::000000000000:dashboard/{name}" for name in names)
    elif "ResourceARN" in parameters:
        yield parameters["ResourceARN"]
    else:
        names = parameters.get("AlarmNames") or [parameters["AlarmName"]]
        yield from (f"alarm:{name}" for name in names)


def _dynamodb(operation: str, parameters: Json) -> Iterator[str]:
    yield parameters.get("ResourceArn") or f"table/{parameters['TableName']}"


def _ec2(operation: str, parameters: Json) -> Iterator[str]:
    if operation.startswith("Describe") and operation != "DescribeVpcAttribute":
        yield "*"
        return
    kinds = {"vpc": "vpc", "subnet": "subnet", "sg": "security-group", "rtb": "route-table", "fl": "vpc-flow-log"}
    made = {
        "CreateVpc": "vpc", "CreateSubnet": "subnet", "CreateSecurityGroup": "security-group",
        "CreateFlowLogs": "vpc-flow-log", "AuthorizeSecurityGroupEgress": "security-group-rule",
        "AuthorizeSecurityGroupIngress": "security-group-rule",
    }  # fmt: skip
    if operation in made:
        yield f"{made[operation]}/*"
    named = [value for key, value in parameters.items() if key in ("VpcId", "SubnetId", "GroupId")]
    for one in (
        *named,
        *parameters.get("ResourceIds", ()),
        *parameters.get("Resources", ()),
        *parameters.get("FlowLogIds", ()),
    ):
        yield f"{kinds[one.partition('-')[0]]}/{one}"


def _events(operation: str, parameters: Json) -> Iterator[str]:
    bus = parameters.get("EventBusName")
    if operation in ("ListEventSources", "ListRules", "PutPermission", "RemovePermission", "TestEventPattern"):
        yield "*"
    elif "ResourceARN" in parameters:
        yield parameters["ResourceARN"]
    elif operation == "DescribeEventSource":
        yield f"arn:aws:events:*::event-source/{parameters['Name']}"
    elif operation in ("CreateEventBus", "DeleteEventBus", "DescribeEventBus"):
        yield f"event-bus/{parameters['Name']}"
    else:
        rule = parameters.get("Rule") or parameters["Name"]
        yield f"rule/{rule}" if bus in (None, "default") else f"rule/{bus}/{rule}"


def _firehose(operation: str, parameters: Json) -> Iterator[str]:
    yield f"deliverystream/{parameters['DeliveryStreamName']}"


def _glue(operation: str, parameters: Json) -> Iterator[str]:
    if "ResourceArn" in parameters:
        yield parameters["ResourceArn"]
        return
    database = parameters.get("DatabaseName") or parameters.get("Name") or parameters["DatabaseInput"]["Name"]
    yield "catalog"
    yield f"database/{database}"
    if "Table" in operation or "Partition" in operation or operation == "DeleteDatabase":
        table = parameters.get("Name") if "DatabaseName" in parameters else None
        yield f"table/{database}/{table or parameters.get('TableInput', {}).get('Name') or '*'}"


def _kms(operation: str, parameters: Json) -> Iterator[str]:
    if operation in ("CreateKey", "ListAliases"):
        yield "*"
        return
    if "AliasName" in parameters:
        yield parameters["AliasName"]
    key = parameters.get("TargetKeyId") or parameters.get("KeyId") or "*"
    yield key if key.startswith("arn:") else "key/*"


def _lambda(operation: str, parameters: Json) -> Iterator[str]:
    if "EventSourceMapping" in operation:
        yield "*" if operation != "GetEventSourceMapping" else f"event-source-mapping:{parameters['UUID']}"
    elif operation in ("GetAccountSettings", "ListFunctions"):
        yield "*"
    elif "FunctionName" in parameters:
        name = parameters["FunctionName"]
        yield name if name.startswith("arn:") else f"function:{name}"
    else:
        yield parameters["Resource"]


def _logs(operation: str, parameters: Json) -> Iterator[str]:
    if operation in ("DescribeLogGroups", "DeleteQueryDefinition", "DescribeQueryDefinitions", "PutQueryDefinition"):
        yield "*"
    else:
        yield parameters.get("resourceArn") or f"log-group:{parameters['logGroupName']}"


def _rds(operation: str, parameters: Json) -> Iterator[str]:
    found = {
        "db": parameters.get("DBInstanceIdentifier"),
        "cluster": parameters.get("DBClusterIdentifier"),
        "cluster-pg": parameters.get("DBClusterParameterGroupName"),
        "cluster-snapshot": parameters.get("DBClusterSnapshotIdentifier")
        or parameters.get("FinalDBSnapshotIdentifier"),
        "subgrp": parameters.get("DBSubnetGroupName"),
    }
    if operation in ("DescribeDBEngineVersions", "DescribeGlobalClusters"):
        found = {}
    named = [f"{kind}:{name}" for kind, name in found.items() if name and not name.startswith("arn:")]
    arns = [str(name or "") for name in (*found.values(), parameters.get("ResourceName"))]
    given = [arn for arn in arns if arn.startswith("arn:")]
    yield from (named + given) or ["*"]


def _secretsmanager(operation: str, parameters: Json) -> Iterator[str]:
    # A secret that is not there yet has its name alone: AWS adds a hyphen and six characters.
    secret = parameters.get("SecretId") or parameters["Name"]
    yield secret if secret.startswith("arn:") else f"secret:{secret}"


def _sns(operation: str, parameters: Json) -> Iterator[str]:
    if "SubscriptionArn" in parameters:  # IAM knows no subscriptions
        yield "*"
    else:
        yield parameters.get("TopicArn") or parameters.get("ResourceArn") or parameters["Name"]


def _sqs(operation: str, parameters: Json) -> Iterator[str]:
    yield parameters.get("QueueName") or parameters["QueueUrl"].rpartition("/")[2]


def _sts(operation: str, parameters: Json) -> Iterator[str]:
    yield "*"


RESOURCES: Final[dict[str, Resources]] = {
    "athena": _athena, "cloudwatch": _cloudwatch, "dynamodb": _dynamodb, "ec2": _ec2, "events": _events,
    "firehose": _firehose, "glue": _glue, "kms": _kms, "lambda": _lambda, "logs": _logs, "rds": _rds,
    "secretsmanager": _secretsmanager, "sns": _sns, "sqs": _sqs, "sts": _sts,
}  # fmt: skip
"""The resources of an operation in a question to IAM, by service."""
