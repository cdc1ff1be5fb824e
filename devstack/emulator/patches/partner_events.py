"""EventBridge partner event sources, from the partner's event to the customer's bus.

AWS (EventBridge User Guide, "Receiving events from a SaaS partner"; API Reference: PutPartnerEvents,
CreatePartnerEventSource, ListEventSources, DescribeEventSource, CreateEventBus): the partner creates a source for a
customer's account, where it is listed as PENDING. Creating a bus with that ``EventSourceName``, and the same name,
makes it ACTIVE. ``PutPartnerEvents`` goes to that bus; events of a source without a bus are
accepted and dropped. The event's ``time`` is the entry's, in whole seconds. An entry without Source, DetailType or
Detail, or whose Detail is not a JSON object, fails alone. ``DescribeEventBus`` does not return the source's name.

MiniStack: sources can be created, but no account lists them, CreateEventBus forgets ``EventSourceName`` and
PutPartnerEvents answers with ids and delivers nothing.
"""

# ruff: noqa: SLF001 - MiniStack's functions are private; patching.require checks them

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ministack.core import responses
from ministack.services import eventbridge

from devstack.emulator import patching

Data = dict[str, Any]
_original: dict[str, Any] = {}


def apply() -> None:
    """Replace the partner operations of ``ministack.services.eventbridge``."""
    patching.require(
        eventbridge,
        "_partner_event_sources",
        "_event_buses",
        "_pattern_event_view",
        "_dispatch_event",
        "_archive_event",
    )
    patching.require(responses, "_request_account_id", "get_account_id", "get_region", "new_uuid")
    for name, new in (
        ("_create_partner_event_source", create_partner_event_source),
        ("_create_event_bus", create_event_bus),
        ("_list_event_sources", list_event_sources),
        ("_describe_event_source", describe_event_source),
        ("_put_partner_events", put_partner_events),
    ):
        _original[name] = patching.replace(eventbridge, name, new)


def create_partner_event_source(data: Data) -> Any:
    """CreatePartnerEventSource, with the creation time for the customer's description."""
    answer = _original["_create_partner_event_source"](data)
    if answer[0] == 200:
        record = eventbridge._partner_event_sources[f"{data['Account']}|{data['Name']}"]
        record["CreationTime"] = int(time.time())
    return answer


def create_event_bus(data: Data) -> Any:
    """CreateEventBus, associating a partner event source with the new bus."""
    name, source = data.get("Name") or "", data.get("EventSourceName")
    if source is None:
        if "/" in name:
            return _error("ValidationException", f"Event bus name {name}: only a partner event bus may contain '/'.")
        return _original["_create_event_bus"](data)
    if name != source:
        return _error("ValidationException", "EventBus name must be the same as the EventSourceName.")
    if not any(True for _ in _sources(source)):
        return _error("ResourceNotFoundException", f"Event source {source} does not exist.")
    answer = _original["_create_event_bus"](data)
    if answer[0] == 200:
        eventbridge._event_buses[name]["EventSourceName"] = source
    return answer


def list_event_sources(data: Data) -> Any:
    """ListEventSources: those that partners created for the caller's account, by name."""
    prefix, limit = data.get("NamePrefix", ""), int(data.get("Limit") or 100)
    after = data.get("NextToken", "")
    found = sorted((s for s in map(_description, _sources()) if s["Name"].startswith(prefix)), key=lambda s: s["Name"])
    rest = [source for source in found if source["Name"] > after]
    answer: Data = {"EventSources": rest[:limit]}
    if len(rest) > limit:
        answer["NextToken"] = rest[limit - 1]["Name"]
    return responses.json_response(answer)


def describe_event_source(data: Data) -> Any:
    """DescribeEventSource, or ResourceNotFoundException."""
    name = data.get("Name", "")
    for source in _sources(name):
        return responses.json_response(_description(source))
    return _error("ResourceNotFoundException", f"Event source {name} does not exist.")


def put_partner_events(data: Data) -> Any:
    """PutPartnerEvents: each entry to the bus of its source."""
    results = [_put(entry) for entry in data["Entries"]]
    failed = sum("ErrorCode" in result for result in results)
    return responses.json_response({"FailedEntryCount": failed, "Entries": results})


def _put(entry: Data) -> dict[str, str]:
    for field in ("Source", "DetailType", "Detail"):
        if not entry.get(field):
            return {"ErrorCode": "InvalidArgument", "ErrorMessage": f"Parameter {field} is not valid."}
    if not _is_json_object(entry["Detail"]):
        return {"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."}
    event_id = responses.new_uuid()
    for account in _accounts_of(entry["Source"]):
        with _as_account(account):
            bus = eventbridge._event_buses.get(entry["Source"])
            if bus is not None and bus.get("EventSourceName") == entry["Source"]:
                _deliver(entry, event_id)
    return {"EventId": event_id}


def _deliver(entry: Data, event_id: str) -> None:
    event = {
        "EventId": event_id,
        "Source": entry["Source"],
        "DetailType": entry["DetailType"],
        "Detail": entry["Detail"],
        "EventBusName": entry["Source"],
        "Time": int(entry.get("Time") or time.time()),
        "Resources": entry.get("Resources") or [],
        "Account": responses.get_account_id(),
        "Region": responses.get_region(),
    }
    view = eventbridge._pattern_event_view(event)
    eventbridge._dispatch_event(event, view)
    eventbridge._archive_event(event, view)


def _is_json_object(text: str) -> bool:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        text.encode()
        return isinstance(json.loads(text, parse_constant=refuse), dict)
    except RecursionError:
        return text.lstrip().startswith("{")
    except ValueError:
        return False


def _sources(name: str | None = None) -> Iterator[Data]:
    """Yield the sources that any partner created, in this region, for the caller's account."""
    account, region = responses.get_account_id(), responses.get_region()
    for scope, record in list(eventbridge._partner_event_sources._data.items()):
        if scope[1] == region and record["Account"] == account and name in (None, record["Name"]):
            yield record


def _accounts_of(name: str) -> list[str]:
    """Return the accounts for which the caller, a partner, created the source ``name``."""
    return [record["Account"] for record in eventbridge._partner_event_sources.values() if record["Name"] == name]


def _description(record: Data) -> Data:
    name = record["Name"]
    bus = eventbridge._event_buses.get(name) or {}
    return {
        "Arn": f"arn:aws:events:{responses.get_region()}::event-source/{name}",
        "CreatedBy": "/".join(name.split("/")[:2]),
        "CreationTime": record["CreationTime"],
        "Name": name,
        "State": "ACTIVE" if bus.get("EventSourceName") == name else "PENDING",
    }


@contextmanager
def _as_account(account: str) -> Iterator[None]:
    token = responses._request_account_id.set(account)
    try:
        yield
    finally:
        responses._request_account_id.reset(token)


def _error(code: str, message: str) -> Any:
    return responses.error_response_json(code, message, 400)
