"""An application's session at one tenant: its token, and requests with it, each sent once."""

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec
import urllib3

from pipeline.auth0.credentials import Credentials
from pipeline.auth0.errors import Auth0Down, CredentialsRefused, RateLimited
from pipeline.auth0.settings import Auth0

CONNECT_TIMEOUT = 3.0
READ_TIMEOUT = 10.0
TOKEN_LEEWAY = 60.0
"""Seconds before its end at which a token is replaced."""
DEFAULT_WAIT = 1.0
"""Seconds to wait after a 429 that does not say how long; the tightest limit of Auth0 is per second."""
LONGEST_WAIT = 900.0
"""Most seconds before the next request, whatever Auth0 answered: as long as SQS can delay a message."""

_SAFE_CODE = re.compile(r"[a-z_]{1,64}", re.ASCII)


class _Token(msgspec.Struct, frozen=True):
    access_token: str
    expires_in: float
    scope: Any = None


class _Error(msgspec.Struct, frozen=True):
    """An error: ``error`` from the token endpoint, ``errorCode`` from the API."""

    error: Any = None
    errorCode: Any = None  # noqa: N815 - Auth0's name


_token = msgspec.json.Decoder(_Token)
_error = msgspec.json.Decoder(_Error)


class Session:
    """The token of an application, and requests with it. Follows no redirect, keeps its connections.

    Each deadline is a value of ``time.monotonic()``.
    """

    def __init__(self, settings: Auth0, credentials: Credentials) -> None:
        self._base_url = settings.base_url
        self._audience = f"https://{settings.domain}/api/v2/"
        self._credentials = credentials
        self._pool = urllib3.PoolManager(retries=False, headers={"User-Agent": "auth0-sync"})
        self._bearer = ""
        self._bearer_ends = 0.0
        self.scopes: frozenset[str] | None = None
        """The scopes of the last token; None if Auth0 named none."""

    def send(
        self, method: str, path: str, deadline: float, *, json: object = None, silence: float | None = None
    ) -> tuple[datetime, urllib3.BaseHTTPResponse]:
        """Send a request, perhaps with a JSON body; return its time and the response.

        With ``silence``, the most seconds between two bytes, the answer is a stream: the caller reads its body.
        Raises ``CredentialsRefused``, ``RateLimited`` (of the token endpoint only) or ``Auth0Down``.
        """
        asked_at, answer = self._send(method, path, deadline, json, silence)
        if answer.status == 401:
            # A token can become invalid early: after a rotation of the secret or a change of the grant.
            self._bearer = ""
            asked_at, answer = self._send(method, path, deadline, json, silence)
        return asked_at, answer

    def sign_in(self, deadline: float) -> str:
        """Return a token. Raises as ``send`` does."""
        if self._bearer and time.monotonic() < self._bearer_ends - TOKEN_LEEWAY:
            return self._bearer
        form = {
            "grant_type": "client_credentials",
            "client_id": self._credentials.client_id,
            "client_secret": self._credentials.client_secret,
            "audience": self._audience,
        }
        answer = self._request("POST", "/oauth/token", deadline, fields=form, encode_multipart=False)
        if answer.status in (400, 401, 403, 404):
            raise CredentialsRefused(f"token: {answer.status} {code(answer.data)}".rstrip(), answer.status)
        if answer.status != 200:
            raise no_use("token", answer)
        try:
            token = _token.decode(answer.data)
        except msgspec.DecodeError:
            raise Auth0Down("token: an answer that is not a token") from None
        self._bearer, self._bearer_ends = token.access_token, time.monotonic() + token.expires_in
        self.scopes = frozenset(token.scope.split()) if isinstance(token.scope, str) else None
        return self._bearer

    def _send(
        self, method: str, path: str, deadline: float, json: object, silence: float | None
    ) -> tuple[datetime, urllib3.BaseHTTPResponse]:
        headers = {**self._pool.headers, "Authorization": f"Bearer {self.sign_in(deadline)}"}
        if silence is not None:
            headers["Accept"] = "text/event-stream"
        body = {} if json is None else {"json": json}
        asked_at = datetime.now(UTC)
        return asked_at, self._request(method, path, deadline, silence, headers=headers, **body)

    def _request(
        self, method: str, path: str, deadline: float, silence: float | None = None, **parts: Any
    ) -> urllib3.BaseHTTPResponse:
        left = max(deadline - time.monotonic(), 0.05)
        read = min(READ_TIMEOUT, left) if silence is None else silence
        timeout = urllib3.Timeout(connect=min(CONNECT_TIMEOUT, left), read=read)
        whole = silence is None
        try:
            answer = self._pool.request(
                method, self._base_url + path, timeout=timeout, redirect=False, preload_content=whole, **parts
            )
            if answer.status != 200:
                _ = answer.data  # the connection can serve the next request only when this answer is read
            return answer
        except urllib3.exceptions.HTTPError as error:
            # The error's text would contain the address with the user id.
            raise Auth0Down(f"{method}: {type(error).__name__}") from None


def no_use(what: str, answer: urllib3.BaseHTTPResponse) -> RateLimited | Auth0Down:
    """Return the error for an answer that is neither a success nor a refusal."""
    if answer.status == 429:
        return RateLimited(what, wait(answer.headers, time.time()))
    return Auth0Down(f"{what}: {answer.status} {code(answer.data)}".rstrip())


def code(body: bytes) -> str:
    """Return Auth0's short code of an error, without its text, which may hold ids."""
    try:
        error = _error.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return ""
    for found in (error.errorCode, error.error):
        if isinstance(found, str) and _SAFE_CODE.fullmatch(found):
            return found
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
