"""The events of the refresh: fetched users, deleted users, and deferred signals for its own queue."""

from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from pipeline.delivery.envelope import iso, own_source, user_event

SENDER = "refresh"
SOURCE = own_source(SENDER)


class Deferred(Struct, frozen=True):
    """The state that a deferred signal carries over."""

    first_seen: int
    """Arrival of the first message about the user: Unix time in milliseconds, as in SQS."""
    times: int = 0
    """Number of times that the signal was deferred."""


class _Detail(Struct, frozen=True):
    deferred: Deferred | None = None


class _Envelope(Struct, frozen=True):
    source: str
    detail: _Detail


_deferred = msgspec.json.Decoder(_Envelope)


def updated(user: bytes, fetched_at: datetime) -> str:
    """Return an event that carries a whole user, with its JSON object as Auth0 wrote it."""
    return user_event(SENDER, "user.updated", user, iso(fetched_at))


def deleted(user_id: str, deleted_at: datetime) -> str:
    """Return an event that says that a user no longer exists, as of ``deleted_at``."""
    moment = iso(deleted_at)
    return user_event(SENDER, "user.deleted", _json({"user_id": user_id, "deleted_at": moment}), moment)


def signal(user_id: str, deferred: Deferred) -> str:
    """Return an event that names a user to fetch: an update without a profile."""
    return user_event(SENDER, "user.updated", _json({"user_id": user_id}), iso(datetime.now(UTC)), deferred=deferred)


def deferral(body: str) -> Deferred | None:
    """Return the state in a message that ``signal`` made, or ``None`` for every other message."""
    if SOURCE not in body:
        return None
    try:
        envelope = _deferred.decode(body)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None
    return envelope.detail.deferred if envelope.source == SOURCE else None


def _json(value: dict[str, str]) -> bytes:
    return msgspec.json.encode(value)
