"""Build the project's own events, in EventBridge's envelope, so that ``pipeline.changes`` reads them as any other.

Their source is ``auth0-sync/`` and the sender, such as ``auth0-sync/refresh``; Auth0's begin with ``aws.partner/``.
"""

import re
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple
from uuid import uuid4

import msgspec
from msgspec import Raw

from pipeline.events import OWN_SOURCES

INSTANT: Final = 27
"""Characters of a time in a version; see ``pipeline.changes.version``."""

# Legal in JSON but not in SQS messages; JSON has them in strings only, where an escape is equivalent.
_NOT_FOR_SQS = re.compile("[\ufffe\uffff]")


def own_source(sender: str) -> str:
    """Return the source of a sender's events; the sender is a function or a command, such as ``refresh``."""
    return f"{OWN_SOURCES}{sender}"


def envelope(source: str, detail_type: str, detail: object, time: str, **more: object) -> str:
    """Return an event as a message: ``time`` is ISO 8601 in UTC, cut to whole seconds as in EventBridge."""
    fields = {
        "version": "0",
        "id": str(uuid4()),
        "detail-type": detail_type,
        "source": source,
        "time": f"{time[:19]}Z",
        "detail": detail,
    }
    text = msgspec.json.encode(fields | more).decode()
    return _NOT_FOR_SQS.sub(lambda character: f"\\u{ord(character[0]):04x}", text)


def own_event(sender: str, detail: object, time: str, *, source: str = "") -> str:
    """Return one of the project's events; ``source`` replaces the sender's if the row in the store has another."""
    return envelope(source or own_source(sender), f"auth0-sync {sender}", detail, time)


def user_event(
    sender: str,
    kind: Literal["user.updated", "user.deleted"],
    user: bytes,
    time: str,
    *,
    event_id: str = "",
    source: str = "",
    **more: Any,
) -> str:
    """Return an event of the form of Event Streams. The user's JSON is copied byte for byte.

    ``more`` are further fields of the detail.
    """
    detail = {"id": event_id or str(uuid4()), "type": kind, "time": time, "data": {"object": Raw(user)}}
    return own_event(sender, detail | more, time, source=source)


class StoredUser(NamedTuple):
    """A user or a tombstone as a store has it."""

    user_id: str
    version: str
    source: str
    event_id: str
    deleted: bool
    profile: str
    """The whole user as JSON; of a tombstone, anything."""
    carried: str | None = None
    """``pipeline.changes.Carried`` as JSON, if the user came with several changes."""


def stored_user(sender: str, user: StoredUser, *, overwrite: bool = False) -> str:
    """Return an event from which a sink makes the same row or item of a user, of the same version and parts.

    With ``overwrite`` the event is of now and carries the whole user, and so ranks above the others of the same
    ``updated_at``.
    """
    changed_at, event_time = user.version[:INSTANT], user.version[INSTANT + 3 : 2 * INSTANT + 3]
    source, event_id, more = own_source(user.source), user.event_id, {}
    if overwrite:
        source, event_id, event_time = own_source(sender), str(uuid4()), datetime.now(UTC).isoformat()
    elif user.carried is not None:
        more = {"carried": Raw(user.carried.encode())}
    profile = user.profile.encode()
    if user.deleted:
        profile = msgspec.json.encode({"user_id": user.user_id, "deleted_at": changed_at})
    kind: Literal["user.updated", "user.deleted"] = "user.deleted" if user.deleted else "user.updated"
    return user_event(sender, kind, profile, event_time, event_id=event_id, source=source, **more)


def iso(moment: datetime) -> str:
    """Return a UTC moment as Auth0 writes it: ``2023-07-11T16:30:53.231Z``."""
    return f"{moment.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"
