"""The user of the smoke test: events in Auth0's own form, of a user id that Auth0 never gives."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid4

from pipeline import changes

Json = dict[str, Any]

USER: Final = "smoke|auth0-sync"
"""No identity provider of Auth0 is called smoke. The same id each time, so that one tombstone is left, not many."""

CLIENT: Final = "auth0-sync-smoke-test"


@dataclass(frozen=True)
class Event:
    """An event as EventBridge delivers it, and the version that it gives the user."""

    body: str
    version: str


def created(source: str, at: datetime) -> Event:
    """The user is created at `at`, or created again."""
    moment = _timestamp(at)
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
    """The user is deleted at `at`."""
    return _call(source, "delete", f"/api/v2/users/{quote(USER, safe='')}", "Delete a User", at, 204, {})


def login(source: str, at: datetime) -> str:
    """The user logs in: an event of no concern to the sync."""
    return _wrapped(source, _log("s", "", at, user_id=USER))


def _call(source: str, method: str, path: str, description: str, at: datetime, status: int, answer: Json) -> Event:
    """The log of a call of the Management API by a machine."""
    request = {"method": method, "path": path, "query": {}, "body": {}, "channel": "api", "ip": "203.0.113.1"}
    details = {"request": request, "response": {"statusCode": status, "body": answer}}
    body = _wrapped(source, _log("sapi", description, at, details=details))
    [change] = changes.read(body)
    if not isinstance(change, changes.Snapshot | changes.Tombstone):
        raise AssertionError(f"the sync takes the smoke test's event for {change}")
    return Event(body, change.version)


def _log(kind: str, description: str, at: datetime, **data: Any) -> Json:
    log_id = f"smoke-{uuid4().hex}"
    detail = {
        "date": _timestamp(at),
        "type": kind,
        "description": description,
        "client_id": CLIENT,
        "client_name": "",
        "ip": "203.0.113.1",
        "user_agent": CLIENT,
        "log_id": log_id,
    }
    return {"log_id": log_id, "data": detail | data}


def _wrapped(source: str, detail: Json) -> str:
    now = datetime.now(UTC)
    envelope = {
        "version": "0",
        "id": str(uuid4()),
        "detail-type": "Auth0 log",
        "source": source,
        "account": "000000000000",
        "time": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": "us-east-1",
        "resources": [],
        "detail": detail,
    }
    return json.dumps(envelope)


def _timestamp(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
