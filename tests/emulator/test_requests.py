"""Every operation of the services in use, written by botocore and read back."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import pytest
from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape
from botocore.serialize import create_serializer
from botocore.utils import parse_to_aware_datetime

from devstack.emulator import requests

SERVICES = (
    "athena", "cloudwatch", "dynamodb", "ec2", "events", "firehose", "glue", "iam", "kms", "lambda", "logs", "rds",
    "rds-data", "s3", "secretsmanager", "sns", "sqs", "sts",
)  # fmt: skip
BY_HOST = {"s3:ListDirectoryBuckets", "s3:WriteGetObjectResponse"}
"""Told from others, or with parameters, in the host's name."""

SCALARS = {
    "string": "a b&c",
    "blob": b"\x00\xff",
    "boolean": True,
    "integer": 7,
    "long": 8,
    "float": 1.5,
    "double": 2.5,
    "timestamp": datetime(2026, 11, 25, 8, tzinfo=UTC),
}


@cache
def model(service: str) -> ServiceModel:
    return ServiceModel(Loader().load_service_model(service, "service-2"), service)


def sample(shape: Shape | None, depth: int = 0) -> Any:
    """A value with every member of the shape, one of a union; ``None`` where it is nested too deep."""
    if shape is None or depth > 6:
        return None
    if isinstance(shape, StructureShape):
        wanted = list(shape.members.items())[: 1 if shape.is_tagged_union else None]
        members = ((name, sample(member, depth + 1)) for name, member in wanted)
        return {name: value for name, value in members if value is not None} or None
    if isinstance(shape, ListShape):
        item = sample(shape.member, depth + 1)
        return None if item is None else [item, item]
    if isinstance(shape, MapShape):
        value = sample(shape.value, depth + 1)
        return None if value is None else {"a key": value}
    return SCALARS[shape.type_name]


def http(operation: OperationModel, parameters: Any) -> requests.Request:
    """The request that botocore makes, as a server has it."""
    service = operation.service_model
    made: Any = create_serializer(str(service.resolved_protocol), include_validation=False).serialize_to_request(
        parameters, operation
    )
    url = urlsplit(made["url_path"])
    query = parse_qs(url.query, keep_blank_values=True)
    query |= parse_qs(urlencode(made.get("query_string") or {}, doseq=True), keep_blank_values=True)
    body = made["body"]
    if isinstance(body, dict):
        body = urlencode(body)
    signature = f"AWS4-HMAC-SHA256 Credential=AKIA/20261125/eu-west-1/{service.signing_name}/aws4_request, Signature=x"
    headers = {name.lower(): str(value) for name, value in made["headers"].items()} | {"authorization": signature}
    return requests.Request(
        made["method"], unquote(url.path), headers, body.encode() if isinstance(body, str) else body or b"", query
    )


def comparable(shape: Any, value: Any) -> Any:
    """Return parameters with times as datetimes, from whatever form they have."""
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        return {name: comparable(shape.members.get(name), item) for name, item in value.items()}
    if isinstance(shape, ListShape):
        return [comparable(shape.member, item) for item in value]
    if isinstance(shape, MapShape):
        return {name: comparable(shape.value, item) for name, item in value.items()}
    return parse_to_aware_datetime(value) if shape is not None and shape.type_name == "timestamp" else value


@pytest.mark.parametrize("service", SERVICES)
def test_every_operation_is_read_as_it_was_written(service: str) -> None:
    for name in model(service).operation_names:
        operation = model(service).operation_model(name)
        if operation.deprecated or f"{service}:{name}" in BY_HOST:
            continue
        given = sample(operation.input_shape) or {}
        found, parameters = requests.read(http(operation, given))
        assert found.name == name
        assert comparable(operation.input_shape, parameters) == comparable(operation.input_shape, given), name


def unreadable() -> Iterator[Any]:
    list_queues = http(model("sqs").operation_model("ListQueues"), {})
    get_user = http(model("iam").operation_model("GetUser"), {})
    get_function = http(model("lambda").operation_model("GetFunction"), {"FunctionName": "f"})
    target = {**list_queues.headers, "x-amz-target": "AmazonSQS.Nothing"}
    yield pytest.param(list_queues, {"headers": target}, "Nothing is no operation of sqs", id="operation")
    target = {**list_queues.headers, "x-amz-target": "AWSEvents.ListQueues"}
    yield pytest.param(list_queues, {"headers": target}, "AWSEvents.ListQueues is no operation of sqs", id="service")
    yield pytest.param(get_user, {"body": b"Action=Nothing"}, "Nothing is no operation of iam", id="action")
    yield pytest.param(get_function, {"method": "PATCH"}, "PATCH /2015.* is no operation of lambda", id="method")
    yield pytest.param(list_queues, {"body": b"{"}, "not in the protocol of sqs", id="body")
    yield pytest.param(list_queues, {"headers": {"smithy-protocol": "rpc-v2-cbor"}}, "CBOR", id="protocol")
    authorization = list_queues.headers["authorization"].replace("sqs", "queues")
    yield pytest.param(list_queues, {"headers": {"authorization": authorization}}, "no model .*'queues'", id="model")


@pytest.mark.parametrize(("request_", "change", "said"), list(unreadable()))
def test_other_requests_are_refused(request_: requests.Request, change: Any, said: str) -> None:
    headers = {**request_.headers, **change.pop("headers", {})}
    with pytest.raises(requests.Unreadable, match=said):
        requests.read(requests.Request(**{**vars(request_), **change, "headers": headers}))


def test_unsigned_request_is_for_no_service() -> None:
    assert requests.signed_for({"host": "127.0.0.1"}) is None
