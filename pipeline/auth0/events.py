"""Read past events of a tenant from Auth0's Events API, until they have caught up with the present.

Auth0 documents it in "Consume Events with the Events API": server-sent events, each with an offset from which another
connection goes on. Auth0 closes each connection after some minutes. A marker `offset-only` has an offset and no event.
"""

import time
from collections.abc import Generator, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

import msgspec
import urllib3
from msgspec import Raw

from pipeline.auth0.management import PAUSE, TRIES, Auth0Error, Limited, Management, Refused, Unanswered
from pipeline.auth0.sse import Message, Parser
from pipeline.auth0.streams import SUBSCRIPTIONS, seconds
from pipeline.changes import instant
from pipeline.errors import BadTimestamp
from pipeline.events import NULL, decode_deep

SCOPE: Final = "read:events"
QUIET: Final = 60.0
"""Seconds of an open connection without an event after which there are no more."""
UNREADABLE: Final = "unreadable"
"""``Received.problem`` of a message that is no JSON, or has no event."""
_CHUNK: Final = 256 * 1024
_LONGEST_RETRY: Final = 60.0
_EXPIRED: Final = ("cursor_expired", "invalid_cursor")
_TOO_LARGE: Final = "payload_too_large"
_LIMIT: Final = (
    "Auth0 also limits the open connections to the Events API: 1 on the plan Free, 4 on self-service plans, 8 on "
    "Enterprise. End another consumer of the Events API, or wait, and run this again."
)


class Received(NamedTuple):
    """A message of the Events API."""

    offset: str
    """The place behind this message; empty if it has none."""
    event: bytes = b""
    """The event's JSON, as Auth0 wrote it; empty if there is none."""
    type: str = ""
    time: str = ""
    """The time of the event, an ``instant``; empty if it has none."""
    problem: str = ""
    """Why a message that should have an event has none."""


class Expired(Auth0Error):
    """Auth0 no longer keeps the events from the wanted place on. The text is Auth0's reason."""


class _Event(msgspec.Struct):
    type: Any = None
    time: Any = None


class _Message(msgspec.Struct):
    event: Raw = NULL
    offset: Any = None


class _ErrorDetail(msgspec.Struct):
    code: str = ""
    offset: Any = None


class _Error(msgspec.Struct):
    error: _ErrorDetail


_message = msgspec.json.Decoder(_Message)
_event = msgspec.json.Decoder(_Event)
_error = msgspec.json.Decoder(_Error)


class Events:
    """The past events of a tenant about users."""

    def __init__(
        self,
        api: Management,
        *,
        quiet: float = QUIET,
        pause: float = PAUSE,
    ) -> None:
        self._api, self._quiet, self._pause = api, quiet, pause
        self._idle = 0.0
        """Seconds without an event since the last one, during which the connection was known to be alive."""
        self._offset = ""
        self._last = ""
        """Time by Auth0's clock from which on an event is later than the wanted ones."""

    def read(self, since: datetime, offset: str, until: datetime) -> Iterator[list[Received]]:
        """Yield the messages behind ``offset``, or from ``since`` on if it is empty, until they have caught up.

        They have caught up at an event of ``until`` or later, or after the quiet time without an event. ``until`` is by
        this machine's clock, the events' times are by Auth0's. Raises Expired, or another Auth0Error.
        """
        self._offset, self._last, fruitless = offset, "", 0
        while True:
            parser, began = Parser(), self._offset
            caught_up, why = yield from self._connection(parser, since, until)
            if caught_up:
                return
            fruitless = 0 if self._offset != began else fruitless + 1
            if fruitless == TRIES:
                raise Unanswered(
                    f"{self._api.domain} has closed {TRIES} connections to the Events API without an event ({why}). "
                    "Run this again later."
                )
            pause = self._pause * 2 ** (fruitless - 1) if fruitless else 0
            wanted = self._pause if parser.retry is None else min(parser.retry, _LONGEST_RETRY)  # by Auth0
            time.sleep(max(pause, wanted))

    def _connection(
        self, parser: Parser, since: datetime, until: datetime
    ) -> Generator[list[Received], None, tuple[bool, str]]:
        """Yield the messages of one connection; return whether they have caught up, and else why it ended."""
        delivered = False
        with closing(self._open(since)) as answer:
            self._last = self._last or instant((until + _ahead(answer.headers.get("Date", ""))).isoformat())
            while True:
                began = time.monotonic()
                try:
                    chunk = answer.read1(_CHUNK)
                except urllib3.exceptions.ReadTimeoutError:
                    # A connection that has delivered may be dead; another one, which Auth0 has just opened, is not.
                    return not delivered, "silence"
                except urllib3.exceptions.HTTPError as error:
                    return False, type(error).__name__
                if not chunk:
                    return False, "closed"
                self._idle += time.monotonic() - began
                found, why = self._received(parser.feed(chunk))
                delivered = delivered or bool(found)
                if any(one.event for one in found):
                    self._idle = 0
                if found:
                    yield found
                if self._idle >= self._quiet or any(one.time >= self._last for one in found):
                    return True, ""
                if why in _EXPIRED:
                    raise Expired(why)
                if why:
                    return False, why

    def _received(self, messages: list[Message]) -> tuple[list[Received], str]:
        """Return what messages mean, and the code of the error with which Auth0 ends the connection, if it does."""
        found: list[Received] = []
        for message in messages:
            if message.event == "error":
                code, offset = _error_of(message)
                if code != _TOO_LARGE or offset in ("", self._offset):
                    return found, code
                # Auth0 cannot send the event before this offset: go on behind it.
                found.append(Received(offset, problem=code))
            else:
                found.append(_read(message))
            self._offset = found[-1].offset or self._offset
        return found, ""

    def _open(self, since: datetime) -> urllib3.BaseHTTPResponse:
        begin = {"from": self._offset} if self._offset else {"from_timestamp": seconds(since)}
        query = urlencode([*(("event_type", each) for each in SUBSCRIPTIONS), *begin.items()])
        try:
            return self._api.stream(f"events?{query}", self._quiet)
        except Limited as error:
            raise Limited(f"{error} {_LIMIT}") from None
        except Refused as error:
            if error.status == 410 or (error.status == 400 and self._offset):
                raise Expired(str(error)) from None
            if error.status in (403, 409):
                raise Refused(f"{error} {_LIMIT}", error.status, error.code) from None
            raise


def _ahead(date: str) -> timedelta:
    """Return how far Auth0's clock is ahead of this machine's at most, by the header `Date`, of whole seconds."""
    try:
        return parsedate_to_datetime(date) + timedelta(seconds=1) - datetime.now(UTC)
    except (ValueError, TypeError):
        return timedelta()


def _read(message: Message) -> Received:
    try:
        found = decode_deep(_message, message.data.encode())
        offset = message.id or (found.offset if isinstance(found.offset, str) else "")
        if message.event == "offset-only":
            return Received(offset)
        text = bytes(found.event)
        event = _event.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return Received(message.id, problem=UNREADABLE)
    kind = event.type if isinstance(event.type, str) else message.event
    try:
        moment = instant(event.time) if isinstance(event.time, str) else ""
    except BadTimestamp:
        moment = ""
    return Received(offset, text, kind, moment)


def _error_of(message: Message) -> tuple[str, str]:
    try:
        error = _error.decode(message.data).error
    except (msgspec.DecodeError, RecursionError):
        return "error", ""
    return error.code, error.offset if isinstance(error.offset, str) else ""
