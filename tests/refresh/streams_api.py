"""Log Streams and Event Streams as Auth0's Management API has them, with its scopes, limits and refusals.

The properties are those of the reference, "Create a log stream" and "Create an event stream"; the answers are like
those that go-auth0 has recorded. What Auth0 does not document is a choice here, which the tests vary: its answer to an
early ``startFrom``, to one stream too many, and for a plan without Event Streams.
"""

import json
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.refresh.refusals import refusal

Json = dict[str, Any]
Answer = tuple[int, Any]

PAGE = 50
REGIONS = {"eu-central-1", "eu-west-1", "us-east-1", "us-west-2"}
"""Some of the 36 that both kinds offer."""
_LOG_FIELDS = {"name", "type", "isPriority", "filters", "pii_config", "sink", "startFrom"}
_EVENT_FIELDS = {"name", "subscriptions", "destination", "status"}


SCOPES = {f"{verb}:{kind}_streams" for verb in ("read", "create", "update") for kind in ("log", "event")}
"""Scopes of an application for both kinds."""


class StreamsApi:
    """Keeps streams as Auth0 answers them; each new event source is a call of ``created``."""

    def __init__(self) -> None:
        self.log: list[Json] = []
        self.event: list[Json] = []
        self.created: Callable[[str, str, str], None] = lambda account, region, source: None
        self.retention: timedelta | None = None
        """Refuse a ``startFrom`` before this."""
        self.most = {"log": 2, "event": 4}
        self.has_event_streams = True
        self.page = PAGE
        self.writes: list[tuple[str, str, Json]] = []
        self.tenant = "acme"

    def answer(self, method: str, path: str, body: bytes, scopes: set[str]) -> Answer:
        address = urlsplit(path)
        if method == "POST" and (found := re.fullmatch(r"/api/v2/event-streams/([^/]+)/redeliver", address.path)):
            return self._redeliver(found[1], json.loads(body), scopes)
        found = re.fullmatch(r"/api/v2/(log|event)-streams(?:/([^/]+))?", address.path)
        if not found:
            return refusal(404, "Not Found", "")
        kind, stream_id = found.groups()
        scope = f"{ {'GET': 'read', 'POST': 'create', 'PATCH': 'update'}[method] }:{kind}_streams"
        if scope not in scopes:
            return refusal(403, f"Insufficient scope, expected any of: {scope}", "insufficient_scope")
        if kind == "event" and not self.has_event_streams:
            return refusal(403, "This feature is not enabled for the tenant", "feature_not_enabled")
        streams = self.log if kind == "log" else self.event
        if method == "GET" and not stream_id:
            return 200, (streams if kind == "log" else self._page(parse_qs(address.query)))
        if method == "POST" and not stream_id:
            return self._create(kind, streams, json.loads(body))
        stream = next((each for each in streams if each["id"] == stream_id), None)
        if stream is None:
            return refusal(404, "The stream does not exist", "inexistent_stream")
        return (200, stream) if method == "GET" else self._update(kind, stream, json.loads(body))

    def _redeliver(self, stream_id: str, body: Json, scopes: set[str]) -> Answer:
        if "update:event_deliveries" not in scopes:
            return refusal(403, "Insufficient scope, expected any of: update:event_deliveries", "insufficient_scope")
        if stream_id not in [each["id"] for each in self.event]:
            return refusal(404, "The stream does not exist", "inexistent_stream")
        if body.keys() - {"date_from", "date_to", "statuses", "event_types"}:
            return refusal(400, "Payload validation error: 'Additional properties not allowed'.")
        if any(len(body.get(name, "")) > 20 for name in ("date_from", "date_to")):
            return refusal(400, "Payload validation error: 'String is too long'.")
        self.writes.append(("POST", "redeliver", body))
        return 202, body

    def _page(self, query: dict[str, list[str]]) -> Json:
        begin = int(query.get("from", ["0"])[0])
        most = min(self.page, int(query.get("take", [str(PAGE)])[0]))
        page = {"eventStreams": self.event[begin : begin + most]}
        return page | ({"next": str(begin + most)} if begin + most < len(self.event) else {})

    def _create(self, kind: str, streams: list[Json], body: Json) -> Answer:
        self.writes.append(("POST", kind, body))
        if wrong := body.keys() - (_LOG_FIELDS if kind == "log" else _EVENT_FIELDS):
            return refusal(400, f"Payload validation error: 'Additional properties not allowed: {', '.join(wrong)}'.")
        to = body["sink"] if kind == "log" else body["destination"]["configuration"]
        account, region = to.values()
        if not re.fullmatch(r"\d{12}", account) or region not in REGIONS:
            return refusal(400, f"Payload validation error: 'No enum match for: {region}'.")
        if kind == "log" and self._is_too_early(body):
            return refusal(400, "startFrom is before the log retention of the tenant")
        if len(streams) >= self.most[kind]:
            return refusal(403, f"You have reached the maximum number of {kind} streams", "limit_reached")
        source = f"aws.partner/auth0.com/{self.tenant}-{uuid.uuid4()}/auth0.{kind}s"
        streams.append(stream(kind, body.get("name", ""), account, region, source))
        if kind == "event":
            streams[-1] |= {"status": body.get("status", "enabled"), "subscriptions": body["subscriptions"]}
        self.created(account, region, source)
        return (200 if kind == "log" else 201), dict(streams[-1])

    def _is_too_early(self, body: Json) -> bool:
        if "startFrom" not in body or self.retention is None:
            return False
        return datetime.fromisoformat(body["startFrom"]) < datetime.now(UTC) - self.retention

    def _update(self, kind: str, stream: Json, body: Json) -> Answer:
        self.writes.append(("PATCH", kind, body))
        allowed = {"log": {"active", "paused"}, "event": {"enabled", "disabled"}}[kind]
        if body.keys() - {"name", "status"} or body.get("status", min(allowed)) not in allowed:
            return refusal(400, f"Payload validation error: {sorted(body)}", "invalid_body")
        stream |= body
        return 200, dict(stream)


def stream(kind: str, name: str, account: str, region: str, source: str = "", **fields: Any) -> Json:
    """A stream as Auth0 answers it: a log stream is active, and an event stream enabled."""
    source = source or f"aws.partner/auth0.com/acme-{uuid.uuid4()}/auth0.{kind}s"
    if kind == "log":
        sink = {"awsAccountId": account, "awsRegion": region, "awsPartnerEventSource": source}
        found: Json = {"id": f"lst_{uuid.uuid4().hex[:16]}", "type": "eventbridge", "status": "active", "sink": sink}
    else:
        to = {"aws_account_id": account, "aws_region": region, "aws_partner_event_source": source}
        subscriptions = [{"event_type": f"user.{each}"} for each in ("created", "updated", "deleted")]
        found = {
            "id": f"est_{uuid.uuid4().hex[:22]}",
            "status": "enabled",
            "subscriptions": subscriptions,
            "destination": {"type": "eventbridge", "configuration": to},
        }
    return found | {"name": name} | fields
