"""The Management API over HTTP: fetch one user with its JSON as Auth0 wrote it."""

from collections.abc import Callable
from datetime import datetime
from urllib.parse import quote

import msgspec

from pipeline.auth0.credentials import Credentials
from pipeline.auth0.errors import Auth0Down, CredentialsRefused, UserIdRefused
from pipeline.auth0.session import Session, code, no_use
from pipeline.auth0.settings import Auth0
from pipeline.events import decode_deep, storable


class Fetched(msgspec.Struct, frozen=True):
    """A user as it is now. ``body`` is the JSON object of the response, byte for byte."""

    user_id: str
    body: bytes
    asked_at: datetime
    linked: tuple[str, ...] = ()
    """Ids of its other identities, if Auth0 returned another user than the requested one: they are no users."""


class Gone(msgspec.Struct, frozen=True):
    """No such user.

    ``asked_at`` is the time of the request, not of the response: a user created again in between is newer.
    """

    asked_at: datetime


Fetch = Callable[[str], Fetched | Gone]
"""Fetches a user by id. Raises the errors of ``pipeline.auth0``."""


class _User(msgspec.Struct, frozen=True):
    user_id: str
    updated_at: str
    identities: msgspec.Raw = msgspec.Raw()


class _Identity(msgspec.Struct, frozen=True):
    provider: str
    user_id: str | int


_user = msgspec.json.Decoder(_User)
_identities = msgspec.json.Decoder(list[_Identity])


class ManagementApi:
    """Fetch users from one tenant's Management API."""

    def __init__(self, settings: Auth0, credentials: Credentials) -> None:
        self._session = Session(settings, credentials)

    def user(self, user_id: str, deadline: float) -> Fetched | Gone:
        """Fetch a user; ``deadline`` is a value of ``time.monotonic()``.

        Raises ``CredentialsRefused``, ``RateLimited``, ``Auth0Down`` or ``UserIdRefused``.
        """
        asked_at, answer = self._session.send("GET", f"/api/v2/users/{_segment(user_id)}", deadline)
        match answer.status:
            case 200:
                user = _read(answer.data)
                linked = () if user.user_id == user_id else _linked(user)
                return Fetched(user.user_id, answer.data, asked_at, linked)
            case 404 if code(answer.data) == "inexistent_user":
                return Gone(asked_at)
            case 400:
                raise UserIdRefused(code(answer.data))
            case 401 | 403:
                raise CredentialsRefused(f"GET user: {answer.status} {code(answer.data)}".rstrip())
        # Any other 404 is about the address, and must not delete the user.
        raise no_use("GET user", answer)


def _segment(user_id: str) -> str:
    # HTTP libraries read a lone dot as another path, encoded or not.
    if user_id in (".", ".."):
        raise UserIdRefused
    return quote(user_id, safe="")


def _read(body: bytes) -> _User:
    try:
        body.decode()  # the decoder does not read what it skips
        return decode_deep(_user, storable(body))
    except (UnicodeDecodeError, msgspec.DecodeError):
        raise Auth0Down("GET user: 200, but the answer is not a user") from None


def _linked(user: _User) -> tuple[str, ...]:
    try:
        identities = _identities.decode(user.identities)
    except msgspec.DecodeError:
        return ()
    ids = (f"{identity.provider}|{identity.user_id}" for identity in identities)
    return tuple(user_id for user_id in ids if user_id != user.user_id)
