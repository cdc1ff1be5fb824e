"""EventBridge's delivery to SQS queues, Firehose streams and the buses of other regions.

AWS (EventBridge User Guide, "Amazon EventBridge event bus targets", "Using dead-letter queues to process undelivered
events", "Sending and receiving events between AWS Regions"; Firehose Developer Guide, "Sending data to a Firehose
stream"): a target gets the event as one JSON document, ``version`` first and ``detail`` last, one Firehose record per
event and nothing after it, if the target's role may put records there. A bus in another region gets the event as it is,
with the source, the region and the time that it had, if the target's role may put events on that bus. What cannot be
delivered because the target is gone or refuses it, as a queue does with what is too large, goes to the target's
dead-letter queue at once, with the reason as message attributes; other failures are retried first. What the dead-letter
queue does not take is gone.

MiniStack: no Firehose target, no bus in another region and no dead-letter queue. It parses ``detail`` and writes it
again, which turns 1e400 into Infinity, drops duplicate keys and cannot write what is nested too deep.

Here ``detail`` is delivered as the text that was put, without white space between its tokens. Retries are left out:
in this process a second try could not differ.
"""

# ruff: noqa: SLF001 - MiniStack's functions are private; patching.require checks them

import base64
import json
import logging
import re
from functools import partial
from typing import Any

from ministack.core import responses
from ministack.core.arn import ArnParseError, parse_arn
from ministack.services import eventbridge, firehose, sqs

from devstack.emulator import patching, permissions
from devstack.emulator.patches import event_metrics, firehose_encryption, size_limits

log = logging.getLogger("eventbridge")

# A JSON string, kept, or white space between tokens, dropped.
_STRING_OR_SPACE = re.compile(r'("(?:[^"\\]|\\.)*")|\s+')

_original: dict[str, Any] = {}


class Undeliverable(Exception):
    """The target does not take the event; ``code`` is EventBridge's ERROR_CODE."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def apply() -> None:
    """Replace ``_invoke_target`` for these targets; every other stays with MiniStack."""
    patching.require(
        eventbridge,
        "_event_buses",
        "_dispatch_event",
        "_archive_event",
        "_pattern_event_view",
        "_apply_input_transformer",
        "_target_matches_request_scope",
        "_dispatch_to_sqs",
    )
    patching.require(firehose, "_put_record")
    patching.require(sqs, "_queue_by_arn")
    _original["_invoke_target"] = patching.replace(eventbridge, "_invoke_target", invoke_target)


def invoke_target(target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: Any = None) -> None:
    """Deliver one matched event to one target of the rule."""
    try:
        arn = parse_arn(target.get("Arn", ""))
    except ArnParseError:
        arn = None
    relayed = arn is not None and arn.resource.startswith("event-bus/") and arn.region != responses.get_region()
    if arn is None or not (relayed or arn.service in ("sqs", "firehose")):
        _original["_invoke_target"](target, event, rule, view)
        return
    view = view or eventbridge._pattern_event_view(event)
    try:
        if relayed:
            _relay(arn, event, target)
            return
        if not eventbridge._target_matches_request_scope(arn):
            raise Undeliverable("NO_PERMISSIONS", f"{arn} is in another account or region.")
        payload = _payload(target, event, rule, view)
        if arn.service == "sqs":
            _send(arn, payload, target.get("SqsParameters") or {})
        else:
            _put_record(arn, payload, target)
    except Undeliverable as problem:
        log.warning("EventBridge: target %s not delivered: %s %s", arn, problem.code, problem)
        event_metrics.count(rule, "FailedInvocations")
        _bury(target, event, rule, view, problem)


def envelope(event: dict[str, Any], view: Any) -> str:
    """Return the event for a target: EventBridge's order of keys, no white space, ``detail`` as it was put."""
    fields = dict(view.envelope())
    order = ("version", "id", "detail-type", "source", "account", "time", "region", "resources")
    ordered = {name: fields.pop(name) for name in order if name in fields} | fields
    head = json.dumps(ordered, separators=(",", ":"), ensure_ascii=False)
    return f'{head[:-1]},"detail":{_detail(event.get("Detail", "{}"))}}}'


def _detail(raw: Any) -> str:
    if not isinstance(raw, str):
        return json.dumps(raw, separators=(",", ":"))
    try:
        json.loads(raw)
    except RecursionError:
        pass  # too deep for this interpreter, not for JSON
    except ValueError:
        return json.dumps(raw)
    return _STRING_OR_SPACE.sub(lambda match: match[1] or "", raw)


def _payload(target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: Any) -> str:
    if target.get("InputTransformer"):
        return str(eventbridge._apply_input_transformer(target["InputTransformer"], rule, view))
    if target.get("Input"):
        return str(target["Input"])
    if target.get("InputPath"):
        value = view.event_with_detail()
        for part in filter(None, target["InputPath"].removeprefix("$").split(".")):
            if not isinstance(value, dict) or part not in value:
                return envelope(event, view)
            value = value[part]
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return envelope(event, view)


def _send(arn: Any, payload: str, parameters: dict[str, Any]) -> None:
    queue = sqs._queue_by_arn(str(arn))
    if queue is None:
        raise Undeliverable("NO_RESOURCE", f"Queue {arn} does not exist.")
    if problem := size_limits.message_problem(queue, payload, {}):
        raise Undeliverable("SDK_CLIENT_ERROR", problem)
    eventbridge._dispatch_to_sqs(arn, payload, parameters)


def _put_record(arn: Any, payload: str, target: dict[str, Any]) -> None:
    name = arn.resource.removeprefix("deliverystream/")
    caller = partial(permissions.role_allowed, target.get("RoleArn", ""), responses.get_region())
    if not caller("firehose:PutRecord", str(arn)):
        raise Undeliverable("NO_PERMISSIONS", f"The target's role may not put records into {arn}.")
    problem = firehose_encryption.refusal(name, caller)
    if problem:
        raise Undeliverable("SDK_CLIENT_ERROR", f"InvalidKMSResourceException: {problem}")
    data = base64.b64encode(payload.encode()).decode()
    status, _, body = firehose._put_record({"DeliveryStreamName": name, "Record": {"Data": data}})
    if status != 200:
        answer = json.loads(body)
        missing = answer.get("__type") == "ResourceNotFoundException"
        raise Undeliverable("NO_RESOURCE" if missing else "INVALID_PARAMETER", str(answer.get("message")))


def _relay(arn: Any, event: dict[str, Any], target: dict[str, Any]) -> None:
    """Put the event on a bus of another region."""
    if not permissions.role_allowed(target["RoleArn"], responses.get_region(), "events:PutEvents", str(arn)):
        raise Undeliverable("NO_PERMISSIONS", f"The target's role may not put events on {arn}.")
    here = f"{responses.get_region()}/{event['EventBusName']}"
    if here in event.get("_Relayed", ()):
        raise Undeliverable("NO_PERMISSIONS", f"The event came from {arn}.")
    bus = arn.resource.removeprefix("event-bus/")
    # Rules of the same name in both regions are no loop; MiniStack would detect one.
    forwarded = {name: value for name, value in event.items() if name != "_DispatchPath"}
    forwarded |= {"EventBusName": bus, "_Relayed": [*event.get("_Relayed", ()), here]}
    with responses.request_scope(arn.account_id, arn.region):
        if bus not in eventbridge._event_buses:
            raise Undeliverable("NO_RESOURCE", f"Event bus {arn} does not exist.")
        eventbridge._dispatch_event(forwarded)
        eventbridge._archive_event(forwarded)


def _bury(
    target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: Any, problem: Undeliverable
) -> None:
    dead_letter = (target.get("DeadLetterConfig") or {}).get("Arn")
    if dead_letter is None:
        return
    queue, body = sqs._queue_by_arn(dead_letter), envelope(event, view)
    attributes = {
        name: {"DataType": "String", "StringValue": value}
        for name, value in (
            ("RULE_ARN", rule.get("Arn", "")),
            ("TARGET_ARN", target.get("Arn", "")),
            ("ERROR_CODE", problem.code),
            ("ERROR_MESSAGE", str(problem)),
        )
    }
    if queue is None or size_limits.message_problem(queue, body, attributes):
        event_metrics.count(rule, "InvocationsFailedToBeSentToDlq")
        return
    eventbridge._dispatch_to_sqs(parse_arn(dead_letter), body)
    queue["messages"][-1]["message_attributes"] = attributes
    event_metrics.count(rule, "InvocationsSentToDlq")
