"""Read an HTTP request to AWS as an operation and its parameters, by the service models that botocore ships.

The protocols are JSON, Query, EC2, REST-JSON and REST-XML; CBOR is missing, as no client here sends it. Unlike the
parsers of servers, this one keeps unknown members and values of the wrong type, so that ``constraints`` reports them.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import parse_qsl
from xml.etree import ElementTree

from botocore.exceptions import UnknownServiceError
from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape

# Services whose signing name differs from their model's; S3 Control signs as S3, too.
MODELS = {"monitoring": "cloudwatch", "tagging": "resourcegroupstaggingapi"}
S3_CONTROL = "/v20180820/"

_CREDENTIAL = re.compile(r"Credential=[^/]+/\d{8}/[^/]+/([^/]+)/aws4_request")
_LABEL = re.compile(r"\{(\w+)(\+?)\}")
_NAMESPACE = re.compile(r"\{.*?\}")

Parameters = dict[str, Any]


class Unreadable(Exception):
    """The request is for no operation of the service, or its body is not in the service's protocol."""


@dataclass(frozen=True)
class Request:
    """An HTTP request; ``path`` is decoded, and names of ``headers`` are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    query: Mapping[str, list[str]]


def signed_for(headers: Mapping[str, str]) -> str | None:
    """Return the service that the signature in a request's headers names; ``None`` without one."""
    found = _CREDENTIAL.search(headers.get("authorization", ""))
    return found[1] if found else None


def read(request: Request) -> tuple[OperationModel, Parameters]:
    """Return the operation of a signed request, and its parameters in the form of botocore's client.

    Raises ``Unreadable``.
    """
    service = signed_for(request.headers) or ""
    if service == "s3" and request.path.startswith(S3_CONTROL):
        service = "s3control"
    try:
        model = _model(MODELS.get(service, service))
    except UnknownServiceError:
        raise Unreadable(f"there is no model of the service {service!r}") from None
    try:
        return _read(model, request)
    except (ValueError, TypeError, AttributeError, KeyError, ElementTree.ParseError) as problem:
        raise Unreadable(f"the body is not in the protocol of {model.service_name}: {problem}") from problem


@cache
def _model(service: str) -> ServiceModel:
    # Read anew: a session's clients strip the bucket from the paths in their model of S3.
    return ServiceModel(Loader().load_service_model(service, "service-2"), service)


def _read(model: ServiceModel, request: Request) -> tuple[OperationModel, Parameters]:
    if "smithy-protocol" in request.headers:
        raise Unreadable(f"CBOR, which {model.service_name} would read, is not read here")
    if target := request.headers.get("x-amz-target"):
        prefix, _, name = target.rpartition(".")
        if prefix != model.metadata["targetPrefix"]:
            raise Unreadable(f"{target} is no operation of {model.service_name}")
        operation = _named(model, name)
        return operation, _read_json(operation.input_shape, json.loads(request.body or b"{}"))
    if model.metadata["protocol"].startswith("rest-"):
        operation, labels = _routed(model, request)
        return operation, _read_rest(operation.input_shape, request, labels, model.metadata["protocol"])
    fields = {name: values[0] for name, values in request.query.items()}
    fields |= dict(parse_qsl(request.body.decode(), keep_blank_values=True))
    operation = _named(model, fields.pop("Action", ""))
    fields.pop("Version", None)
    return operation, _read_query(operation.input_shape, _tree(fields), model.metadata["protocol"] == "ec2")


def _named(model: ServiceModel, name: str) -> OperationModel:
    if name not in model.operation_names:
        raise Unreadable(f"{name or 'a request without Action'} is no operation of {model.service_name}")
    return model.operation_model(name)


def _structure(
    shape: Any,
    fields: Mapping[str, Any],
    read_member: Callable[[Shape, Any], Any],
    name_of: Callable[[Shape, str], str],
) -> Parameters:
    """Return members by their names in the model; keep unknown ones as they are."""
    names = {name_of(member, name): name for name, member in shape.members.items()}
    return {
        names.get(field, field): read_member(shape.members[names[field]], value) if field in names else value
        for field, value in fields.items()
    }


# JSON


def _read_json(shape: Shape | None, value: Any) -> Any:
    if isinstance(value, dict):
        value = {name: item for name, item in value.items() if item is not None}
        if isinstance(shape, StructureShape) and not shape.is_document_type:
            return _structure(shape, value, _read_json, _location_name)
        if isinstance(shape, MapShape):
            return {name: _read_json(shape.value, item) for name, item in value.items()}
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [_read_json(shape.member, item) for item in value]
    return _base64(value) if shape is not None and shape.type_name == "blob" else value


def _location_name(shape: Shape, name: str) -> str:
    return str(shape.serialization.get("name", name))


def _base64(value: Any) -> Any:
    """Decode Base64; return a number, which is no blob, for invalid text."""
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, binascii.Error):
        return 0


# Query and EC2


def _tree(fields: Mapping[str, str]) -> Parameters:
    """Turn dotted names into nested dictionaries."""
    tree: Parameters = {}
    for name, value in fields.items():
        *parents, last = name.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    return tree


def _read_query(shape: Shape | None, node: Any, ec2: bool) -> Any:
    def name_of(member: Shape, name: str) -> str:
        serialization = member.serialization
        if ec2:
            found = str(serialization.get("name", name))
            return str(serialization.get("queryName", found[0].upper() + found[1:]))
        if isinstance(member, ListShape) and serialization.get("flattened"):
            return _location_name(member.member, _location_name(member, name))
        return _location_name(member, name)

    if isinstance(shape, StructureShape) and isinstance(node, dict):
        return _structure(shape, node, lambda member, item: _read_query(member, item, ec2), name_of)
    if isinstance(shape, ListShape | MapShape):
        if node == "":  # an empty list or map
            return [] if isinstance(shape, ListShape) else {}
        flat = ec2 or shape.serialization.get("flattened")
        if isinstance(shape, ListShape):
            items = node if flat else node[_location_name(shape.member, "member")]
            return [_read_query(shape.member, items[key], ec2) for key in sorted(items, key=int)]
        items = node if flat else node["entry"]
        key, value = _location_name(shape.key, "key"), _location_name(shape.value, "value")
        return {item[key]: _read_query(shape.value, item.get(value, ""), ec2) for item in items.values()}
    return _read_text(shape, node)


def _read_text(shape: Shape | None, text: Any) -> Any:
    """Convert a value from the text of an untyped protocol; return the text if it is not of the type."""
    kind = shape.type_name if shape is not None else "string"
    if not isinstance(text, str):
        return text
    try:
        if kind in ("integer", "long"):
            return int(text)
        if kind in ("float", "double"):
            return float(text)
    except ValueError:
        return text
    if kind == "boolean":
        return {"true": True, "false": False}.get(text.lower(), text)
    return _base64(text) if kind == "blob" else text


# REST


@dataclass(frozen=True)
class _Route:
    operation: OperationModel
    path: re.Pattern[str]
    query: frozenset[tuple[str, str]]
    required: frozenset[tuple[str, str]]

    def match(self, request: Request) -> Parameters | None:
        found = self.path.fullmatch(request.path)
        if found is None or request.method != self.operation.http["method"]:
            return None
        given = {(name, value) for name, values in request.query.items() for value in values}
        names = {("querystring", name.lower()) for name in request.query} | {
            ("header", name) for name in request.headers
        }
        return found.groupdict() if self.query <= given and self.required <= names else None


@cache
def _routes(service: str) -> list[_Route]:
    """Return the operations, the most specific first: several share a path and differ by query or headers."""
    routes = []
    for name in _model(service).operation_names:
        operation = _model(service).operation_model(name)
        if operation.deprecated:
            continue  # shares its path with its successor
        path, _, query = operation.http["requestUri"].partition("?")
        shape: Any = operation.input_shape
        members = [shape.members[name].serialization for name in shape.required_members] if shape else []
        required = {(member.get("location"), member.get("name", "").lower()) for member in members}
        routes.append(
            _Route(
                operation,
                _path(path),
                frozenset(parse_qsl(query, keep_blank_values=True)),
                frozenset(place for place in required if place[0] in ("querystring", "header")),
            )
        )
    return sorted(
        routes,
        key=lambda route: (
            len(_LABEL.sub("", route.operation.http["requestUri"].partition("?")[0])),
            len(route.query) + len(route.required),
        ),
        reverse=True,
    )


def _path(uri: str) -> re.Pattern[str]:
    pattern, at = "", 0
    for label in _LABEL.finditer(uri):
        pattern += re.escape(uri[at : label.start()]) + f"(?P<{label[1]}>{'.+' if label[2] else '[^/]+'})"
        at = label.end()
    return re.compile(pattern + re.escape(uri[at:].rstrip("/")) + "/?")


def _routed(model: ServiceModel, request: Request) -> tuple[OperationModel, Parameters]:
    for route in _routes(model.service_name):
        labels = route.match(request)
        if labels is not None:
            return route.operation, labels
    raise Unreadable(f"{request.method} {request.path} is no operation of {model.service_name}")


def _read_rest(shape: Any, request: Request, labels: Parameters, protocol: str) -> Parameters:
    if shape is None:
        return {}
    found: Parameters = {}
    for name, member in shape.members.items():
        value = _outside_the_body(member, request, labels)
        if value is not None:
            found[name] = value
    payload = shape.serialization.get("payload")
    if payload is not None and shape.members[payload].type_name in ("blob", "string"):
        if request.body:
            found[payload] = request.body if shape.members[payload].type_name == "blob" else request.body.decode()
    elif request.body:
        body = shape if payload is None else shape.members[payload]
        value = (
            _read_xml(body, [ElementTree.fromstring(request.body)])  # noqa: S314 - from this machine's own clients
            if protocol == "rest-xml"
            else _read_json(body, json.loads(request.body))
        )
        found |= value if payload is None else {payload: value}
    return found


def _outside_the_body(member: Any, request: Request, labels: Parameters) -> Any:
    location, wire = member.serialization.get("location"), member.serialization.get("name", "")
    if location == "uri":
        return _read_text(member, labels.get(wire))
    if location == "headers":
        prefix = wire.lower()
        return {name[len(prefix) :]: text for name, text in request.headers.items() if name.startswith(prefix)} or None
    if location == "header":
        text = request.headers.get(wire.lower())
        if text is None or not isinstance(member, ListShape):
            return _read_text(member, text)
        return [_read_text(member.member, item.strip()) for item in text.split(",")]
    if location == "querystring" and isinstance(member, ListShape) and wire in request.query:
        return [_read_text(member.member, text) for text in request.query[wire]]
    if location == "querystring" and wire in request.query:
        return _read_text(member, request.query[wire][0])
    return None


def _read_xml(shape: Any, nodes: list[ElementTree.Element]) -> Any:
    if isinstance(shape, StructureShape):
        fields: dict[str, Any] = {}
        for child in nodes[0]:
            fields.setdefault(_NAMESPACE.sub("", child.tag), []).append(child)
        fields |= {f"xsi:{_NAMESPACE.sub('', name)}": value for name, value in nodes[0].attrib.items()}
        return _structure(shape, fields, _read_xml, _location_name)
    if isinstance(shape, ListShape):
        items: Iterable[ElementTree.Element] = nodes if shape.serialization.get("flattened") else nodes[0]
        return [_read_xml(shape.member, [item]) for item in items]
    return _read_text(shape, nodes if isinstance(nodes, str) else nodes[0].text or "")
