"""EventBridge's metrics of rules: matched events, and their deliveries.

AWS (EventBridge User Guide, "Monitoring Amazon EventBridge"): a rule of a bus that is not the default one is known by
EventBusName and RuleName. ``MatchedEvents`` counts its events, whether it has targets or not; ``Invocations`` every
event for every target; ``FailedInvocations`` those given up; ``InvocationsSentToDlq`` and
``InvocationsFailedToBeSentToDlq`` what became of these, the latter "due to permissions errors, unavailable resources,
or size limits", which the metric does not tell apart. None is sent while it is zero.

MiniStack: sends none.
"""

# ruff: noqa: SLF001 - MiniStack's functions are private; patching.require checks them

from typing import Any

from ministack.services import cloudwatch, eventbridge

from devstack.emulator import patching


def apply() -> None:
    """Replace the loop over the rules of a bus."""
    patching.require(eventbridge, "_rules", "_targets", "_matches_pattern_view", "_pattern_event_view")
    patching.require(cloudwatch, "record_metric")
    patching.replace(eventbridge, "_dispatch_event", dispatch_event)


def dispatch_event(event: dict[str, Any], view: Any = None) -> None:
    """Deliver an event to the targets of every matching rule of its bus, and count."""
    view = view or eventbridge._pattern_event_view(event)
    for key, rule in list(eventbridge._rules.items()):
        if rule.get("EventBusName", "default") != event.get("EventBusName", "default"):
            continue
        if key in (event.get("_DispatchPath") or []) or rule.get("State") != "ENABLED" or not rule.get("EventPattern"):
            continue
        if eventbridge._matches_pattern_view(rule["EventPattern"], view, f"rule {key}"):
            count(rule, "MatchedEvents")
            for target in eventbridge._targets.get(key, []):
                count(rule, "Invocations")
                eventbridge._invoke_target(target, event, rule, view)


def count(rule: dict[str, Any], metric: str) -> None:
    """Count one event of a rule."""
    bus = rule.get("EventBusName", "default")
    dimensions = {"RuleName": rule["Name"]} | ({} if bus == "default" else {"EventBusName": bus})
    cloudwatch.record_metric("AWS/Events", metric, 1, "Count", dimensions)
