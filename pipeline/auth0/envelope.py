"""The pipeline's own events, in EventBridge's envelope, so that ``pipeline.changes`` reads them as any other.

A fetched user's JSON is copied into the message as it is.
"""

import re
import uuid
from datetime import UTC, datetime

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

SOURCE = "auth0-sync/refresh"

# Legal in JSON, and in no SQS message; JSON has them in strings only, where an escape means the same.
_NOT_FOR_SQS = re.compile("[\ufffe\uffff]")


class Deferred(Struct, frozen=True):
    """What a signal that was sent back remembers."""

    first_seen: int
    """When the first message about the user came in: Unix time in milliseconds, as SQS has it."""
    times: int = 0
    """How often the signal was sent back."""


class _Data(Struct, frozen=True):
    object: Raw


class _Detail(Struct, frozen=True, omit_defaults=True):
    id: str
    type: str
    time: str
    data: _Data
    deferred: Deferred | UnsetType = UNSET


class _Envelope(Struct, frozen=True, rename={"detail_type": "detail-type"}):
    version: str
    id: str
    detail_type: str
    source: str
    time: str
    detail: _Detail


class _DeferredDetail(Struct, frozen=True):
    deferred: Deferred | None = None


class _DeferredEnvelope(Struct, frozen=True):
    source: str
    detail: _DeferredDetail


_deferred = msgspec.json.Decoder(_DeferredEnvelope)


def updated(user: bytes, fetched_at: datetime) -> str:
    """A message that carries a whole user: its JSON object as Auth0 wrote it."""
    return _message("user.updated", user, fetched_at)


def deleted(user_id: str, deleted_at: datetime) -> str:
    """A message that says that a user is no more, as of ``deleted_at``."""
    return _message("user.deleted", _json({"user_id": user_id, "deleted_at": iso(deleted_at)}), deleted_at)


def signal(user_id: str, deferred: Deferred) -> str:
    """A message that names a user to be fetched: an update that carries no profile."""
    return _message("user.updated", _json({"user_id": user_id}), datetime.now(UTC), deferred)


def deferral(body: str) -> Deferred | None:
    """What a message that ``signal`` made remembers; ``None`` for every other message."""
    if SOURCE not in body:
        return None
    try:
        envelope = _deferred.decode(body)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None
    return envelope.detail.deferred if envelope.source == SOURCE else None


def iso(moment: datetime) -> str:
    """A UTC moment as Auth0 writes it: ``2023-07-11T16:30:53.231Z``."""
    return f"{moment.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def _json(value: dict[str, str]) -> bytes:
    return msgspec.json.encode(value)


def _message(kind: str, user: bytes, time: datetime, deferred: Deferred | UnsetType = UNSET) -> str:
    event_id, moment = str(uuid.uuid4()), iso(time)
    detail = _Detail(event_id, kind, moment, _Data(Raw(user)), deferred)
    envelope = _Envelope("0", event_id, "auth0-sync refresh", SOURCE, f"{moment[:19]}Z", detail)
    text = msgspec.json.encode(envelope).decode()
    return _NOT_FOR_SQS.sub(lambda character: f"\\u{ord(character[0]):04x}", text)
