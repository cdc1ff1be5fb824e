"""The Management API over HTTP: get a token, and fetch one user with its JSON as Auth0 wrote it."""

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import msgspec
import urllib3

from pipeline.auth0.credentials import Credentials
from pipeline.auth0.errors import Auth0Down, CredentialsRefused, RateLimited, UserIdRefused
from pipeline.auth0.settings import Auth0
from pipeline.events import shallow, storable

CONNECT_TIMEOUT = 3.0
READ_TIMEOUT = 10.0
TOKEN_LEEWAY = 60.0
"""Seconds before its end at which a token is replaced."""
DEFAULT_WAIT = 1.0
"""Seconds to wait after a 429 that does not say how long; the tightest limit of Auth0 is per second."""
LONGEST_WAIT = 900.0
"""Most seconds before the next request, whatever Auth0 answered: as long as SQS can delay a message."""

_SAFE_CODE = re.compile(r"[a-z_]{1,64}", re.ASCII)


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


class _User(msgspec.Struct, frozen=True):
    user_id: str
    updated_at: str
    identities: msgspec.Raw = msgspec.Raw()


class _Identity(msgspec.Struct, frozen=True):
    provider: str
    user_id: str | int


class _Token(msgspec.Struct, frozen=True):
    access_token: str
    expires_in: float


class _Error(msgspec.Struct, frozen=True):
    """An error: ``error`` from the token endpoint, ``errorCode`` from the API."""

    error: Any = None
    errorCode: Any = None  # noqa: N815 - Auth0's name


_user = msgspec.json.Decoder(_User)
_identities = msgspec.json.Decoder(list[_Identity])
_token = msgspec.json.Decoder(_Token)
_error = msgspec.json.Decoder(_Error)


class ManagementApi:
    """A client of one tenant's Management API. Makes each request once, follows no redirect, keeps its connections."""

    def __init__(self, settings: Auth0, credentials: Credentials) -> None:
        self._base_url = settings.base_url
        self._audience = f"https://{settings.domain}/api/v2/"
        self._credentials = credentials
        self._pool = urllib3.PoolManager(retries=False, headers={"User-Agent": "auth0-sync"})
        self._bearer = ""
        self._bearer_ends = 0.0

    def user(self, user_id: str, deadline: float) -> Fetched | Gone:
        """Fetch a user; ``deadline`` is a value of ``time.monotonic()``.

        Raises ``CredentialsRefused``, ``RateLimited``, ``Auth0Down`` or ``UserIdRefused``.
        """
        url = f"{self._base_url}/api/v2/users/{_segment(user_id)}"
        asked_at, answer = self._get(url, deadline)
        if answer.status == 401:
            # A token can become invalid early: after a rotation of the secret or a change of the grant.
            self._bearer = ""
            asked_at, answer = self._get(url, deadline)
        match answer.status:
            case 200:
                user = _read(answer.data)
                linked = () if user.user_id == user_id else _linked(user)
                return Fetched(user.user_id, answer.data, asked_at, linked)
            case 404 if _code(answer.data) == "inexistent_user":
                return Gone(asked_at)
            case 400:
                raise UserIdRefused(_code(answer.data))
            case 401 | 403:
                raise CredentialsRefused(f"GET user: {answer.status} {_code(answer.data)}".rstrip())
        # Any other 404 is about the address, and must not delete the user.
        raise _no_use("GET user", answer)

    def _get(self, url: str, deadline: float) -> tuple[datetime, urllib3.BaseHTTPResponse]:
        headers = {**self._pool.headers, "Authorization": f"Bearer {self._token(deadline)}"}
        asked_at = datetime.now(UTC)
        return asked_at, self._request("GET", url, deadline, headers=headers)

    def _token(self, deadline: float) -> str:
        if self._bearer and time.monotonic() < self._bearer_ends - TOKEN_LEEWAY:
            return self._bearer
        form = {
            "grant_type": "client_credentials",
            "client_id": self._credentials.client_id,
            "client_secret": self._credentials.client_secret,
            "audience": self._audience,
        }
        url = f"{self._base_url}/oauth/token"
        answer = self._request("POST", url, deadline, fields=form, encode_multipart=False)
        if answer.status in (400, 401, 403, 404):
            raise CredentialsRefused(f"token: {answer.status} {_code(answer.data)}".rstrip())
        if answer.status != 200:
            raise _no_use("token", answer)
        try:
            token = _token.decode(answer.data)
        except msgspec.DecodeError:
            raise Auth0Down("token: an answer that is not a token") from None
        self._bearer, self._bearer_ends = token.access_token, time.monotonic() + token.expires_in
        return self._bearer

    def _request(self, method: str, url: str, deadline: float, **parts: Any) -> urllib3.BaseHTTPResponse:
        left = max(deadline - time.monotonic(), 0.05)
        timeout = urllib3.Timeout(connect=min(CONNECT_TIMEOUT, left), read=min(READ_TIMEOUT, left))
        try:
            return self._pool.request(method, url, timeout=timeout, redirect=False, **parts)
        except urllib3.exceptions.HTTPError as error:
            # The error's text would contain the address with the user id.
            raise Auth0Down(f"{method}: {type(error).__name__}") from None


def _segment(user_id: str) -> str:
    # HTTP libraries read a lone dot as another path, encoded or not.
    if user_id in (".", ".."):
        raise UserIdRefused
    return quote(user_id, safe="")


def _read(body: bytes) -> _User:
    try:
        text = body.decode()
        try:
            return _user.decode(storable(body))
        except RecursionError:
            return _user.decode(storable(shallow(text).encode()))
    except (UnicodeDecodeError, msgspec.DecodeError):
        raise Auth0Down("GET user: 200, but the answer is not a user") from None


def _linked(user: _User) -> tuple[str, ...]:
    try:
        identities = _identities.decode(user.identities)
    except msgspec.DecodeError:
        return ()
    ids = (f"{identity.provider}|{identity.user_id}" for identity in identities)
    return tuple(user_id for user_id in ids if user_id != user.user_id)


def _no_use(what: str, answer: urllib3.BaseHTTPResponse) -> RateLimited | Auth0Down:
    if answer.status == 429:
        return RateLimited(what, wait(answer.headers, time.time()))
    return Auth0Down(f"{what}: {answer.status} {_code(answer.data)}".rstrip())


def _code(body: bytes) -> str:
    """Return Auth0's short code of an error, without its text, which may hold ids."""
    try:
        error = _error.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return ""
    for code in (error.errorCode, error.error):
        if isinstance(code, str) and _SAFE_CODE.fullmatch(code):
            return code
    return ""


def wait(headers: Mapping[str, str], now: float) -> float:
    """Return the seconds until a limit ends, from ``DEFAULT_WAIT`` to ``LONGEST_WAIT``.

    By ``Retry-After`` (seconds or a date), else by ``X-RateLimit-Reset`` (Unix time in seconds).
    """
    return min(max(_asked_to_wait(headers, now), DEFAULT_WAIT), LONGEST_WAIT)


def _asked_to_wait(headers: Mapping[str, str], now: float) -> float:
    after = headers.get("Retry-After", "").strip()
    if after.isdecimal():
        return float(after)
    if after:
        try:
            return parsedate_to_datetime(after).timestamp() - now
        except (ValueError, OverflowError):
            pass
    reset = headers.get("X-RateLimit-Reset", "").strip()
    return float(reset) - now if reset.isdecimal() else DEFAULT_WAIT
