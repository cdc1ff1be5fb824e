"""Read events as a program would that trusts them: every peer gets rows at the least cost."""

from collections.abc import Callable, Sequence
from typing import Any, Literal
from urllib.parse import unquote

from msgspec import Raw, Struct
from msgspec.json import Decoder

from benchmarks.records import Records
from pipeline.changes import instant, version

Order = Literal["updated_at", "version"]
"""The column by which a peer finds the newest row: the event's own time, or our place in the total order."""

Row = tuple[Any, ...]
"""Values by the names in ``COLUMNS``; JSON and times are text."""

TEXTS = ("username", "phone_number", "name", "nickname", "given_name", "family_name", "picture", "last_ip")
TYPES = {
    "user_id": "text",
    "email": "text",
    "email_verified": "boolean",
    **dict.fromkeys(TEXTS, "text"),
    "blocked": "boolean",
    "last_login": "timestamptz",
    "logins_count": "bigint",
    "created_at": "timestamptz",
    "connection": "text",
    "updated_at": "timestamptz",
    "deleted_at": "timestamptz",
    "user_metadata": "jsonb",
    "app_metadata": "jsonb",
    "profile": "jsonb",
    "version": "text",
    "source": "text",
    "event_id": "text",
}
COLUMNS = tuple(TYPES)
USER_ID = 0

_SNAPSHOT, _TOMBSTONE = "1", "2"
_EMPTY = Raw(b"{}")


class _Identity(Struct):
    connection: str


class _User(Struct):
    user_id: str
    updated_at: str
    identities: list[_Identity]
    email: str | None = None
    email_verified: bool | None = None
    username: str | None = None
    phone_number: str | None = None
    name: str | None = None
    nickname: str | None = None
    given_name: str | None = None
    family_name: str | None = None
    picture: str | None = None
    last_ip: str | None = None
    blocked: bool | None = None
    last_login: str | None = None
    logins_count: int | None = None
    created_at: str | None = None
    user_metadata: Raw = _EMPTY
    app_metadata: Raw = _EMPTY


class _Request(Struct):
    method: str
    path: str


class _Response(Struct):
    body: Raw = _EMPTY


class _Details(Struct):
    request: _Request
    response: _Response


class _Data(Struct):
    date: str
    details: _Details


class _Detail(Struct):
    log_id: str
    data: _Data


class _Envelope(Struct):
    detail: _Detail


_envelope = Decoder(_Envelope)
_user = Decoder(_User)


def rows(records: Records) -> list[Row]:
    """Return the row of each record, in the order of arrival; the row of a deletion has ``deleted_at``."""
    return [_row(_envelope.decode(record["body"]).detail) for record in records]


def _row(detail: _Detail) -> Row:
    log = detail.data
    if log.details.request.method == "delete":
        user_id = unquote(log.details.request.path.rpartition("/")[2])
        date = instant(log.date)
        place = version(date, _TOMBSTONE, date, detail.log_id)
        nothing = (None,) * (COLUMNS.index("connection") - USER_ID)
        return user_id, *nothing, log.date, log.date, "{}", "{}", "{}", place, "auth0.logs", detail.log_id
    profile = log.details.response.body
    user = _user.decode(profile)
    return (
        user.user_id,
        user.email,
        user.email_verified,
        user.username,
        user.phone_number,
        user.name,
        user.nickname,
        user.given_name,
        user.family_name,
        user.picture,
        user.last_ip,
        user.blocked,
        user.last_login,
        user.logins_count,
        user.created_at,
        user.identities[0].connection,
        user.updated_at,
        None,
        bytes(user.user_metadata).decode(),
        bytes(user.app_metadata).decode(),
        bytes(profile).decode(),
        version(instant(user.updated_at), _SNAPSHOT, instant(log.date), detail.log_id),
        "auth0.logs",
        detail.log_id,
    )


def newest(found: Sequence[Row], order: Order) -> list[Row]:
    """Return the newest row of each user, sorted by user; of equal ones, the first to arrive."""
    place = _key(order)
    kept: dict[str, Row] = {}
    for row in found:
        user_id = row[USER_ID]
        if user_id not in kept or place(kept[user_id]) < place(row):
            kept[user_id] = row
    return [kept[user_id] for user_id in sorted(kept)]


def _key(order: Order) -> Callable[[Row], str]:
    position = COLUMNS.index(order)
    if order == "version":
        return lambda row: str(row[position])
    return lambda row: instant(row[position])
