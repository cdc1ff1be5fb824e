"""The Management API for commands: JSON in and out, with retries, and errors that a person can act on."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
import urllib3

from pipeline.auth0.credentials import Credentials
from pipeline.auth0.errors import Auth0Down, CredentialsRefused, RateLimited
from pipeline.auth0.session import Session, code, wait
from pipeline.auth0.settings import Auth0
from pipeline.errors import CommandError

SECONDS: Final = 120.0
"""Seconds that a command waits for Auth0's rate limit, for each request."""
TRIES: Final = 4
"""Tries of a request that Auth0 does not answer."""
PAUSE: Final = 1.0
"""Seconds before the second try after an outage; doubled before each further one."""
RATE_LIMITED: Final = "too_many_requests"
"""Auth0's code of the rate limit. A 429 with another code, such as for too many jobs, is a refusal."""
_LONGEST_TEXT: Final = 300

_WHERE: Final = "Auth0's dashboard: Applications, APIs, Auth0 Management API, Machine to Machine Applications"


class Auth0Error(CommandError):
    """Auth0 refused a command's request, or did not answer it."""


class Refused(Auth0Error):
    """Auth0 refused a request; ``status`` and ``code`` are the response's."""

    def __init__(self, message: str, status: int, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class MissingScopes(Auth0Error):
    """The application lacks permissions."""


class Unanswered(Auth0Error):
    """Auth0 did not answer a request, so it may or may not have done it."""


class Limited(Unanswered):
    """Auth0's rate limit lasts longer than a command waits."""


class _Said(msgspec.Struct):
    message: str = ""


class Management:
    """A client of one tenant's Management API that waits for rate limits and outages as long as a person would."""

    def __init__(
        self,
        settings: Auth0,
        credentials: Credentials,
        *,
        seconds: float = SECONDS,
        pause: float = PAUSE,
        sleep: Callable[[float], None] = time.sleep,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        """``tell`` gets a line before each wait."""
        self.domain = settings.domain
        self._session = Session(settings, credentials)
        self._seconds = seconds
        self._pause = pause
        self._sleep = sleep
        self._tell = tell

    def require(self, scopes: Iterable[str]) -> None:
        """Raise MissingScopes if the token says that the application lacks any of ``scopes``."""
        self._until_answered("sign in", self._session.sign_in, repeat=True)
        has = self._session.scopes
        if has is not None and (missing := sorted({*scopes} - has)):
            raise MissingScopes(
                f"The application lacks permissions of the Auth0 Management API: {', '.join(missing)}. Add them in "
                f"{_WHERE}, and run this again."
            )

    def get(self, path: str) -> Any:
        """Return the JSON of ``path`` below ``/api/v2/``, or None if there is no content. Raises Auth0Error."""
        return self._request("GET", path, None)

    def entries(self, path: str, key: str = "", **query: str) -> Iterator[Any]:
        """Yield the entries of a list below ``/api/v2/``. Raises Auth0Error.

        Auth0 answers with the list, or with pages: objects with a part of the list as ``key``, and perhaps a ``next``.
        """
        begin, seen = "", set[str]()
        while begin not in seen:
            seen.add(begin)
            asked = urlencode(query | ({"from": begin} if begin else {}))
            answer = self.get(f"{path}?{asked}" if asked else path)
            page = answer if isinstance(answer, dict) else {key: answer}
            if not isinstance(page.get(key), list):
                raise Unanswered(
                    f"{self.domain} answered a request for its {path} with something that is no list. Run this again "
                    "later."
                )
            yield from page[key]
            begin = str(page.get("next") or "")

    def post(self, path: str, body: object, *, repeat: bool = False) -> Any:
        """Create something. Raises Unanswered where a second try could create it twice, or another Auth0Error.

        ``repeat`` says that a second try does no harm.
        """
        return self._request("POST", path, body, repeat=repeat)

    def patch(self, path: str, body: object) -> Any:
        """Change something. Raises Auth0Error."""
        return self._request("PATCH", path, body)

    def stream(self, path: str, silence: float) -> urllib3.BaseHTTPResponse:
        """Open a stream of server-sent events. Auth0 may send nothing for ``silence`` seconds. Raises Auth0Error."""
        what = f"GET /api/v2/{path.partition('?')[0]}"
        answer = self._answer("GET", path, None, what, repeat=True, silence=silence)
        if answer.status != 200:
            raise self._refused(what, answer)
        if not answer.headers.get("Content-Type", "").startswith("text/event-stream"):
            answer.close()
            raise Unanswered(f"{what}: {self.domain} answered with something that is not a stream of events.")
        return answer

    def _request(self, method: str, path: str, body: object, *, repeat: bool = True) -> Any:
        what = f"{method} /api/v2/{path}"
        answer = self._answer(method, path, body, what, repeat=repeat)
        if answer.status == 204:
            return None
        if 200 <= answer.status < 300:
            try:
                return msgspec.json.decode(answer.data)
            except (msgspec.DecodeError, RecursionError):
                raise Unanswered(f"{what}: {self.domain} answered with something that is not JSON.") from None
        raise self._refused(what, answer)

    def _answer(
        self, method: str, path: str, body: object, what: str, *, repeat: bool, silence: float | None = None
    ) -> urllib3.BaseHTTPResponse:
        self._until_answered("sign in", self._session.sign_in, repeat=True)

        def send(deadline: float) -> urllib3.BaseHTTPResponse:
            answer = self._session.send(method, f"/api/v2/{path}", deadline, json=body, silence=silence)[1]
            if answer.status == 429 and code(answer.data) in ("", RATE_LIMITED):
                raise RateLimited(what, wait(answer.headers, time.time()))
            if answer.status >= 500:
                raise Auth0Down(f"{answer.status} {code(answer.data)}".rstrip())
            return answer

        answer: urllib3.BaseHTTPResponse = self._until_answered(what, send, repeat=repeat)
        return answer

    def _until_answered(self, what: str, send: Callable[[float], Any], *, repeat: bool) -> Any:
        """Return the answer, after waits for rate limits, and for outages if the request can be repeated."""
        deadline = time.monotonic() + self._seconds
        kind: type[Unanswered]
        pauses = [self._pause * 2**n for n in range(TRIES - 1)] if repeat else []
        while True:
            try:
                return send(deadline)
            except CredentialsRefused as error:
                raise self._credentials_refused(error) from None
            except RateLimited as error:
                why, seconds, kind = "has reached its rate limit", error.wait, Limited
            except Auth0Down as error:
                why = f"does not answer ({error.detail})"
                if not pauses or "NameResolution" in error.detail:  # no second try finds another name
                    raise Unanswered(
                        f"{what}: {self.domain} {why}. Check the domain and the network, then run this again."
                    ) from None
                seconds, kind = pauses.pop(0), Unanswered
            if time.monotonic() + seconds > deadline:
                raise kind(f"{what}: {self.domain} {why}. Run this again in {seconds:.0f} seconds.")
            self._tell(f"{self.domain} {why}; next try in {seconds:.0f} s")
            self._sleep(seconds)

    def _credentials_refused(self, error: CredentialsRefused) -> Auth0Error:
        match error.status:
            case 403:
                problem = f"The application may not use the Auth0 Management API: authorize it in {_WHERE}."
            case 404:
                problem = "There is no Auth0 tenant at this domain: use the tenant's own, such as acme.eu.auth0.com."
            case _:
                problem = (
                    "Check the client id and the client secret, and that the application is Machine to Machine, in the "
                    "tenant of this domain."
                )
        return Refused(f"{self.domain} refused the credentials ({error.status}). {problem}", error.status)

    def _refused(self, what: str, answer: urllib3.BaseHTTPResponse) -> Auth0Error:
        try:
            said = msgspec.json.decode(answer.data, type=_Said).message
        except (msgspec.DecodeError, RecursionError):
            said = ""
        reason = code(answer.data)
        detail = " ".join((said or reason).split())[:_LONGEST_TEXT]
        if answer.status == 403 and reason == "insufficient_scope":
            return MissingScopes(
                f"The application lacks a permission of the Auth0 Management API. Add it in {_WHERE}. "
                f"({what}: {detail})"
            )
        return Refused(f"{self.domain} refused it. ({what}: {answer.status} {detail})".rstrip(), answer.status, reason)
