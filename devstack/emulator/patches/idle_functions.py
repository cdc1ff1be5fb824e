"""Functions that were idle for weeks.

AWS (Lambda Developer Guide, "Lambda function states"; Lambda API Reference: Invoke, ResourceNotReadyException): Lambda
takes back the network interfaces of a function in a VPC that is not called for weeks, and sets it to Inactive. The next
invocation fails and wakes it: it is Pending, when every invocation fails, until it is Active again.

MiniStack: has no idle functions.

Here the tag ``emulator:idle``, set by TagResource, makes a function Inactive; its value is how many seconds it takes to
wake. The tag is not kept. Only the API's Invoke minds the state, not an event source mapping.
"""

# ruff: noqa: SLF001 - MiniStack's functions are private; patching.require checks them

import threading
from typing import Any

from ministack.core import responses
from ministack.services import lambda_svc

from devstack.emulator import patching

TAG = "emulator:idle"
_WAKES = "_WakesAfter"

_original: dict[str, Any] = {}


def apply() -> None:
    """Replace TagResource and Invoke."""
    patching.require(lambda_svc, "_functions", "_resolve_request_scoped_name")
    for name, function in (("_tag_resource", tag_resource), ("_invoke", invoke)):
        _original[name] = patching.replace(lambda_svc, name, function)


def tag_resource(resource_arn: str, data: dict[str, Any]) -> Any:
    """TagResource; the tag of an idle function changes its state in place of its tags."""
    function = lambda_svc._functions.get(lambda_svc._resolve_request_scoped_name(resource_arn))
    seconds = data.get("Tags", {}).get(TAG)
    if function is None or seconds is None:
        return _original["_tag_resource"](resource_arn, data)
    function[_WAKES] = float(seconds)
    function["config"] |= {"State": "Inactive", "StateReasonCode": "Idle", "StateReason": "The function is idle."}
    return 204, {}, b""


async def invoke(
    name: str, event: Any, headers: Any, path_qualifier: str | None = None, query_params: Any = None
) -> Any:
    """Invoke, which an idle function refuses until it has woken."""
    function = lambda_svc._functions.get(name, {})
    if _WAKES not in function:
        return await _original["_invoke"](name, event, headers, path_qualifier, query_params)
    if function["config"]["State"] == "Inactive":
        function["config"] |= {"State": "Pending", "StateReasonCode": "Restoring", "StateReason": "It is restored."}
        _wake(function)
        message = "The function is inactive and its VPC connection is no longer available."
        return responses.error_response_json("ResourceNotReadyException", message, 502)
    message = (
        "The operation cannot be performed at this time. The function is currently in the following state: Pending"
    )
    return responses.error_response_json("ResourceConflictException", f"{message}Pending", 409)


def _wake(function: dict[str, Any]) -> None:
    def active() -> None:
        del function[_WAKES]
        function["config"] |= {"State": "Active", "StateReasonCode": "", "StateReason": ""}

    timer = threading.Timer(function[_WAKES], active)
    timer.daemon = True
    timer.start()
