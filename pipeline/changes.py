"""Pure: turn one event into its meaning for the stores, and give every change its place in one total order.

An event carries a user (``Snapshot``), reports its deletion (``Tombstone``), reports a change without the user itself
(``Signal``), or does not concern the stores (``Ignored``). A line of an export of users is a change, too. ``merge``
combines a change that does not carry the whole user with the known user: each top-level key has the value of the newest
change that carried it.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar
from urllib.parse import unquote

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.structs import replace

from pipeline import errors
from pipeline.events import (
    NULL,
    OWN_SOURCES,
    Data,
    Details,
    Envelope,
    Request,
    Response,
    caller,
    decode,
    decode_loosely,
    event_type,
    shallow,
    storable,
)
from pipeline.log_types import NAMELESS, PLACES, SIGNALS, USER_PATHS

DAY = timedelta(days=1)

ODD = "odd"
"""Prefix of the note about a field that the sync dropped because it was not text."""
WRONG_CLOCK = "wrong clock"
"""Note about a change that is dated too far ahead: the time of its event orders it instead."""

MAX_USER_ID_BYTES = 1024
"""Longer ids do not fit DynamoDB's key (2,048 bytes) or a Postgres index entry; Auth0's are far shorter."""


class Carried(Struct, frozen=True, gc=False):
    """Versions of a user's parts that came with several changes; an empty version is older than any."""

    whole: str = ""
    """Version of the newest change that carried every key but those in ``keys``: as of it, absent keys are empty."""
    keys: dict[str, tuple[str, ...]] = {}
    """Other keys by version, sorted: present ones that are older than the newest change, and absent ones."""

    @classmethod
    def of(cls, whole: str, versions: Mapping[str, str]) -> "Carried":
        """Return the parts of a user whose keys have other ``versions`` than ``whole``."""
        keys: dict[str, list[str]] = {}
        for key in sorted(versions):
            keys.setdefault(versions[key], []).append(key)
        return cls(whole, {version: tuple(some) for version, some in keys.items()})

    @property
    def versions(self) -> dict[str, str]:
        """Return the versions of the keys that differ from ``whole``; of a key that has two, the newer one."""
        return {key: version for version in sorted(self.keys) for key in self.keys[version]}

    @property
    def oldest(self) -> str:
        """Version of the oldest part: an older change adds nothing."""
        return min(self.whole, *self.keys) if self.keys else self.whole


class Snapshot(Struct, frozen=True, gc=False):
    """A whole user: keys absent from ``profile`` are empty. Encoded as it is, it is a row for Postgres."""

    user_id: str
    version: str
    source: str
    event_id: str
    updated_at: str
    profile: Raw
    """The user's JSON object, byte for byte."""
    carried: ClassVar[Carried | None] = None


class Partial(Snapshot, frozen=True, gc=False):
    """A user as far as it is known: keys absent from ``profile`` are unknown or were empty; see ``Carried``."""

    carried: Carried  # type: ignore[misc]  # required here, with a default in Snapshot


class Export(Struct, frozen=True):
    """An export of users by Auth0, of which each row is a change."""

    export_id: str
    taken_at: str
    """The time of the export, an ``instant``: of two rows of one ``updated_at`` the later export's is newer."""
    fields: tuple[str, ...] = ()
    """Keys that the export has: a row without one means that the user has none. Others are unknown."""


class Tombstone(Struct, frozen=True, gc=False):
    """A user that no longer exists, as of ``deleted_at``: a change that carries every key as empty."""

    user_id: str
    version: str
    source: str
    event_id: str
    updated_at: str
    """Time of the user's last change, which is its deletion."""
    deleted_at: str
    carried: ClassVar[Carried | None] = None


class HistoryEntry(Struct, frozen=True, gc=False):
    """A user's metadata as of one change, with the actor. Encoded as it is, it is a row for Postgres.

    ``Raw`` fields are JSON text as Auth0 sent it, or ``null``.
    """

    user_id: str
    version: str
    changed_at: str
    deleted_at: str | None
    user_metadata: Raw
    app_metadata: Raw
    actor: Raw
    client_id: Raw
    channel: Raw
    ip: Raw
    source: str
    event_id: str


class Signal(Struct, frozen=True, gc=False):
    """Notice that ``user_id`` changed; the profile must be fetched. ``cause`` is the event's type."""

    user_id: str
    cause: str


class Ignored(Struct, frozen=True, gc=False):
    """An event without a change of a profile, or one that must not be written; ``reason`` is stable."""

    reason: str


T = TypeVar("T")


class Known(NamedTuple, Generic[T]):
    """The known keys of a user, from one change or from many; each store has its own type of values."""

    version: str
    carried: Carried | None
    profile: Mapping[str, T]

    @property
    def whole(self) -> str:
        """Return the version of the newest change that carried every key."""
        return self.version if self.carried is None else self.carried.whole

    @property
    def versions(self) -> Mapping[str, str]:
        """Return the versions of the keys that differ from ``whole``."""
        return {} if self.carried is None else self.carried.versions

    def since(self) -> dict[str, str]:
        """Return, by key, the version of the newest change that carried it; for all other keys it is ``whole``."""
        return {**dict.fromkeys(self.profile, self.version), **self.versions}

    def same_as(self, other: "Known[T]") -> bool:
        """Return whether both hold the same of one user."""
        return (self.version, self.carried, self.profile.keys()) == (
            other.version, other.carried, other.profile.keys()
        )  # fmt: skip

    def includes(self, version: str) -> bool:
        """Return whether a change of this version is the known user or a part of it."""
        carried = self.carried or Carried()
        return version == self.version or version == carried.whole or version in carried.keys


def merge(one: Known[T], other: Known[T]) -> Known[T]:
    """Return the newest value of each key from both; the order of the arguments does not matter."""
    if one.same_as(other):
        return one
    # Of equal versions prefer the whole one: the same event may arrive again unmasked, with more keys.
    first, second = (one, other) if one.whole >= other.whole else (other, one)
    version, whole, other_whole = max(one.version, other.version), first.whole, second.whole
    since, other_since = first.since(), second.since()
    profile: dict[str, T] = {}
    older: dict[str, str] = {}
    for key in {**since, **other_since}:
        newest, carried_at, default = first, since.get(key, whole), whole
        if (other_at := other_since.get(key, other_whole)) > carried_at:
            newest, carried_at = second, other_at
        if key in newest.profile:
            profile[key], default = newest.profile[key], version
        if carried_at != default:
            older[key] = carried_at
    return Known(version, Carried.of(whole, older) if older or whole != version else None, profile)


Change = Snapshot | Tombstone
_CHANGES = (Snapshot, Tombstone)  # a tuple: isinstance takes three times as long for a union
Meaning = Snapshot | Tombstone | Signal | Ignored


class Outcome(Struct):
    """A sink's results for the changes of a batch, by user id. Changes that it does not name were applied."""

    duplicate: set[str] = set()
    stale: set[str] = set()
    failed: dict[str, errors.Auth0SyncError] = {}
    unrecorded: dict[tuple[str, str], errors.Auth0SyncError] = {}
    """Error by user id and version: superseded changes of the batch that history refused."""


EVENT_STREAM = "auth0.events"
"""The source whose events may lack any key of the user."""

LOG_STREAM = "auth0.logs"
"""The only source in which Auth0 masks fields."""

EXPORT = "backfill"
"""The source of the rows of an export."""

PARTIAL = "partial user"
"""Cause of the signal beside a change that lacks keys which every user has."""
MASKED = "masked user"
"""Cause of the signal beside a change whose masked keys the sync left out."""

PERSONAL = frozenset(
    (
        *("first_name", "given_name", "name", "last_name", "family_name", "email"),
        *("phone", "phone_number", "old_phone_number", "new_phone_number", "address", "username", "user_name"),
    )
)
"""Names of the fields that a Log Stream's PII configuration can mask or hash, at any depth (Auth0, Log Streams)."""

_ADMINISTRATIVE = "app_metadata"  # users cannot choose it, so no value in it may make the sync leave it out
_ANY_HASH = re.compile(r"[0-9a-f]{8}(?:[0-9a-f]{8}(?:[0-9a-f]{16})?)?")  # xxHash
_HASH = re.compile(rf"(?=.*[0-9])(?=.*[a-f]){_ANY_HASH.pattern}")  # but neither a telephone number nor a word
# After a key that ends like the name of a personal field. The colon comes first: searching for one text is fastest.
_HASHED_VALUE = re.compile(rb':(?<=[elrs]":)\s*"[0-9a-f]{8}(?:[0-9a-f]{8}(?:[0-9a-f]{16})?)?"')
_GONE = object()

_USER_EVENTS = ("user.created", "user.updated", "user.deleted")

NO_CHANGE = "api call that changes no profile"
UNKNOWN_PATH = "unknown path on users"
"""Reason for ignoring a call on an unknown path on users: a new path may change profiles."""
UNNAMED_DELETION = "deletes users of a connection, and names none"
"""Reason for ignoring the deletion of a connection, or of its user by e-mail address: the log names no user."""

_CREATE = ("post",)
_END = r"/?(?:\?.*)?"
_USER_PATH = re.compile(rf"/api/v2/users/([^/?]+){_END}")
_USERS_PATH = re.compile(rf"/api/v2/users(?:/([^/?]+)(?:/([^/?]+)([^?]*?))?)?{_END}")
_UNBLOCK_PATH = re.compile(rf"/api/v2/(user-blocks)/([^/?]+){_END}")
_IDENTITY = re.compile(r"/([^/]+)/(.+)")
_CONNECTION_PATH = re.compile(rf"/api/v2/connections/[^/]+(?:/users)?{_END}")
_SCIM_PATH = re.compile(rf"(?:[^?]*/)?Users/([^/?]+){_END}", re.IGNORECASE)
_NOT_IN_IDS = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # control characters and unpaired surrogates
_DELETED_ID = re.compile(r"user_id:\s*(\S+)")

# Matches days 01-28 only; other dates go through `datetime`.
_AS_AUTH0_WRITES = re.compile(
    r"(?!0000)[0-9]{4}-(?:0[1-9]|1[0-2])-(?:[01][1-9]|[12]0|2[1-8])T(?:[01][0-9]|2[0-3])(?::[0-5][0-9]){2}\.[0-9]{3}Z\Z"
)

_WHOLE_SECONDS = re.compile(r":[0-9]{2}Z\Z")

# Ranks of one `updated_at`. A row of an export is the lowest: the time at which Auth0 read it is unknown.
_EXPORTED_RANK = "0"
_SNAPSHOT_RANK = "1"
_TOMBSTONE_RANK = "2"


class _Head(Struct, frozen=True, gc=False):
    """The fields of a user's JSON that the sync itself reads."""

    user_id: str = ""
    updated_at: str | None = None
    email: Raw = NULL
    # Auth0 gives every user these two.
    name: Raw | UnsetType = UNSET
    nickname: Raw | UnsetType = UNSET


class _Deleted(Struct, frozen=True, gc=False):
    user_id: str = ""
    deleted_at: Raw = NULL


class _Metadata(Struct, frozen=True, gc=False):
    user_metadata: Raw | UnsetType = UNSET
    app_metadata: Raw | UnsetType = UNSET


class _NamedUser(Struct, frozen=True, gc=False):
    user_id: str | None = None


class _Identity(Struct, frozen=True, gc=False):
    provider: str
    user_id: str | int


_head = msgspec.json.Decoder(_Head)
_deleted = msgspec.json.Decoder(_Deleted)
_metadata = msgspec.json.Decoder(_Metadata)
_identities = msgspec.json.Decoder(list[_Identity])
_named_user = msgspec.json.Decoder(_NamedUser)
_keys = msgspec.json.Decoder(dict[str, Raw])
_carried = msgspec.json.Decoder(Carried)
_any = msgspec.json.Decoder(float_hook=lambda text: Raw(text.encode()))  # as it is written

EMPTY = Raw(b"{}")


def instant(text: str) -> str:
    """Return ``text`` in the one form that sorts by time: ``2023-07-11T16:30:53.231000Z``, 27 characters, UTC.

    Takes every ISO 8601 form that ``datetime.fromisoformat`` takes; no offset means UTC, digits below the
    microsecond are dropped. Raises ``BadTimestamp``.
    """
    if _AS_AUTH0_WRITES.match(text):
        return f"{text[:23]}000Z"  # the form of nearly every event, at a third of the time
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None and moment.tzinfo is not UTC:
            moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise errors.BadTimestamp from None
    return f"{moment.isoformat(timespec='microseconds')[:26]}Z"


def version(changed_at: str, rank: str, event_time: str, event_id: str) -> str:
    """Return the place of a change in the total order: 74 ASCII characters that compare as the changes do.

    ``changed_at`` and ``event_time`` are ``instant``s. The event id only breaks ties, for which a digest of fixed
    width is as good as the id, whatever its length and alphabet.
    """
    digest = hashlib.blake2b(event_id.encode("utf-8", "replace"), digest_size=8).hexdigest()
    return f"{changed_at}.{rank}.{event_time}.{digest}"


def validate_user_id(user_id: str) -> str:
    """Return ``user_id`` if it can be a key in both stores. Raises ``NoUserId``."""
    if not user_id or "\ufffd" in user_id or (not user_id.isprintable() and _NOT_IN_IDS.search(user_id)):
        raise errors.NoUserId("empty, or with characters that no user id has")
    if len(user_id) * 4 > MAX_USER_ID_BYTES and len(user_id.encode()) > MAX_USER_ID_BYTES:
        raise errors.NoUserId(f"longer than {MAX_USER_ID_BYTES} bytes")
    return user_id


Reading = tuple[tuple[Meaning, ...], tuple[str, ...]]
"""The meanings of one message, and notes about oddities: see ``ODD`` and ``WRONG_CLOCK``."""


def read(body: str, tolerance: timedelta = DAY) -> tuple[Meaning, ...]:
    """Return the meanings of one SQS message body: more than one for linked accounts and for parts of a user.

    The time of the event orders a change that is dated further ahead than ``tolerance``. Raises *poison* errors; see
    ``pipeline.errors``.
    """
    return interpret(body, tolerance)[0]


def interpret(body: str, tolerance: timedelta = DAY, check: Callable[[Envelope], None] | None = None) -> Reading:
    """Return the meanings of one SQS message body, as ``read`` does, and notes about oddities.

    ``check`` may raise a *poison* error for an event that must not be believed.
    """
    try:
        envelope = decode(body)
    except errors.UnknownShape:
        # Logs of other types have any form: do not refuse them.
        kind = event_type(body)
        if kind is not None and not (kind == "sapi" or kind in SIGNALS or kind in _USER_EVENTS):
            return (Ignored(f"type {kind}"),), ()
        envelope = decode_loosely(body)
    if check is not None:
        check(envelope)
    log = envelope.detail.data
    if log.type == "sapi":
        meanings = _api_call(envelope, log)
    elif log.type is not None:
        meanings = (_signal(envelope, log.type, log),)
    elif envelope.detail.type is not None:
        meanings = _user_event(envelope, envelope.detail.type, log)
    else:
        raise errors.UnknownShape("neither a tenant log nor an event of an Event Stream")
    notes = tuple([f"{ODD} {name}" for name in envelope.odd]) if envelope.odd else ()
    believed = _limits.get(tolerance, "")
    for meaning in meanings:
        if isinstance(meaning, _CHANGES) and meaning.updated_at > believed and _is_ahead(meaning.updated_at, tolerance):
            own_time = _time_of(envelope, tolerance)
            dated = tuple(_dated(one, own_time, tolerance) for one in meanings)
            return dated, (*notes, WRONG_CLOCK)
    return meanings, notes


_limits: dict[timedelta, str] = {}


def _is_ahead(moment: str, tolerance: timedelta) -> bool:
    """Return whether an ``instant`` is further ahead than ``tolerance``; read the clock only for a new latest one."""
    if moment <= _limits.get(tolerance, ""):
        return False
    _limits[tolerance] = instant((datetime.now(UTC) + tolerance).isoformat())
    return moment > _limits[tolerance]


def _time_of(envelope: Envelope, tolerance: timedelta) -> str:
    """Return the time of an event by its source, else the time when EventBridge took it, else now."""
    for time in (envelope.detail.data.date, envelope.detail.time, envelope.time):
        moment = _event_time(time, "")
        if moment and not _is_ahead(moment, tolerance):
            return moment
    return instant(datetime.now(UTC).isoformat())


def _dated(meaning: Meaning, moment: str, tolerance: timedelta) -> Meaning:
    """Give a change that is dated too far ahead the place of ``moment`` in the order; return any other as it is."""
    if not isinstance(meaning, _CHANGES) or not _is_ahead(meaning.updated_at, tolerance):
        return meaning
    if isinstance(meaning, Tombstone) and moment.endswith(".000000Z"):
        moment = _end_of_second(moment)  # EventBridge's times are in whole seconds
    order = moment + meaning.version[len(moment) :]
    if isinstance(meaning, Partial) and meaning.carried.whole:
        return replace(meaning, version=order, carried=Carried(order, meaning.carried.keys))
    return replace(meaning, version=order)


def history_entry(change: Change, body: str) -> HistoryEntry:
    """Return the history entry of ``change``, which ``read`` found in the message ``body``.

    Metadata that the change does not carry are ``null``, and empty ones an empty object.
    """
    metadata = _metadata.decode(change.profile) if isinstance(change, Snapshot) else _Metadata()
    return HistoryEntry(
        change.user_id,
        change.version,
        change.updated_at,
        change.deleted_at if isinstance(change, Tombstone) else None,
        _given(metadata.user_metadata, "user_metadata", change),
        _given(metadata.app_metadata, "app_metadata", change),
        *caller(body),
        change.source,
        change.event_id,
    )


def _given(value: Raw | UnsetType, key: str, change: Change) -> Raw:
    if isinstance(value, UnsetType):
        carries = change.carried is None or (change.carried.whole and key not in change.carried.versions)
        return EMPTY if carries else NULL
    return EMPTY if bytes(value) == b"null" else value


def known(change: Change) -> Known[Raw]:
    """Return the keys of the user that ``change`` carries."""
    profile = _keys.decode(change.profile) if isinstance(change, Snapshot) else {}
    return Known(change.version, change.carried, profile)


def merged(one: Change, other: Change) -> Change:
    """Return one change with the effect of both."""
    if one.carried is None and other.carried is None:
        return one if one.version >= other.version else other
    return newest_with(merge(known(one), known(other)), one, other)


def newest_with(all_known: Known[Raw], *changes: Change) -> Change:
    """Return the newest of ``changes``, completed with all that is known from them."""
    newest = max(changes, key=lambda change: (change.version, change.carried is None))
    if all_known.carried is None:
        return newest
    profile = Raw(msgspec.json.encode(all_known.profile))
    return Partial(*_place(newest), profile, all_known.carried)


def _place(change: Change) -> tuple[str, str, str, str, str]:
    return change.user_id, change.version, change.source, change.event_id, change.updated_at


def _signal(envelope: Envelope, kind: str, log: Data) -> Meaning:
    if kind in NAMELESS:
        return Ignored(f"type {kind} that names no user")
    if kind not in SIGNALS:
        return Ignored(f"type {kind}")
    request = log.details.request if isinstance(log.details, Details) else None
    method = request.method.lower() if isinstance(request, Request) else ""
    if method == "get" or (isinstance(request, Request) and request.path.partition("?")[0].endswith("/.search")):
        return Ignored(f"type {kind} that only reads")
    user_id = next(filter(None, (_named(place, log) for place in PLACES.get(kind, PLACES[""]))), "")
    if not user_id:
        return Ignored(f"type {kind} that names no user")
    if kind == "sscim" and method == "delete":
        return _tombstone(envelope, _event_id(envelope), log.date, log.date, user_id)
    return Signal(validate_user_id(user_id), kind)


def _named(place: str, log: Data) -> str:
    """Return the id that a log has in a place of ``PLACES``, or an empty text."""
    if place == "user_id":
        return log.user_id or ""
    if place == "description":
        named = _DELETED_ID.search(log.description or "")
        return _with_provider(named[1]) if named else ""
    details = log.details
    if not isinstance(details, Details):
        return ""
    if place == "details.request.path":
        path = details.request.path if isinstance(details.request, Request) else ""
        named = _SCIM_PATH.fullmatch(path)
        return _decoded(named[1]) if named else ""
    part = {"body": details.body, "query": details.parameters, "enrollment": details.enrollment}[place.split(".")[1]]
    try:
        return _with_provider(_named_user.decode(part).user_id or "")
    except msgspec.ValidationError:
        return ""


def _with_provider(user_id: str) -> str:
    """Prefix an id without a provider: some logs leave it out for users of databases."""
    return user_id if "|" in user_id or not user_id else f"auth0|{user_id}"


def _api_call(envelope: Envelope, log: Data) -> tuple[Meaning, ...]:
    """Read a Management API call. ``log.user_id`` is the actor; the target is in the response, else in the path."""
    if not (isinstance(log.details, Details) and isinstance(log.details.request, Request)):
        raise errors.UnknownShape("a Management API log without details.request")
    request, response = log.details.request, log.details.response
    method = request.method.lower()
    target = _target(method, request.path)
    if isinstance(target, Ignored):
        return (target,)
    if not isinstance(response, Response) or type(response.status) is not int:
        raise errors.UnknownShape("a Management API log without details.response")
    if not 200 <= response.status < 300:
        return (Ignored("api call that failed"),)
    if target.beneath == "identities":
        return _identities_changed(envelope, log, target, response.body)
    if target.beneath:
        return (Signal(validate_user_id(target.user_id), target.beneath),)
    if method == "delete":
        return (_tombstone(envelope, _event_id(envelope), log.date, log.date, target.user_id),)
    head = _read(_head, response.body) or _Head()
    if head.user_id and head.updated_at is not None:
        return _snapshot(envelope, _event_id(envelope), log.date, head, response.body)
    # A response without the whole user still names it, unless the call created the user.
    return (Signal(validate_user_id(head.user_id or target.user_id), "sapi"),)


class _Target(NamedTuple):
    """The user that a call changes, and the path below the user."""

    segment: str
    beneath: str = ""
    rest: str = ""

    @property
    def user_id(self) -> str:
        """Return the id in the path, empty if the call creates a user."""
        return _decoded(self.segment)


def _target(method: str, path: str) -> _Target | Ignored:
    on_user = _USER_PATH.fullmatch(path)
    if on_user is not None and method in USER_PATHS[""]:  # nearly every call that changes a user
        return _Target(on_user[1])
    found = _USERS_PATH.fullmatch(path)
    if found is None:
        return _elsewhere(method, path)
    segment, beneath, rest = found[1], found[2] or "", found[3] or ""
    if beneath not in USER_PATHS:
        return Ignored(UNKNOWN_PATH if method != "get" else NO_CHANGE)
    if method in (_CREATE if segment is None else USER_PATHS[beneath]):
        return _Target(segment or "", beneath, rest)
    return Ignored(NO_CHANGE)


def _elsewhere(method: str, path: str) -> _Target | Ignored:
    """Return the target of a call whose path is not below ``/api/v2/users``."""
    if method == "delete":
        if unblocked := _UNBLOCK_PATH.fullmatch(path):
            return _Target(unblocked[2], unblocked[1])
        if _CONNECTION_PATH.fullmatch(path):
            return Ignored(UNNAMED_DELETION)
    return Ignored(UNKNOWN_PATH if path.startswith("/api/v2/users/") and method != "get" else NO_CHANGE)


def _identities_changed(envelope: Envelope, log: Data, target: _Target, answer: Raw) -> tuple[Meaning, ...]:
    """Read a link or unlink call. A linked identity is no longer a user; an unlinked one is a user again."""
    primary = validate_user_id(target.user_id)
    if identity := _IDENTITY.fullmatch(target.rest):
        other = f"{_decoded(identity[1])}|{_decoded(identity[2])}"
        return (Signal(primary, "unlinked"), Signal(validate_user_id(other), "unlinked"))
    try:
        identities = [f"{identity.provider}|{identity.user_id}" for identity in _identities.decode(answer)]
    except msgspec.ValidationError as error:
        raise errors.UnknownShape(f"in the linked identities: {error}") from None
    event_id = _event_id(envelope)
    linked = [_tombstone(envelope, event_id, log.date, log.date, other) for other in identities if other != primary]
    return (Signal(primary, "linked"), *linked)


def _user_event(envelope: Envelope, kind: str, data: Data) -> tuple[Meaning, ...]:
    """Read an event of an Event Stream, or a user that the refresh function fetched."""
    detail = envelope.detail
    if kind not in _USER_EVENTS:
        return (Ignored(f"type {kind}"),)
    if detail.a0purpose == "test":
        return (Ignored("test event"),)
    if isinstance(data.object, UnsetType):
        raise errors.UnknownShape("an event of an Event Stream without data.object")
    event_id = detail.id or envelope.id
    if kind == "user.deleted":
        gone = _read(_deleted, data.object) or _Deleted()
        deleted_at = _string(gone.deleted_at)
        moment = deleted_at if _event_time(deleted_at, "") else detail.time
        return (_tombstone(envelope, event_id, moment, detail.time, gone.user_id),)
    head = _read(_head, data.object) or _Head()
    if head.updated_at is None:
        return (Signal(validate_user_id(head.user_id), kind),)
    return _snapshot(envelope, event_id, detail.time, head, data.object)


def exported(line: bytes, export: Export, tolerance: timedelta = DAY) -> tuple[Partial, tuple[str, ...]]:
    """Return the user in a line of an export, and notes about oddities as ``interpret`` does.

    It ranks below every event of the same ``updated_at``, and carries only the keys that were exported. The time of the
    export orders a user that is dated further ahead than ``tolerance``. Raises *poison* errors.
    """
    text, head = _user_of(line)
    if head.updated_at is None:
        raise errors.BadTimestamp("the export has no updated_at of this user")
    updated_at = instant(head.updated_at)
    ahead = _is_ahead(updated_at, tolerance)
    order = version(export.taken_at if ahead else updated_at, _EXPORTED_RANK, export.taken_at, export.export_id)
    present = _keys.decode(text) if export.fields else ()
    empty = tuple(sorted([key for key in export.fields if key not in present]))
    parts = Carried(keys={order: empty}) if empty else Carried()  # as `Carried.of`, in a fifth of the time
    place = (validate_user_id(head.user_id), order, EXPORT, export.export_id, updated_at)
    return Partial(*place, Raw(text), parts), (WRONG_CLOCK,) if ahead else ()


def validate_export(export: Export, tolerance: timedelta = DAY) -> None:
    """Raise ``BadTimestamp`` if the time of an export has no place in the order: one far ahead would win for ever."""
    if instant(export.taken_at) != export.taken_at or _is_ahead(export.taken_at, tolerance):
        raise errors.BadTimestamp("of the export")


def _user_of(line: bytes) -> tuple[bytes, _Head]:
    """Return a user's JSON as both stores can hold it, and its head. Raises ``NotJson`` or ``UnknownShape``."""
    try:
        text = line.decode()
        try:
            line = storable(line) if b"\\" in line else line
            head = _head.decode(line)
        except RecursionError:
            line = storable(shallow(text).encode())
            head = _head.decode(line)
    except msgspec.ValidationError as error:
        raise errors.UnknownShape(f"in the user: {error}") from None
    except (UnicodeDecodeError, msgspec.DecodeError) as error:
        # The decoder's text names a place in the line, and no value.
        detail = str(error) if isinstance(error, msgspec.DecodeError) else "not UTF-8"
        raise errors.NotJson(detail) from None
    return line, head


def _event_id(envelope: Envelope) -> str:
    """Return the log's own id, which is the same in every delivery; Auth0's dashboard leaves it empty."""
    return envelope.detail.data.log_id or envelope.detail.log_id or envelope.id


def _decoded(segment: str) -> str:
    """Decode a path segment. Paths are matched first and decoded once, as an id may hold ``%2F``."""
    if len(segment) > 3 * MAX_USER_ID_BYTES:  # decoding a megabyte takes seconds
        raise errors.NoUserId(f"longer than {MAX_USER_ID_BYTES} bytes")
    return unquote(segment, errors="replace")


def _read(decoder: msgspec.json.Decoder[T], body: Raw) -> T | None:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        if bytes(body).startswith(b"{"):
            raise errors.UnknownShape(f"in the user: {error}") from None
        return None  # null or a list: no user in the response


def _snapshot(envelope: Envelope, event_id: str, time: str | None, head: _Head, profile: Raw) -> tuple[Meaning, ...]:
    changed_at = instant(head.updated_at or "")
    text = bytes(profile)
    if b"\\" in text and b"\\u0000" in text:
        profile = Raw(storable(text))
    source = _source(envelope.source)
    order = version(changed_at, _SNAPSHOT_RANK, _event_time(time, changed_at), event_id)
    change = Snapshot(validate_user_id(head.user_id), order, source, event_id, changed_at, profile)
    carried = envelope.detail.carried
    if carried is not NULL and bytes(carried) != b"null" and envelope.source.startswith(OWN_SOURCES):
        return (Partial(*_place(change), profile, _parts(carried, order)),)
    if source == EVENT_STREAM:
        partial = Partial(*_place(change), profile, Carried())
        return (partial, Signal(change.user_id, PARTIAL)) if UNSET in (head.name, head.nickname) else (partial,)
    if source == LOG_STREAM and _suspect(text, bytes(head.email)):
        return _without_masked(change)
    return (change,)


def _parts(carried: Raw, order: str) -> Carried:
    """Return the versions of a stored user's parts, none of which is newer than the user."""
    try:
        parts = _carried.decode(carried)
    except msgspec.ValidationError as error:
        raise errors.UnknownShape(f"in detail.carried: {error}") from None
    if max(parts.whole, *parts.keys, order) != order:
        raise errors.UnknownShape("detail.carried has a newer version than the user")
    return Carried.of(parts.whole, parts.versions)


def _without_masked(change: Snapshot) -> tuple[Meaning, ...]:
    """Return the change without its masked keys, and a signal; or the change alone if nothing is masked."""
    profile = _keys.decode(change.profile)
    plain = _plain(profile)

    def masked_by(hash_: re.Pattern[str]) -> dict[str, Raw | None]:
        return _masked(profile, lambda text: hash_.fullmatch(text) is not None and text not in plain)

    if not masked_by(_HASH):
        return (change,)
    masked = masked_by(_ANY_HASH)  # if one value is masked, eight digits are a hash, too
    kept = {key: masked.get(key) or value for key, value in profile.items() if masked.get(key, value) is not None}
    rest, unknown = Raw(msgspec.json.encode(kept)), {key: "" for key, value in masked.items() if value is None}
    left = (
        Partial(*_place(change), rest, Carried.of(change.version, unknown))
        if unknown
        else Snapshot(*_place(change), rest)
    )
    return left, Signal(change.user_id, MASKED)


def _tombstone(envelope: Envelope, event_id: str, deleted_at: str | None, time: str | None, user_id: str) -> Tombstone:
    if deleted_at is None and envelope.odd:
        deleted_at = envelope.time
    moment = instant(deleted_at or "")
    # A deletion in whole seconds may have happened at the end of its second: it wins over every update of that second.
    last = _end_of_second(moment) if _WHOLE_SECONDS.search(deleted_at or "") else moment
    order = version(last, _TOMBSTONE_RANK, _event_time(time, moment), event_id)
    return Tombstone(validate_user_id(user_id), order, _source(envelope.source), event_id, moment, moment)


def _end_of_second(moment: str) -> str:
    return f"{moment[:20]}999999Z"


def _source(source: str) -> str:
    """Return ``auth0.logs``, ``auth0.events`` or ``refresh``."""
    return source.rpartition("/")[2]


def _event_time(time: str | None, default: str) -> str:
    """Return the event's time by its source. It only breaks ties, so an unreadable one must not fail the change."""
    try:
        return instant(time or "")
    except errors.BadTimestamp:
        return default


def _suspect(text: bytes, email: bytes) -> bool:
    """Return whether ``_masked`` must run: few users are masked, and it takes ten times as long as this check."""
    if b"*" in text or (email.startswith(b'"') and b"@" not in email and email != b'""'):
        return True
    return _HASHED_VALUE.search(text) is not None


def _plain(profile: Mapping[str, Raw]) -> str:
    """Return the texts of a user that Auth0 has not masked. A part of them, such as `ada10038`, is no hash."""
    email = _string(profile.get("email", NULL))
    texts = [_string(profile.get(name, NULL)) for name in ("user_id", "nickname")]
    return "\n".join([*texts, email] if "@" in email else texts)


def _masked(profile: Mapping[str, Raw], hashed: Callable[[str], bool]) -> dict[str, Raw | None]:
    """Return the keys of a user in which a Log Stream's PII configuration may have replaced something.

    The value is the rest of ``app_metadata``, and None for every other key.
    """
    found: dict[str, Raw | None] = {}
    for key, value in profile.items():
        text = bytes(value)
        try:
            inside = _any.decode(text)
            kept = _unmasked(inside, hashed, personal=key in PERSONAL)
        except (msgspec.DecodeError, RecursionError):  # numbers beyond Python's range, or nested too deep to search
            if key != _ADMINISTRATIVE and b'"*' in text:
                found[key] = None
            continue
        if kept is _GONE or (key == "email" and isinstance(inside, str) and inside and "@" not in inside):
            found[key] = None
        elif kept is not inside:
            found[key] = Raw(msgspec.json.encode(kept)) if key == _ADMINISTRATIVE else None
    return found


def _unmasked(value: Any, hashed: Callable[[str], bool], *, personal: bool) -> Any:
    """Return ``value`` itself if nothing in it is masked, else the rest of it; ``_GONE`` for a masked text."""
    if isinstance(value, str):
        return _GONE if personal and _looks_masked(value, hashed) else value
    if isinstance(value, dict):
        pairs = {key: _unmasked(item, hashed, personal=personal or key in PERSONAL) for key, item in value.items()}
        same = all(kept is value[key] for key, kept in pairs.items())
        return value if same else {key: kept for key, kept in pairs.items() if kept is not _GONE}
    if isinstance(value, list):
        items = [_unmasked(item, hashed, personal=personal) for item in value]
        same = all(kept is item for kept, item in zip(items, value, strict=True))
        return value if same else [kept for kept in items if kept is not _GONE]
    return value


def _string(value: Raw) -> str:
    """Return a JSON string's text, or nothing for other values, which may exceed Python's range."""
    return msgspec.json.decode(value, type=str) if bytes(value).startswith(b'"') else ""


def _looks_masked(text: str, hashed: Callable[[str], bool]) -> bool:
    """Return whether a text is masked by asterisks, all or in part, or is a hash."""
    if "*" in text:
        return not any(character.isalnum() for character in text)
    return hashed(text)
