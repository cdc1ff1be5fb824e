"""Requests that AWS's service models do not allow."""

import gzip
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from devstack.emulator import constraints
from devstack.emulator.patches import service_models

from .support import Aws, refusals
from .test_requests import http, model

ROLE = "arn:aws:iam::000000000000:role/r"
FUNCTION = {"FunctionName": "f", "Role": ROLE, "Code": {"ZipFile": b"zip"}}
ALARM = {"AlarmName": "a", "EvaluationPeriods": 1, "ComparisonOperator": "GreaterThanThreshold"}
ENTRIES = [{"Source": "aws.partner/auth0.com/acme/auth0.logs", "DetailType": "d", "Detail": "{}"}] * 21
S3 = {"RoleARN": ROLE, "BucketARN": "arn:aws:s3:::b"}


def found(operation: str, parameters: dict[str, Any]) -> list[str]:
    service, _, operation = operation.partition(":")
    return list(constraints.violations(model(service).operation_model(operation).input_shape, parameters))


@pytest.mark.parametrize(
    ("operation", "parameters", "said"),
    [
        ("events:PutRule", {}, "Value null at 'Name' failed to satisfy constraint: Member must not be null"),
        ("events:PutRule", {"Name": "a b"}, "'a b' at 'Name' .* regular expression pattern: "),
        ("events:PutRule", {"Name": "r" * 99}, r"'r{79}\.\.\. at 'Name' .* length less than or equal to 64"),
        ("events:PutRule", {"Name": "r", "State": "ON"}, r"'ON' at 'State' .* enum value set: \[ENABLED, "),
        ("events:PutRule", {"Name": "r", "Bus": "b"}, "Value at 'Bus' is unknown: Members are Name, "),
        ("events:PutRule", {"Name": 1}, "Value 1 at 'Name' has the wrong type: Member must be of type string"),
        ("events:PutRule", {"Name": "r", "Tags": [{"Key": "", "Value": ""}]}, "'' at 'Tags.1.Key' .* greater than"),
        ("events:PutEvents", {"Entries": [{"Time": "soon"}]}, "'soon' at 'Entries.1.Time' .* of type timestamp"),
        ("events:PutPartnerEvents", {"Entries": ENTRIES}, "at 'Entries' .* length less than or equal to 20"),
        ("lambda:CreateFunction", {**FUNCTION, "MemorySize": 64}, "64 at 'MemorySize' .* greater than or equal to 128"),
        ("lambda:CreateFunction", {**FUNCTION, "Timeout": True}, "True at 'Timeout' .* of type integer"),
        ("lambda:CreateFunction", {**FUNCTION, "Publish": 1}, "1 at 'Publish' .* of type boolean"),
        ("lambda:CreateFunction", {**FUNCTION, "Layers": ROLE}, "at 'Layers' .* of type list"),
        ("lambda:CreateFunction", {**FUNCTION, "Environment": {"Variables": {"1": "x"}}}, "at '.*Variables.key' "),
        ("cloudwatch:PutMetricAlarm", {**ALARM, "Threshold": "x"}, "'x' at 'Threshold' .* of type double"),
        ("kms:Decrypt", {"CiphertextBlob": b"x" * 6145}, "at 'CiphertextBlob' .* less than or equal to 6144"),
        ("bedrock-runtime:Converse", {"modelId": "m", "toolConfig": {"tools": [{}]}}, "Exactly one member"),
        ("sts:GetCallerIdentity", {"Name": "x"}, "Value at 'Name' is unknown"),
    ],
)
def test_each_constraint_is_enforced(operation: str, parameters: dict[str, Any], said: str) -> None:
    (problem,) = found(operation, parameters)
    assert re.search(said, problem), problem


@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        ("events:PutRule", {"Name": "r" * 64, "Tags": [{"Key": "Straße 7", "Value": ""}]}),
        ("glue:CreateDatabase", {"DatabaseInput": {"Name": "tab\tand \U0001f600"}}),
        ("bedrock-runtime:Converse", {"modelId": "m", "additionalModelRequestFields": {"any": [1, {"thing": None}]}}),
        ("cloudwatch:PutMetricAlarm", {**ALARM, "Threshold": 1}),
    ],
)
def test_requests_that_the_models_allow_pass(operation: str, parameters: dict[str, Any]) -> None:
    assert found(operation, parameters) == []


@pytest.mark.parametrize(
    ("service", "call", "said"),
    [
        pytest.param("events", lambda c: c.put_rule(Name="a b"), "events:PutRule: .*'Name'", id="json"),
        pytest.param("iam", lambda c: c.get_role(RoleName="r" * 65), "iam:GetRole: .*'RoleName'", id="query"),
        pytest.param(
            "ec2", lambda c: c.describe_subnets(MaxResults=1), "ec2:DescribeSubnets: Value 1 at 'MaxResults'", id="ec2"
        ),
        pytest.param(
            "lambda",
            lambda c: c.list_functions(MaxItems=0),
            "lambda:ListFunctions: Value 0 at 'MaxItems'",
            id="rest-json",
        ),
        pytest.param(
            "s3", lambda c: c.list_objects_v2(Bucket="b", EncodingType="x"), "s3:ListObjectsV2: .*url", id="rest-xml"
        ),
        pytest.param("cloudwatch", lambda c: c.delete_alarms(AlarmNames=["a" * 256]), "cloudwatch:Delete", id="alarms"),
    ],
)
def test_refusal_is_an_answer_that_clients_read(aws: Aws, service: str, call: Callable[[Any], Any], said: str) -> None:
    client = aws.client(service, Config(parameter_validation=False))
    with pytest.raises(ClientError, match=rf"\(ValidationException\).*1 validation error detected: {said}") as refused:
        call(client)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert refused.value.response["Error"]["Message"] in refusals(aws.emulator.log)[-1]


def test_refusal_names_every_problem() -> None:
    request = http(model("events").operation_model("PutRule"), {"Name": "a b", "State": "ON"})
    assert [problem.partition(" failed")[0] for problem in service_models.refusals(request)] == [
        "events:PutRule: Value 'a b' at 'Name'",
        "events:PutRule: Value 'ON' at 'State'",
    ]


def test_compressed_request_is_read(aws: Aws) -> None:
    metrics = [{"MetricName": "m" * 250, "Value": 1.0} for _ in range(100)]
    client = aws.client("cloudwatch")
    client.put_metric_data(Namespace="app", MetricData=metrics)
    with pytest.raises(ClientError, match=r"'MetricData\.1\.MetricName'"):
        client.put_metric_data(Namespace="app", MetricData=[{**metrics[0], "MetricName": "m" * 256}, *metrics])
    assert len(gzip.compress(json.dumps(metrics).encode())) < 10240 < len(json.dumps(metrics))
