"""The policies for people: each allows one task and nothing more."""

import ast
import re

import pytest
from botocore import xform_name
from botocore.session import get_session

from tests.infra import deployer
from tests.infra.deployer import Asked, Place, allowed_actions
from tests.infra.test_permissions import ROOT, done_by_athena, operations_in

ACCOUNT, REGION, NAME = "123456789012", "eu-central-1", "auth0-sync-test"
PLACE = Place(ACCOUNT, NAME)
BUCKET = f"arn:aws:s3:::{NAME}-archive-{ACCOUNT}-{REGION}"
COMMANDS = (
    *("cli/backfill", "cli/failed", "cli/logs", "cli/replay", "cli/restore"),
    *("archive/rearchive", "archive/replay", "backfill/objects", "backfill/watch"),
)
DELIVERY = ("dead_letters", "failed", "function", "queue", "stream", "targets", "undelivered")
"""The modules of the commands that an operator runs against queues and archive."""

ACTIONS = {
    "ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
    "DeleteMessageBatch": "sqs:DeleteMessage",
    "DeleteObject": "s3:DeleteObject",
    "FilterLogEvents": "logs:FilterLogEvents",
    "GetObject": "s3:GetObject",
    "GetQueueAttributes": "sqs:GetQueueAttributes",
    "GetQueueUrl": "sqs:GetQueueUrl",
    "Invoke": "lambda:InvokeFunction",
    "ListObjectsV2": "s3:ListBucket",
    "PutObject": "s3:PutObject",
    "PutRecordBatch": "firehose:PutRecordBatch",
    "ReceiveMessage": "sqs:ReceiveMessage",
    "SendMessageBatch": "sqs:SendMessage",
}
KEY = {"kms:Decrypt", "kms:GenerateDataKey"}
BROWSE = {"athena:BatchGetQueryExecution", "athena:GetWorkGroup", "athena:ListQueryExecutions"}
"""Actions by which Athena's console shows an analyst the earlier queries."""


def may(policy: str, action: str, resource: str, **keys: str) -> bool:
    return deployer.allows([PLACE.render(policy)], Asked(action, resource, keys), ACCOUNT)


def test_an_analyst_may_ask_and_nothing_more() -> None:
    asking = {"athena:GetQueryExecution", "athena:GetQueryResults"}
    asking |= {"athena:StartQueryExecution", "athena:StopQueryExecution"}
    assert allowed_actions("analyst") == {action for action, _ in done_by_athena()} | asking | BROWSE | KEY
    for action, resource in done_by_athena():
        assert may("analyst", action, resource.replace("/*", "/x")), (action, resource)


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("s3:PutObject", f"{BUCKET}/logs/dt=2026-11-22/hour=08/forged"),  # INSERT INTO
        ("s3:PutObject", f"{BUCKET}/errors/forged"),
        ("s3:DeleteObject", f"{BUCKET}/logs/dt=2026-11-22/hour=08/1"),
        ("s3:DeleteObject", f"{BUCKET}/athena-results/of-another"),
        ("glue:BatchCreatePartition", f"arn:aws:glue:{REGION}:{ACCOUNT}:table/auth0_sync_test/lines"),
        ("glue:CreateTable", f"arn:aws:glue:{REGION}:{ACCOUNT}:database/auth0_sync_test"),
        ("glue:UpdateTable", f"arn:aws:glue:{REGION}:{ACCOUNT}:table/auth0_sync_test/tenant_logs"),
        ("firehose:PutRecord", f"arn:aws:firehose:{REGION}:{ACCOUNT}:deliverystream/{NAME}-archive"),
        ("dynamodb:GetItem", f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{NAME}-users"),
        ("sqs:ReceiveMessage", f"arn:aws:sqs:{REGION}:{ACCOUNT}:{NAME}-postgres"),
    ],
)
def test_an_analyst_changes_no_history(action: str, resource: str) -> None:
    assert not may("analyst", action, resource)


def test_an_operator_may_do_what_the_commands_do_and_nothing_more() -> None:
    files = [f"pipeline/{name}.py" for name in (*COMMANDS, *(f"delivery/{module}" for module in DELIVERY))]
    used = operations_in({file: ast.parse((ROOT / file).read_text()) for file in files})
    assert {ACTIONS[operation] for operation in used} | KEY == allowed_actions("operator")


def test_a_reconciler_may_do_what_the_command_does_and_nothing_more() -> None:
    files = sorted((ROOT / "pipeline" / "reconcile").glob("*.py"))
    names = {
        node.attr for file in files for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Attribute)
    }
    used = {
        f"{service}:{operation}"
        for service in ("cloudwatch", "dynamodb", "sqs")
        for operation in get_session().get_service_model(service).operation_names
        if xform_name(operation) in names
    }
    used |= {"dynamodb:Scan", "sqs:GetQueueUrl"}  # by the sink's requests, and by the delivery
    assert used | {"kms:Decrypt"} == allowed_actions("reconciler")
    for action in ("PutItem", "DeleteItem", "UpdateItem"):
        assert not may("reconciler", f"dynamodb:{action}", f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{NAME}-users")


def test_an_operator_deletes_no_history() -> None:
    assert may("operator", "s3:DeleteObject", f"{BUCKET}/errors/processing-failed/1")
    assert may("operator", "s3:PutObject", f"{BUCKET}/exports/1/000001.ndjson.gz")
    for action in ("s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion"):
        assert not may("operator", action, f"{BUCKET}/logs/dt=2026-11-22/hour=08/1")


def test_an_eraser_reaches_the_archives_objects_only() -> None:
    for prefix in ("logs", "errors", "athena-results", "exports"):
        for action in ("GetObject", "GetObjectVersion", "DeleteObject", "DeleteObjectVersion"):
            assert may("eraser", f"s3:{action}", f"{BUCKET}/{prefix}/dt=2026-11-22/1")
    for prefix in ("logs", "errors"):
        for action in ("PutObject", "BypassGovernanceRetention"):
            assert may("eraser", f"s3:{action}", f"{BUCKET}/{prefix}/dt=2026-11-22/1")
    assert not may("eraser", "s3:DeleteObject", "arn:aws:s3:::another/logs/1")
    assert {
        action for action in allowed_actions("eraser") if not re.match("s3:(Get|List|Put|Delete)Object", action)
    } == {
        "lambda:InvokeFunction",
        "s3:BypassGovernanceRetention",
        "s3:ListBucket",
        "s3:ListBucketVersions",
        *KEY,
    }


@pytest.mark.parametrize("action", ["PutObject", "DeleteObject", "DeleteObjectVersion", "BypassGovernanceRetention"])
@pytest.mark.parametrize("policy", ["analyst", "operator", "eraser"])
def test_nobody_touches_the_manifests(policy: str, action: str) -> None:
    assert not may(policy, f"s3:{action}", f"{BUCKET}/manifests/dt=2026-11-22/0000.jsonl")


@pytest.mark.parametrize(("policy", "invoked"), [("operator", {"sync-postgres", "sync-dynamodb"}), ("eraser", set())])
def test_people_may_invoke_the_recorder_and_their_own_functions_only(policy: str, invoked: set[str]) -> None:
    function = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{NAME}"
    names = {
        "manifest",
        "migrate",
        "refresh",
        "roles",
        "sync-dynamodb",
        "sync-dynamodb:refresh",
        "sync-postgres",
        "watch",
    }
    assert {name for name in names if may(policy, "lambda:InvokeFunction", f"{function}-{name}")} == {
        "manifest"
    } | invoked


@pytest.mark.parametrize("policy", ["analyst", "operator", "eraser", "reconciler"])
def test_people_use_no_other_key(policy: str) -> None:
    key = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1"
    via = {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}
    assert may(policy, "kms:Decrypt", key, **via, **{"aws:ResourceTag/Deployment": NAME})
    assert not may(policy, "kms:Decrypt", key, **via)
    assert not may(policy, "kms:Decrypt", key, **via, **{"aws:ResourceTag/Deployment": "another"})
