"""Event patterns on arrays of objects, and on fields that are null.

AWS (github.com/aws/event-ruler, the engine of EventBridge, "Exists matching", "JSON Array Matching"): a field is the
path to its values, through arrays as well. ``{"exists": false}`` therefore matches only where no element of an array
has the field, while other matchers of one pattern must be met by one element. A null is a value: its field exists.

MiniStack: ``{"exists": false}`` matches where any element is without the field, and TestEventPattern takes a
``replay-name`` that is null for none.
"""

# ruff: noqa: SLF001 - MiniStack's functions are private; patching.require checks them

from typing import Any

from ministack.services import eventbridge

from devstack.emulator import patching

_original: dict[str, Any] = {}


def apply() -> None:
    """Replace the matcher of objects, and how TestEventPattern reads its event."""
    patching.require(eventbridge, "_flatten", "_matches_alternatives", "_UNSATISFIABLE")
    patching.replace(eventbridge, "_matches_detail", matches_detail)
    _original["event"] = patching.replace(eventbridge, "_event_from_test_payload", event_from_test_payload)


def event_from_test_payload(event_obj: dict[str, Any]) -> dict[str, Any]:
    """Return the event in MiniStack's fields, with a ``replay-name`` that is null."""
    event: dict[str, Any] = _original["event"](event_obj)
    if event_obj.get("replay-name", "") is None:
        event["_ExtraEnvelope"] = {**event.get("_ExtraEnvelope", {}), "replay-name": None}
    return event


def matches_detail(detail: Any, pattern: Any) -> bool:
    """Return whether an event, or its detail, matches one alternative of a pattern."""
    return _matches(detail, [detail], pattern)


def _matches(element: Any, elements: list[Any], pattern: Any) -> bool:
    """Return whether one element of an array matches; ``elements`` are all at the same path."""
    if not isinstance(pattern, dict) or not pattern or eventbridge._UNSATISFIABLE in pattern:
        return False
    return all(_field_matches(element, elements, name, expected) for name, expected in pattern.items())


def _field_matches(element: Any, elements: list[Any], name: str, expected: Any) -> bool:
    here = [element[name]] if isinstance(element, dict) and name in element else []
    anywhere = [other[name] for other in elements if isinstance(other, dict) and name in other]
    if isinstance(expected, dict):
        inner = eventbridge._flatten(anywhere, True)
        return any(_matches(one, inner, expected) for one in eventbridge._flatten(here, True) or [{}])
    if not isinstance(expected, list):
        return False
    values = eventbridge._flatten(here, False)
    exists = [matcher["exists"] for matcher in expected if isinstance(matcher, dict) and "exists" in matcher]
    if (True in exists and values) or (False in exists and not eventbridge._flatten(anywhere, False)):
        return True
    return any(eventbridge._matches_alternatives(value, expected) for value in values)
