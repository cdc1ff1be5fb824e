"""The events of the refresh: fetched users, deleted users, and deferred signals for its own queue."""

from datetime import UTC, datetime
from typing import Any

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
    causes: tuple[str, ...] = ()
    """Types of the events that named the user."""


class _Detail(Struct, frozen=True):
    deferred: Deferred | None = None


class _Data(Struct, frozen=True):
    tenant_name: Any = None


class _Tenant(Struct, frozen=True):
    data: _Data | None = None
    a0tenant: Any = None


class _TenantEnvelope(Struct, frozen=True):
    detail: _Tenant


class _Envelope(Struct, frozen=True):
    source: str
    detail: _Detail


_deferred = msgspec.json.Decoder(_Envelope)
_tenant = msgspec.json.Decoder(_TenantEnvelope)


def updated(user: bytes, fetched_at: datetime, sender: str = SENDER) -> str:
    """Return an event that carries a whole user, with its JSON object as Auth0 wrote it."""
    return user_event(sender, "user.updated", user, iso(fetched_at))


def deleted(user_id: str, deleted_at: datetime, sender: str = SENDER) -> str:
    """Return an event that says that a user no longer exists, as of ``deleted_at``."""
    moment = iso(deleted_at)
    return user_event(sender, "user.deleted", _json({"user_id": user_id, "deleted_at": moment}), moment)


def signal(user_id: str, deferred: Deferred) -> str:
    """Return an event that names a user to fetch: an update without a profile."""
    return user_event(SENDER, "user.updated", _json({"user_id": user_id}), iso(datetime.now(UTC)), deferred=deferred)


def deferral(body: str) -> Deferred | None:
    """Return the state in a message that ``signal`` made, or ``None`` for every other message."""
    if SOURCE not in body:
        return None
    try:
        envelope = _deferred.decode(body)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):  # the refresh makes none so deep
        return None
    return envelope.detail.deferred if envelope.source == SOURCE else None


def tenant(body: str) -> str:
    """Return the name of an event's tenant, or an empty text."""
    try:
        detail = _tenant.decode(body).detail
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return ""
    named = detail.data.tenant_name if detail.data is not None and detail.data.tenant_name else detail.a0tenant
    return named if isinstance(named, str) else ""


def _json(value: dict[str, str]) -> bytes:
    return msgspec.json.encode(value)
