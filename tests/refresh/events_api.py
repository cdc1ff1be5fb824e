"""Auth0's Events API, by "Consume Events with the Events API": messages, markers, offsets, limits, errors and cuts.

Auth0 does not document its answer to one connection too many, nor to a `from_timestamp` that is too early; here they
are 429 and 410.
"""

import base64
import json
import time
from collections import deque
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.refresh.refusals import refusal

Json = dict[str, Any]
PATH = "/api/v2/events"
TYPES = {"user.created", "user.updated", "user.deleted", "organization.created"}


class Cut(Exception):
    """The connection breaks."""


class EventsApi:
    """Keeps events in the order of Auth0; each connection begins at its offset or at its time."""

    def __init__(self) -> None:
        self.events: list[Json] = []
        self.first = 0
        """Position of the first event that it still keeps."""
        self.heartbeat = 0.05
        self.most = 1
        """Connections at the same time."""
        self.open = 0
        self.per_connection = 10**9
        """Events after which it closes a connection."""
        self.per_event = 0.0
        """Seconds before each event."""
        self.ahead = timedelta()
        """Its clock is ahead of this machine's by this time."""
        self.cuts: deque[int] = deque()
        """For each of the next connections the bytes after which it breaks; 0 for never."""
        self.errors: deque[Json] = deque()
        """Errors with which it ends the next connections after their first event."""
        self.markers, self.silent = True, False
        self.begins: list[str] = []
        """The offset or the time at which each connection began."""
        self.raw: dict[int, str] = {}
        """Replaces the data of the message of an event, by its position."""

    def refused(self, path: str, scopes: set[str]) -> tuple[int, Json, dict[str, str]] | None:
        """Return status, document and headers of the refusal of a request, or None if it gets a stream."""
        query = parse_qs(urlsplit(path).query)
        if "read:events" not in scopes:
            return *refusal(403, "Insufficient scope, expected any of: read:events", "insufficient_scope"), {}
        if set(query.get("event_type", [])) - TYPES or {"from", "from_timestamp"} <= query.keys():
            return *refusal(400, "Query validation error", "invalid_query_string"), {}
        if self.open >= self.most:
            return *refusal(429, "Too many connections", "too_many_requests"), {"Retry-After": "1"}
        self.begins.append((query.get("from") or query.get("from_timestamp") or ["latest"])[0])
        try:
            position = self._begin(query)
        except ValueError:
            return *refusal(400, "Invalid offset", "invalid_query_string"), {}
        if position < self.first:
            return *refusal(410, "The offset has expired", "cursor_expired"), {}
        return None

    def _begin(self, query: dict[str, list[str]]) -> int:
        if "from" in query:
            return int(base64.b64decode(query["from"][0], validate=True))
        if "from_timestamp" not in query:
            return len(self.events)
        [text] = query["from_timestamp"]
        if len(text) > 20:
            raise ValueError(text)
        moment = datetime.fromisoformat(text)
        later = (n for n, event in enumerate(self.events) if datetime.fromisoformat(event["time"]) >= moment)
        found = next(later, len(self.events))
        return found if found else -(self.first > 0)

    def stream(self, path: str) -> Iterator[bytes]:
        """Yield the bytes of a connection. Raises Cut where it breaks."""
        query = parse_qs(urlsplit(path).query)
        cut = self.cuts.popleft() if self.cuts else 0
        sent = 0
        for piece in self._messages(self._begin(query), set(query["event_type"])):
            sent += len(piece)
            if cut and sent > cut:
                yield piece[: len(piece) - (sent - cut)]
                raise Cut
            yield piece

    def _messages(self, position: int, types: set[str]) -> Iterator[bytes]:
        yield b":connected\n\nretry: 10\n\n"
        delivered = 0
        while not self.silent:
            if position < len(self.events):
                event, position = self.events[position], position + 1
                if event["type"] in types:
                    time.sleep(self.per_event)
                    message = self._message(event, position)
                    delivered += 1
                    if self.errors:
                        error = json.dumps({"error": self.errors.popleft()})
                        yield message + f"event: error\ndata: {error}\n\n".encode()
                        return
                    yield message
                if delivered == self.per_connection:
                    return
                continue
            time.sleep(self.heartbeat)
            yield b": heartbeat\n\n"
            if self.markers:
                offset = offset_of(position)
                yield f'event: offset-only\r\nid: {offset}\r\ndata: {{"offset":"{offset}"}}\r\n\r\n'.encode()
        while self.silent:
            time.sleep(self.heartbeat)
            yield b""

    def _message(self, event: Json, position: int) -> bytes:
        offset = offset_of(position)
        data = self.raw.get(position - 1) or json.dumps({"offset": offset, "event": event}, ensure_ascii=False)
        lines = "\n".join(f"data: {line}" for line in data.split("\n"))
        return f"event: {event['type']}\nid: {offset}\n{lines}\n\n".encode()


def offset_of(position: int) -> str:
    """Return the offset behind the first ``position`` events."""
    return base64.b64encode(str(position).encode()).decode()
