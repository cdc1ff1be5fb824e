"""The policy of an event bus, set as a whole.

AWS (EventBridge API Reference: PutPermission): ``Policy`` is a JSON document that takes the place of the bus's policy.

MiniStack: makes one statement of the parameters beside it, which lets everybody put events.
"""

# ruff: noqa: SLF001 - what is patched is private; patching.require watches over it

import json
from typing import Any

from ministack.core import responses
from ministack.services import eventbridge

from pipeline.local.emulator import patching

_original: dict[str, Any] = {}


def apply() -> None:
    """Replace PutPermission."""
    patching.require(eventbridge, "_event_bus_policies")
    _original["_put_permission"] = patching.replace(eventbridge, "_put_permission", put_permission)


def put_permission(data: dict[str, Any]) -> Any:
    """PutPermission with a policy; with a statement's parameters as before."""
    if not data.get("Policy"):
        return _original["_put_permission"](data)
    try:
        policy = json.loads(data["Policy"])
    except ValueError as problem:
        return responses.error_response_json("ValidationException", f"Policy is no JSON: {problem}", 400)
    eventbridge._event_bus_policies[data.get("EventBusName") or "default"] = policy
    return responses.json_response({})
