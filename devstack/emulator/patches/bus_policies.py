"""The policy of an event bus: set as a whole, and needed before a rule elsewhere can have the bus as its target.

AWS (EventBridge API Reference: PutPermission): ``Policy`` is a JSON document that takes the place of the bus's policy.
(EventBridge User Guide, "Sending and receiving events between AWS accounts" and "between AWS Regions"): a bus takes
events of another account or region if its policy lets that account put them. PutTargets checks that, and answers
AccessDeniedException; it names no rule, so a statement that wants ``aws:SourceArn`` does not count here.

MiniStack: makes one statement of the parameters beside it, which lets everybody put events, and takes every target.
"""

# ruff: noqa: SLF001 - MiniStack's functions are private; patching.require checks them

import json
from typing import Any

from ministack.core import responses
from ministack.core.arn import ArnParseError, parse_arn
from ministack.services import eventbridge

from devstack.emulator import patching, permissions

_original: dict[str, Any] = {}


def apply() -> None:
    """Replace PutPermission and PutTargets."""
    patching.require(eventbridge, "_event_bus_policies")
    for name, new in (("_put_permission", put_permission), ("_put_targets", put_targets)):
        _original[name] = patching.replace(eventbridge, name, new)


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


def put_targets(data: dict[str, Any]) -> Any:
    """PutTargets, if every bus of another account or region lets this account put events."""
    account, region = responses.get_account_id(), responses.get_region()
    for target in data.get("Targets") or []:
        arn = _elsewhere(target.get("Arn", ""), account, region)
        if arn is not None and not _lets_put(arn, account):
            message = f"Account {account} is not authorized to perform: events:PutEvents on resource: {arn}"
            return responses.error_response_json("AccessDeniedException", message, 400)
    return _original["_put_targets"](data)


def _elsewhere(text: str, account: str, region: str) -> Any:
    """Return the ARN of a bus of another account or region; None for every other target."""
    try:
        arn = parse_arn(text)
    except ArnParseError:
        return None
    is_bus = arn.service == "events" and arn.resource.startswith("event-bus/")
    return arn if is_bus and (arn.account_id, arn.region) != (account, region) else None


def _lets_put(arn: Any, account: str) -> bool:
    with responses.request_scope(arn.account_id, arn.region):
        policy = eventbridge._event_bus_policies.get(arn.resource.removeprefix("event-bus/"))
    return permissions.policy_allows(policy, account, arn.region, "events:PutEvents", str(arn))
