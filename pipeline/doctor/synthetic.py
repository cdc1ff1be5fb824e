"""The test user of the smoke test, with a user id that Auth0 never gives, and its events.

Events that the test sends have the project's own source. Samples for the patterns of EventBridge's rules, which nothing
receives, have one of Auth0's.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid4

from pipeline import changes
from pipeline.delivery.envelope import envelope, iso, own_event, own_source

Json = dict[str, Any]

USER: Final = "smoke|auth0-sync"
"""Auth0 has no identity provider named smoke. The id is always the same, so that only one tombstone stays."""

CLIENT: Final = "auth0-sync-smoke-test"

SENDER: Final = "doctor"
SOURCE: Final = own_source(SENDER)
"""The source of events that the test sends."""


@dataclass(frozen=True)
class Event:
    """An event as a message, and the version that it gives the user."""

    body: str
    version: str


def created(source: str, at: datetime) -> Event:
    """Return an event that creates the user, or creates it again."""
    moment = iso(at)
    user = {
        "user_id": USER,
        "created_at": moment,
        "updated_at": moment,
        "email": "smoke-test@auth0-sync.invalid",
        "email_verified": False,
        "identities": [{"connection": "smoke", "provider": "smoke", "user_id": "auth0-sync", "isSocial": False}],
        "user_metadata": {"smoke_test": moment},
    }
    return _call(source, "post", "/api/v2/users", "Create a User", at, 201, user)


def deleted(source: str, at: datetime) -> Event:
    """Return an event that deletes the user."""
    return _call(source, "delete", f"/api/v2/users/{quote(USER, safe='')}", "Delete a User", at, 204, {})


def login(source: str, at: datetime) -> str:
    """Return an event of a login of the user, which the sync ignores."""
    return _event(source, _log("s", "", at, user_id=USER))


def _call(source: str, method: str, path: str, description: str, at: datetime, status: int, answer: Json) -> Event:
    """Return the log of a machine's Management API call."""
    request = {"method": method, "path": path, "query": {}, "body": {}, "channel": "api", "ip": "203.0.113.1"}
    details = {"request": request, "response": {"statusCode": status, "body": answer}}
    body = _event(source, _log("sapi", description, at, details=details))
    [change] = changes.read(body)
    if not isinstance(change, changes.Snapshot | changes.Tombstone):
        raise AssertionError(f"the sync takes the smoke test's event for {change}")
    return Event(body, change.version)


def _log(kind: str, description: str, at: datetime, **data: Any) -> Json:
    """Return a tenant log in Auth0's form."""
    log_id = f"smoke-{uuid4().hex}"
    detail = {
        "date": iso(at),
        "type": kind,
        "description": description,
        "client_id": CLIENT,
        "client_name": "",
        "ip": "203.0.113.1",
        "user_agent": CLIENT,
        "log_id": log_id,
    }
    return {"log_id": log_id, "data": detail | data}


def _event(source: str, detail: Json) -> str:
    now = iso(datetime.now(UTC))
    if source == SOURCE:
        return own_event(SENDER, detail, now)
    # TestEventPattern requires all the fields of an envelope.
    return envelope(source, "Auth0 log", detail, now, account="000000000000", region="us-east-1", resources=[])
