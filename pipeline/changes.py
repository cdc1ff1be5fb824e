"""Pure: one event becomes what it means for the mirror, and every change gets its place in one total order.

An event is a whole user (``Snapshot``), the end of one (``Tombstone``), word that a user changed without the user
itself (``Signal``), or nothing to the mirror (``Ignored``).
"""

import hashlib
import re
from datetime import UTC, datetime
from urllib.parse import unquote

import msgspec
from msgspec import Raw, Struct

from pipeline import errors
from pipeline.events import Data, Details, Envelope, Other, Request, Response, decode, event_type, storable

MAX_USER_ID_BYTES = 1024
"""Longer ids do not fit DynamoDB's key (2,048 bytes) or a Postgres index entry; Auth0's are far shorter."""


class Snapshot(Struct, frozen=True, gc=False):
    """A user as a whole: what is absent from ``profile`` is empty. Encoded as it is, it is a row for Postgres."""

    user_id: str
    version: str
    source: str
    event_id: str
    updated_at: str
    profile: Raw
    """The user's JSON object, byte for byte."""


class Tombstone(Struct, frozen=True, gc=False):
    """A user that no longer exists, as of ``deleted_at``."""

    user_id: str
    version: str
    source: str
    event_id: str
    updated_at: str
    """When the user last changed, which is when it was deleted."""
    deleted_at: str


class Signal(Struct, frozen=True, gc=False):
    """Word that ``user_id`` changed; the profile has to be fetched. ``cause`` is the event's type."""

    user_id: str
    cause: str


class Ignored(Struct, frozen=True, gc=False):
    """An event that says nothing about a profile, or must not be written; ``reason`` is stable."""

    reason: str


Change = Snapshot | Tombstone
Meaning = Snapshot | Tombstone | Signal | Ignored


class Outcome(Struct):
    """What a sink did with the changes of a batch, by user id. What is not named here was applied."""

    duplicate: set[str] = set()
    stale: set[str] = set()
    failed: dict[str, errors.SyncError] = {}


USERS_PATH = "/api/v2/users"
_CHANGES_A_USER = ("patch", "put", "delete")
_USER_PATH = re.compile(r"/api/v2/users/([^/?]+)/?(?:\?.*)?")

_AS_AUTH0_WRITES = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\Z", re.ASCII)

_SNAPSHOT_RANK = "1"
_TOMBSTONE_RANK = "2"


class _Head(Struct, frozen=True, gc=False):
    """What the sync itself needs of a user's JSON."""

    user_id: str = ""
    updated_at: str | None = None
    deleted_at: str | None = None


_head = msgspec.json.Decoder(_Head)


def instant(text: str) -> str:
    """``text`` in the one form that sorts as time does: ``2023-07-11T16:30:53.231000Z``, 27 characters, UTC.

    Takes every ISO 8601 form that ``datetime.fromisoformat`` takes; no offset means UTC, digits below the
    microsecond are dropped. Raises ``BadTimestamp``.
    """
    try:
        moment = datetime.fromisoformat(text)
        if _AS_AUTH0_WRITES.match(text):
            return f"{text[:23]}000Z"  # the form of nearly every event, at a third of the time
        if moment.tzinfo is not None and moment.tzinfo is not UTC:
            moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise errors.BadTimestamp from None
    return f"{moment.isoformat(timespec='microseconds')[:26]}Z"


def version(changed_at: str, rank: str, event_time: str, event_id: str) -> str:
    """The place of a change in the total order: 74 ASCII characters that compare as the changes do.

    ``changed_at`` and ``event_time`` are ``instant``s. The event id only breaks ties, for which a digest of fixed
    width is as good as the id, whatever its length and alphabet.
    """
    digest = hashlib.blake2b(event_id.encode("utf-8", "replace"), digest_size=8).hexdigest()
    return f"{changed_at}.{rank}.{event_time}.{digest}"


def usable(user_id: str) -> str:
    """``user_id`` itself, if it can be a key in both stores. Raises ``NoUserId``."""
    if not user_id or not user_id.isprintable() or "\ufffd" in user_id:
        raise errors.NoUserId("empty, or with characters that no user id has")
    if len(user_id.encode()) > MAX_USER_ID_BYTES:
        raise errors.NoUserId(f"longer than {MAX_USER_ID_BYTES} bytes")
    return user_id


def read(body: str) -> Meaning:
    """What one SQS message body means. Raises *poison* errors; see ``pipeline.errors``."""
    try:
        envelope = decode(body)
    except errors.UnknownShape:
        # Logs of other types are free in form, and not ours to refuse.
        kind = event_type(body)
        if kind is None or kind == "sapi" or kind.startswith("user."):
            raise
        return Ignored(f"type {kind}")
    if envelope.detail.data.type is not None:
        return _log(envelope, envelope.detail.data)
    raise errors.UnknownShape("neither a tenant log nor an event of an Event Stream")


def _log(envelope: Envelope, log: Data) -> Meaning:
    if log.type != "sapi":
        return Ignored(f"type {log.type}")
    if not (isinstance(log.details, Details) and isinstance(log.details.request, Request)):
        raise errors.UnknownShape("a Management API log without details.request")
    return _api_call(envelope, log, log.details.request, log.details.response)


def _api_call(envelope: Envelope, log: Data, request: Request, response: Response | Other) -> Meaning:
    """A call of the Management API. ``log.user_id`` is the actor: the target is in the answer, else in the path."""
    method = request.method.lower()
    on_user = _USER_PATH.fullmatch(request.path)
    if method not in _CHANGES_A_USER if on_user else (method, request.path) != ("post", USERS_PATH):
        return Ignored("api call that changes no profile")
    if not isinstance(response, Response) or response.status is None:
        raise errors.UnknownShape("a Management API log without details.response")
    if not 200 <= response.status < 300:
        return Ignored("api call that failed")
    if on_user and method == "delete":
        return _deleted(envelope, log, usable(_decoded(on_user[1])))
    head = _user_head(response.body)
    if head.user_id and head.updated_at is not None:
        return _snapshot(envelope, log, head.user_id, head.updated_at, response.body)
    # An answer without the whole user still says whose it was, unless the user was just created.
    return Signal(usable(head.user_id or (_decoded(on_user[1]) if on_user else "")), "sapi")


def _decoded(segment: str) -> str:
    """A path segment without its percent-encoding: matched first and decoded once, as an id may hold ``%2F``."""
    return unquote(segment, errors="replace")


def _user_head(body: Raw) -> _Head:
    if not bytes(body).startswith(b"{"):
        return _Head()
    try:
        return _head.decode(body)
    except msgspec.ValidationError as error:
        raise errors.UnknownShape(f"in the user: {error}") from None


def _snapshot(envelope: Envelope, log: Data, user_id: str, updated_at: str, profile: Raw) -> Snapshot:
    event_id = log.log_id or envelope.detail.log_id or envelope.id
    changed_at = instant(updated_at)
    text = bytes(profile)
    if b"\\u0000" in text:
        profile = Raw(storable(text))
    return Snapshot(
        usable(user_id),
        version(changed_at, _SNAPSHOT_RANK, _event_time(log.date, changed_at), event_id),
        "auth0.logs",
        event_id,
        changed_at,
        profile,
    )


def _deleted(envelope: Envelope, log: Data, user_id: str) -> Tombstone:
    event_id = log.log_id or envelope.detail.log_id or envelope.id
    deleted_at = instant(log.date or "")
    return Tombstone(
        user_id,
        version(deleted_at, _TOMBSTONE_RANK, deleted_at, event_id),
        "auth0.logs",
        event_id,
        deleted_at,
        deleted_at,
    )


def _event_time(date: str | None, default: str) -> str:
    """When the source says it happened; only a tie-break, so an unreadable one must not cost the change."""
    try:
        return instant(date or "")
    except errors.BadTimestamp:
        return default
