"""The policies of planners and deployers allow what Terraform and the commands need, and no more of the account.

tests/deploy/test_production.py records the requests of a whole deployment, compares each with the policies, and holds
deployment-actions.json to the actions that it sees. Here the policies are read and tried.
"""

import json
import re
import subprocess
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from tests.deploy import docs
from tests.infra import deployer
from tests.infra.deployed import Json
from tests.infra.deployer import APPLY, PLAN, Asked, Place, allowed_actions, statements
from tests.infra.test_permissions import BOUNDARY as MODULES_BOUNDARY
from tests.infra.test_permissions import PREFIX, SECRETS_KEY, Deployment, listed, rights

ACCOUNT, REGION = "123456789012", "eu-central-1"
PLACE = Place(ACCOUNT, PREFIX)
LONGEST = Place(ACCOUNT, "n" * 16 + "-" + "e" * 10)
SIZE = 6144
"""Characters of a managed policy, white space apart (IAM User Guide, "IAM and AWS STS quotas")."""
FILES = sorted(path.stem for path in deployer.POLICIES.glob("*.json"))
SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:auth0-AbCdEf"

TAGS = "The resource is made with tags, or its tags are changed; AWS asks for it beside the request itself"
CHANGE = "A changed setting, which the recorded deployment does not have"
COMPARISON = "The recorded deployment does not compare the stores: reconcile"
NO_VPC = "Terraform removes functions that are in no VPC; the recorded deployment has one"
KEY = "DynamoDB, Lambda, RDS, Firehose, SQS and S3 use the key in the name of who deploys"
BEYOND = {
    "athena:TagResource": TAGS,
    "athena:UntagResource": TAGS,
    "athena:UpdateWorkGroup": CHANGE,
    "cloudwatch:TagResource": TAGS,
    "cloudwatch:UntagResource": TAGS,
    "dynamodb:TagResource": TAGS,
    "dynamodb:UntagResource": TAGS,
    "ec2:CreateVpcEndpoint": COMPARISON,
    "ec2:DeleteTags": TAGS,
    "ec2:DeleteVpcEndpoints": COMPARISON,
    "ec2:DescribePrefixLists": COMPARISON,
    "ec2:DescribeVpcEndpoints": COMPARISON,
    "ec2:ModifyVpcEndpoint": COMPARISON,
    "events:TagResource": TAGS,
    "events:UntagResource": TAGS,
    "firehose:StopDeliveryStreamEncryption": CHANGE,
    "firehose:TagDeliveryStream": TAGS,
    "firehose:UntagDeliveryStream": TAGS,
    "firehose:UpdateDestination": CHANGE,
    "glue:GetPartition": "Athena reads the catalog in the name of who asks",
    "glue:GetPartitions": "Athena reads the catalog in the name of who asks",
    "glue:GetTables": "Athena reads the catalog in the name of who asks",
    "glue:TagResource": TAGS,
    "glue:UntagResource": TAGS,
    "glue:UpdateDatabase": CHANGE,
    "glue:UpdateTable": CHANGE,
    "iam:CreateServiceLinkedRole": "The first cluster of an account makes RDS's own role (Aurora User Guide)",
    "iam:PutRolePermissionsBoundary": "A deployment that had no boundary gets one",
    "iam:TagRole": TAGS,
    "iam:UntagRole": TAGS,
    "iam:UpdateAssumeRolePolicy": CHANGE,
    "iam:UpdateRole": CHANGE,
    "iam:UpdateRoleDescription": CHANGE,
    "kms:CreateGrant": KEY,
    "kms:Decrypt": KEY,
    "kms:Encrypt": KEY,
    "kms:GenerateDataKey": KEY,
    "kms:GenerateDataKeyWithoutPlaintext": KEY,
    "kms:PutKeyPolicy": CHANGE,
    "kms:ReEncryptFrom": KEY,
    "kms:ReEncryptTo": KEY,
    "kms:TagResource": TAGS,
    "kms:UntagResource": TAGS,
    "kms:UpdateKeyDescription": CHANGE,
    "lambda:DeleteAlias": NO_VPC,
    "lambda:DeleteFunctionConcurrency": CHANGE,
    "lambda:PutFunctionConcurrency": CHANGE,
    "lambda:RemovePermission": NO_VPC,
    "lambda:TagResource": TAGS,
    "lambda:UntagResource": TAGS,
    "lambda:UpdateAlias": CHANGE,
    "lambda:UpdateEventSourceMapping": CHANGE,
    "lambda:UpdateFunctionCode": CHANGE,
    "lambda:UpdateFunctionConfiguration": CHANGE,
    "logs:AssociateKmsKey": "A log group is made with its key, or gets another one",
    "logs:DisassociateKmsKey": CHANGE,
    "logs:TagResource": TAGS,
    "logs:UntagResource": TAGS,
    "rds-data:RollbackTransaction": "A statement of the smoke test fails",
    "rds:AddTagsToResource": TAGS,
    "rds:ModifyDBInstance": CHANGE,
    "rds:ModifyDBSubnetGroup": CHANGE,
    "rds:RemoveTagsFromResource": TAGS,
    "s3:AbortMultipartUpload": "Athena writes results in the name of who asks",
    "s3:DeleteObjectVersion": "Terraform empties the bucket of old versions, in the same request as of objects",
    "s3:GetBucketLocation": "Athena writes results in the name of who asks",
    "s3:GetObject": "Athena reads the archive in the name of who asks",
    "s3:ListMultipartUploadParts": "Athena writes results in the name of who asks",
    "s3:PutBucketObjectLockConfiguration": "The recorded deployment locks nothing: archive.lock_days",
    "s3:PutObject": "Athena writes results in the name of who asks",
    "secretsmanager:TagResource": TAGS,
    "secretsmanager:UntagResource": TAGS,
    "secretsmanager:UpdateSecret": CHANGE,
    "sns:TagResource": TAGS,
    "sns:UntagResource": TAGS,
    "sqs:TagQueue": TAGS,
    "sqs:UntagQueue": TAGS,
}
"""Actions that AWS requires and the emulator does not, by the Service Authorization Reference unless noted."""

FIRST_PLAN = {"rds:DescribeDBEngineVersions"}
"""Actions of the plan of a new cluster alone; the recorded plan comes after it."""


@pytest.fixture(scope="module")
def recorded() -> dict[str, set[str]]:
    return {phase: set(actions) for phase, actions in json.loads(deployer.RECORD.read_text()).items()}


@pytest.fixture(scope="module")
def deployment(state: Json) -> Deployment:
    return Deployment(state)


def may(policies: tuple[str, ...], action: str, resource: str, **keys: str) -> bool:
    return deployer.allows(map(PLACE.render, policies), Asked(action, resource, keys), ACCOUNT)


def role(name: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


# The lists


def test_each_policy_can_be_attached() -> None:
    for policy in FILES:
        rendered = LONGEST.render(policy, auth0_secret="s" * 100)
        assert len(json.dumps(json.loads(rendered), separators=(",", ":"))) <= SIZE, policy
        assert not re.search(r"ACCOUNT|NAME|DATABASE|AUTH0_SECRET", rendered), policy


def test_the_documentation_makes_the_policies(tmp_path: Path) -> None:
    [block] = [block for block in docs.blocks("deploy.md") if block.first == "mkdir policies"]
    (tmp_path / "infra").symlink_to(deployer.POLICIES.parents[1])
    script = f'aws() {{ echo "$@" >> made; }}\n{block.text}'
    subprocess.run(["bash", "-euc", script], cwd=tmp_path, check=True)
    secret = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:auth0-sync-??????"
    place = Place(ACCOUNT, "auth0-sync-prod")
    made = {path.stem: path.read_text() for path in (tmp_path / "policies").iterdir()}
    assert made == {policy: place.render(policy, auth0_secret=secret) for policy in FILES}
    names = re.findall(r"--policy-name (\S+)", (tmp_path / "made").read_text())
    assert place.boundary.rpartition("/")[2] in names


def test_planner_only_reads(recorded: dict[str, set[str]]) -> None:
    allowed = allowed_actions(*PLAN)
    assert [action for action in allowed if not re.match(r"[\w-]+:(Get|List|Describe)", action)] == []
    assert not {
        action for action in allowed if re.search(r":Get(Object$|Item|Record|SecretValue|QueryResults)", action)
    }
    compared = {action for action, why in BEYOND.items() if why is COMPARISON and ":Describe" in action}
    assert recorded["plan"] | FIRST_PLAN | compared == allowed


def test_deployers_rights_equal_the_recorded_requests(recorded: dict[str, set[str]]) -> None:
    seen, allowed = set().union(*recorded.values()), allowed_actions(*APPLY)
    assert seen <= allowed
    assert allowed - seen == {*BEYOND}


def test_no_policy_has_a_wildcard_of_actions() -> None:
    assert [action for action in allowed_actions(*FILES) if "*" in action] == []


def test_the_roles_are_those_of_the_deployment(deployment: Deployment) -> None:
    names = {resource.values["name"] for resource in deployment.all("aws_iam_role")}
    for statement in json.loads(PLACE.render("deploy-apply-roles"))["Statement"]:
        if statement["Effect"] == "Allow" and statement["Sid"] != "RdsRole":
            assert {arn.rpartition("/")[2] for arn in statement["Resource"]} == names, statement["Sid"]


# Refusals: with these rights, a compromised deployment could take over the account


@pytest.mark.parametrize("action", ["CreateRole", "PutRolePolicy", "PutRolePermissionsBoundary"])
def test_a_role_outside_the_boundary_is_refused(action: str) -> None:
    mine = role(f"{PREFIX}-refresh")
    assert may(APPLY, f"iam:{action}", mine, **{"iam:PermissionsBoundary": PLACE.boundary})
    assert not may(APPLY, f"iam:{action}", mine)
    assert not may(
        APPLY, f"iam:{action}", mine, **{"iam:PermissionsBoundary": "arn:aws:iam::aws:policy/ReadOnlyAccess"}
    )
    another = role(f"{PREFIX}-admin")
    assert not may(APPLY, f"iam:{action}", another, **{"iam:PermissionsBoundary": PLACE.boundary})


@pytest.mark.parametrize(
    "action", ["CreateRole", "PutRolePolicy", "AttachRolePolicy", "PutRolePermissionsBoundary", "CreatePolicyVersion"]
)
def test_the_boundary_holds_even_for_administrators_who_deploy(action: str) -> None:
    """The boundary wins over every other policy of the principal."""
    everything = json.dumps({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
    documents = [everything, PLACE.render("deploy-apply-roles")]
    resource = PLACE.boundary if action == "CreatePolicyVersion" else role("backdoor")
    assert not deployer.allows(documents, Asked(f"iam:{action}", resource), ACCOUNT)
    assert not deployer.allows(documents, Asked("iam:DeleteRolePermissionsBoundary", role("backdoor")), ACCOUNT)


def test_a_role_is_passed_to_its_service_only() -> None:
    mine = role(f"{PREFIX}-roles")
    assert may(APPLY, "iam:PassRole", mine, **{"iam:PassedToService": "lambda.amazonaws.com"})
    for service in ("ec2", "glue", "ecs-tasks", "cloudformation"):
        assert not may(APPLY, "iam:PassRole", mine, **{"iam:PassedToService": f"{service}.amazonaws.com"})
    assert not may(APPLY, "iam:PassRole", role("Admin"), **{"iam:PassedToService": "lambda.amazonaws.com"})


OTHERS = (
    ("iam:AttachRolePolicy", role(f"{PREFIX}-refresh")),
    ("iam:CreateAccessKey", f"arn:aws:iam::{ACCOUNT}:user/ada"),
    ("iam:CreatePolicy", f"arn:aws:iam::{ACCOUNT}:policy/mine"),
    ("iam:CreateUser", f"arn:aws:iam::{ACCOUNT}:user/eve"),
    ("iam:UpdateAssumeRolePolicy", role("Admin")),
    ("sts:AssumeRole", role("Admin")),
    ("organizations:LeaveOrganization", "*"),
    ("account:PutContactInformation", "*"),
    ("cloudtrail:StopLogging", f"arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/all"),
    ("secretsmanager:GetSecretValue", SECRET),
    ("secretsmanager:GetSecretValue", f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:rds!cluster-another"),
    ("ssm:GetParameter", f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/password"),
    ("dynamodb:Scan", f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/orders"),
    ("dynamodb:DeleteTable", f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/orders"),
    ("lambda:UpdateFunctionCode", f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:billing"),
    ("s3:GetObject", "arn:aws:s3:::another-bucket/key"),
    ("s3:GetObject", f"arn:aws:s3:::{PREFIX}-archive-210987654321-{REGION}/key"),
    ("kms:Decrypt", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/another"),
    ("rds:DeleteDBCluster", f"arn:aws:rds:{REGION}:{ACCOUNT}:cluster:billing"),
    ("ec2:DeleteVpc", f"arn:aws:ec2:{REGION}:{ACCOUNT}:vpc/vpc-1"),
    ("ec2:RunInstances", f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/*"),
    ("sqs:SendMessage", f"arn:aws:sqs:{REGION}:{ACCOUNT}:orders"),
    ("rds-db:connect", f"arn:aws:rds-db:{REGION}:{ACCOUNT}:dbuser:cluster-A/auth0_admin"),
)
"""Actions on resources of other deployments."""


@pytest.mark.parametrize(("action", "resource"), OTHERS)
def test_resource_of_another_deployment_is_refused(action: str, resource: str) -> None:
    assert not may(APPLY, action, resource)
    documents = [PLACE.render("boundary", auth0_secret=SECRET.replace("auth0-", "auth0-of-acme-"))]
    assert not deployer.allows(documents, Asked(action, resource), ACCOUNT)


def test_deployer_reads_postgres_as_the_threat_model_says() -> None:
    """The smoke test signs in as auth0_query; the master's secret stays closed (``OTHERS``)."""
    secret = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{PREFIX}-query-AbCdEf"
    assert may(APPLY, "secretsmanager:GetSecretValue", secret)
    assert may(APPLY, "rds-data:ExecuteStatement", f"arn:aws:rds:{REGION}:{ACCOUNT}:cluster:{PREFIX}")


@pytest.mark.parametrize("action", ["BatchGetItem", "Query", "Scan"])
def test_deployer_lists_no_users(action: str) -> None:
    assert not may(APPLY, f"dynamodb:{action}", f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{PREFIX}-users")


@pytest.mark.parametrize(
    "action",
    ["iam:PutRolePolicy", "s3:PutObject", "lambda:InvokeFunction", "sqs:SendMessage", "rds-data:ExecuteStatement"],
)
def test_planner_changes_nothing(action: str) -> None:
    for statement in (s for policy in APPLY for s in json.loads(PLACE.render(policy))["Statement"]):
        for resource in listed(statement["Resource"]):
            keys = {"aws:ResourceTag/Deployment": PREFIX, "iam:PermissionsBoundary": PLACE.boundary}
            assert not may(PLAN, action, resource, **keys)


# The boundary


def filled(right_resource: str, condition: str) -> tuple[str, Mapping[str, str]]:
    """Return an example of a right's resource, without a pattern, and the keys of its condition."""
    keys = {key: values[0] for operator in json.loads(condition).values() for key, values in operator.items()}
    return right_resource.replace("*", "x"), keys


def test_the_boundary_allows_what_the_roles_may_do_and_nothing_more(deployment: Deployment) -> None:
    assert MODULES_BOUNDARY.endswith("-boundary")
    boundary = [PLACE.render("boundary", auth0_secret=SECRET)]
    needed = set()
    for resource in deployment.all("aws_iam_role_policy"):
        for right in rights(resource.values["policy"]):
            if right.effect == "Deny" or right.resource == SECRETS_KEY:
                continue  # the key of a secret of one's own: docs/deploy.md says to add it
            groups = [group.values["name"] for group in deployment.all("aws_cloudwatch_log_group", resource.module)]
            example, keys = filled(right.resource, right.condition)
            # Names of mocked resources.
            example = example.replace(":log-group:mock", f":log-group:{groups[0] if groups else ''}")
            example = example.replace(":cluster:mock", f":cluster:{PREFIX}")
            tags = {
                "aws:ResourceTag/Deployment": PREFIX,
                "aws:ResourceTag/aws:rds:primaryDBClusterArn": f"arn:aws:rds:{REGION}:{ACCOUNT}:cluster:{PREFIX}",
            }
            asked = Asked(right.action, example, {**keys, **tags})
            assert deployer.allows(boundary, asked, ACCOUNT), (resource.address, right)
            needed.add((right.action, example))
    for statement in json.loads(boundary[0])["Statement"]:
        for action in statement["Action"]:
            used = [resource for name, resource in needed if name == action]
            for pattern in listed(statement["Resource"]):
                assert any(fnmatchcase(found, pattern) for found in used), (statement["Sid"], action, pattern)


def test_the_boundary_is_one_policy_without_denials() -> None:
    assert {statement["Effect"] for statement in statements("boundary")} == {"Allow"}
