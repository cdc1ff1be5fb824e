"""Tenant logs for tests of the archive, as few fields as a test needs."""

from itertools import count
from typing import Any

from devstack.traffic import eventbridge

Json = dict[str, Any]

_ids = count(1)


def log(kind: str, date: str, **data: Any) -> Json:
    """Return the EventBridge event of a log; `date` is the time of the day 2026-01-15, or a whole timestamp."""
    number = next(_ids)
    moment = date if "T" in date else f"2026-01-15T{date}Z"
    log_id = f"9002026{number:048d}"
    detail = {"log_id": log_id, "data": {"date": moment, "type": kind, "log_id": log_id, **data}}
    return eventbridge(detail, event_id=f"e{number}", time=moment)


def call(method: str, path: str, body: Any = None, *, at: str = "09:00:00", answer: Any = None, **data: Any) -> Json:
    """Return a call of the Management API by the administrator Erin; `answer` is the body of the response."""
    user = {"user_id": "auth0|erin", "name": "Erin", "email": "Erin@acme.example"}
    request = {
        "method": method,
        "path": path.partition("?")[0],
        "query": dict(pair.split("=") for pair in path.partition("?")[2].split("&") if pair),
        "body": {} if body is None else body,
        "channel": "https://manage.auth0.com/",
        "ip": "203.0.113.1",
        "auth": {"user": user, "strategy": "jwt", "credentials": {"jti": "x"}},
    }
    details = {"request": request, "response": {"statusCode": 200, "body": {} if answer is None else answer}}
    fields = {"client_id": "dashboard", "user_id": "auth0|erin", "ip": "203.0.113.1", "details": details}
    return log("sapi", at, **(fields | data))
