"""A log of the requests that the emulator gets, as IAM would see them.

AWS (IAM User Guide, "How permissions and policies provide access management"; CloudTrail User Guide, "CloudTrail
record contents"): each request is an action on a resource, and CloudTrail records who made it, with its parameters.

MiniStack: derives the action and the resource, but only to enforce policies, and records neither: its CloudTrail has
the operation of each request, without the resource.

Here AUTH0_SYNC_EMULATOR_REQUESTS names a file that gets one JSON line for each signed request, secrets included: it
is for tests. Nothing is recorded without the variable.
"""

# ruff: noqa: SLF001 - MiniStack's functions are private; patching.require checks them

import json
import os
from pathlib import Path
from typing import Any

from ministack import app
from ministack.core import iam_actions, responses, router

from devstack.emulator import patching, requests

FILE = os.environ.get("AUTH0_SYNC_EMULATOR_REQUESTS")

_original: dict[str, Any] = {}


def apply() -> None:
    """Record each request after its body has been read, before any service gets it."""
    patching.require(app, "_decompress_request_body", "_routing_params")
    patching.require(iam_actions, "extract_iam_action", "extract_resource_arn")
    patching.require(router, "detect_service", "extract_access_key_id", "extract_region")
    if FILE:
        _original["shortcuts"] = patching.replace(app, "_handle_post_body_shortcuts", record)


async def record(
    method: str, path: str, headers: dict[str, str], body: bytes, query_params: dict[str, list[str]], request_id: str
) -> Any:
    """Record a signed request; pass on every one."""
    if requests.signed_for(headers) is not None:
        plain = body if requests.signed_for(headers) == "s3" else app._decompress_request_body(body, dict(headers))
        line = json.dumps(described(requests.Request(method, path, headers, plain, query_params)), default=_omitted)
        with Path(str(FILE)).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    return await _original["shortcuts"](method, path, headers, body, query_params, request_id)


def described(request: requests.Request) -> dict[str, Any]:
    """Return who asks what of which resource, with the operation's parameters."""
    headers, query = dict(request.headers), dict(request.query)
    routing = app._routing_params(request.method, request.path, headers, request.body, query)
    service = router.detect_service(request.method, request.path, headers, routing)
    region, account = router.extract_region(headers, query), responses.get_account_id()
    asked = (service, request.method, request.path, headers, request.body, routing)
    try:
        operation, parameters = requests.read(request)
    except requests.Unreadable:
        name, parameters = "", {}
    else:
        name = f"{operation.service_model.service_name}:{operation.name}"
    return {
        "key": router.extract_access_key_id(headers, query),
        "agent": headers.get("user-agent", ""),
        "operation": name,
        "action": iam_actions.extract_iam_action(*asked),
        "resource": iam_actions.extract_resource_arn(*asked, region, account),
        "region": region,
        "parameters": parameters,
    }


def _omitted(value: Any) -> str:
    return f"<{type(value).__name__}>"
