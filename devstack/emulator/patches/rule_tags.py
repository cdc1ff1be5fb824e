"""Tags of rules on buses whose name holds slashes, as every partner bus's does.

AWS (EventBridge API Reference: ListTagsForResource, TagResource; Service Authorization Reference, "Resource types
defined by Amazon EventBridge"): a rule's ARN is ``rule/<bus>/<rule>`` whatever the bus is called, such as
``rule/aws.partner/auth0.com/acme/auth0.logs/everything``.

MiniStack: takes an ARN of more than three parts for no rule at all, so Terraform cannot read the rule's tags.
"""

# ruff: noqa: SLF001 - MiniStack's functions are private; patching.require checks them

from typing import Any

from ministack.services import eventbridge

from devstack.emulator import patching

_original: dict[str, Any] = {}


def apply() -> None:
    """Replace the look-up of ``ministack.services.eventbridge`` behind the tag operations."""
    patching.require(eventbridge, "_rules")
    name = "_resolve_taggable_events_arn"
    _original[name] = patching.replace(eventbridge, name, resolve_taggable_arn)


def resolve_taggable_arn(arn: Any) -> Any:
    """Return the ARN and no error if a rule has it; treat other ARNs as before."""
    if any(rule.get("Arn") == arn for rule in eventbridge._rules.values()):
        return arn, None
    return _original["_resolve_taggable_events_arn"](arn)
