"""The constraints of AWS's service models, on every signed request.

AWS (API References, "Common Errors": ``ValidationException``, "The input fails to satisfy the constraints specified by
an AWS service"): a request is refused with status 400 if a member is missing, has another type, or breaks its length,
range, pattern or enumeration.

MiniStack: checks some of these in some operations. Clients check a part: botocore enforces no maximum, pattern or
enumeration, and Terraform's provider has rules of its own.

The models are those that botocore ships. Unknown members are refused too, though some services ignore them.
"""

# ruff: noqa: SLF001 - MiniStack's functions are private; patching.require checks them

import logging
from typing import Any

from ministack import app
from ministack.core import iam_actions

from devstack.emulator import constraints, patching, requests

log = logging.getLogger("service_models")

_original: dict[str, Any] = {}


def apply() -> None:
    """Check each request after its body has been read, before any service gets it."""
    patching.require(app, "_decompress_request_body")
    patching.require(iam_actions, "access_denied_response")
    _original["shortcuts"] = patching.replace(app, "_handle_post_body_shortcuts", check)


async def check(
    method: str, path: str, headers: dict[str, str], body: bytes, query_params: dict[str, list[str]], request_id: str
) -> Any:
    """Refuse a request that violates the models; pass on any other."""
    signed_for = requests.signed_for(headers)
    if signed_for is not None:
        plain = body if signed_for == "s3" else app._decompress_request_body(body, dict(headers))
        problems = list(refusals(requests.Request(method, path, headers, plain, query_params)))
        if problems:
            message = f"{len(problems)} validation error{'s' * (len(problems) > 1)} detected: {'; '.join(problems)}"
            log.error("Refused: %s", message)
            return _refused(signed_for, headers, request_id, message)
    return await _original["shortcuts"](method, path, headers, body, query_params, request_id)


def refusals(request: requests.Request) -> list[str]:
    """Return the violations of the service's model in the request."""
    try:
        operation, parameters = requests.read(request)
    except requests.Unreadable as problem:
        return [str(problem)]
    name = f"{operation.service_model.service_name}:{operation.name}"
    return [f"{name}: {found}" for found in constraints.violations(operation.input_shape, parameters)]


def _refused(service: str, headers: dict[str, str], request_id: str, message: str) -> Any:
    _, answered, body = iam_actions.access_denied_response(
        service, "", "", request_id, error_code="ValidationException", message=message, headers=headers
    )
    return 400, answered, body
