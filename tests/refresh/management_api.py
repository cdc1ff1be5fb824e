"""A server on this machine that behaves like Auth0's Management API: tokens, users, jobs, streams and past events."""

import json
import threading
import time
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from tests.refresh import events_api
from tests.refresh.events_api import EventsApi
from tests.refresh.jobs_api import JobsApi
from tests.refresh.streams_api import SCOPES, StreamsApi

CLIENT_ID, CLIENT_SECRET, DOMAIN = "client-1", "s3cret-of-client-1", "acme.eu.auth0.com"
PREFIX = "/api/v2/users/"


class Answer(NamedTuple):
    status: int
    body: bytes = b"{}"
    headers: Mapping[str, str] = MappingProxyType({})
    seconds: float = 0
    breaks_after: int | None = None
    """Bytes of the body after which the connection breaks."""


class Request(NamedTuple):
    at: float
    path: str
    user_id: str
    status: int


def user(user_id: str = "auth0|ada", updated_at: str = "2023-07-11T16:30:53.231Z", **fields: Any) -> bytes:
    """Return a user's JSON that a re-encoding would change: with spaces, escapes, number forms, the order of keys."""
    provider, _, identity = user_id.partition("|")
    identities = fields.pop("identities", [{"provider": provider, "user_id": identity, "isSocial": False}])
    known = {"user_id": user_id, "updated_at": updated_at, "email": "ada@acme.example", "identities": identities}
    text = json.dumps(known | fields)
    return text[:-1].encode() + rb', "user_metadata": {"n": 1.50e2, "s":"\u00e9\/", "z" : 1, "a": [ ]}, "x":null }'


def error(status: int, name: str, code: str = "") -> bytes:
    document = {"statusCode": status, "error": name, "message": f"{name} of ada@acme.example"}
    return json.dumps(document | ({"errorCode": code} if code else {})).encode()


class ManagementApi:
    """Keeps ``users`` by id; ``next_answers`` and ``next_tokens`` replace the answers to the next requests."""

    def __init__(self) -> None:
        self.users: dict[str, bytes] = {}
        self.next_answers: deque[Answer] = deque()
        self.always: dict[str, Answer] = {}
        self.lost_answers: deque[Answer] = deque()
        """Answers to the next requests that create a stream; the streams exist all the same."""
        self.next_tokens: deque[Answer] = deque()
        self.requests: list[Request] = []
        self.token_forms: list[dict[str, str]] = []
        self.tokens: set[str] = set()
        self.secret = CLIENT_SECRET
        self.expires_in = 86400
        self.scopes = {"read:users", "read:connections", "read:events", *SCOPES}
        """The application's grant."""
        self.streams = StreamsApi()
        self.events = EventsApi()
        self.jobs = JobsApi(lambda: self.users)
        self.burst: tuple[float, int] | None = None
        """(seconds, requests): the limit, as Auth0 keeps it, if there is one."""
        self.closed = False
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.jobs.url = self.url
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self.closed = True
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def asked(self) -> list[str]:
        return [request.user_id for request in self.requests]

    def add(self, user_id: str, **fields: Any) -> bytes:
        self.users[user_id] = user(user_id, **fields)
        return self.users[user_id]

    def _token(self, form: dict[str, str]) -> Answer:
        self.token_forms.append(form)
        if self.next_tokens:
            return self.next_tokens.popleft()
        expected = {
            "grant_type": "client_credentials",
            "client_id": CLIENT_ID,
            "client_secret": self.secret,
            "audience": f"https://{DOMAIN}/api/v2/",
        }
        if form != expected:
            return Answer(401, b'{"error":"access_denied","error_description":"Unauthorized"}')
        token = f"token-{len(self.token_forms)}"
        self.tokens.add(token)
        answer = {
            "access_token": token,
            "expires_in": self.expires_in,
            "scope": " ".join(sorted(self.scopes)),
            "token_type": "Bearer",
        }
        return Answer(200, json.dumps(answer).encode())

    def _user(self, path: str, authorization: str) -> Answer:
        user_id = unquote(path.removeprefix(PREFIX))
        answer = self._answer(user_id, authorization)
        self.requests.append(Request(time.monotonic(), path, user_id, answer.status))
        return answer

    def _answer(self, user_id: str, authorization: str) -> Answer:
        if refusal := self._refusal(authorization):
            return refusal
        if user_id in self.always:
            return self.always[user_id]
        if user_id in self.users:
            return Answer(200, self.users[user_id])
        return Answer(404, error(404, "Not Found", "inexistent_user"))

    def _refusal(self, authorization: str) -> Answer | None:
        """Return an answer that any request may get in place of its own, or None."""
        if authorization.removeprefix("Bearer ") not in self.tokens:
            return Answer(401, error(401, "Unauthorized"))
        if self.burst is not None:
            seconds, most = self.burst
            now = time.monotonic()
            recent = [r.at for r in self.requests if r.status != 429 and now - r.at < seconds]
            if len(recent) >= most:
                reset = str(int(time.time() + seconds) + 1)
                headers = {"X-RateLimit-Limit": str(most), "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}
                return Answer(429, error(429, "Too Many Requests", "too_many_requests"), headers)
        return self.next_answers.popleft() if self.next_answers else None

    def _events(self, path: str, authorization: str) -> Answer | None:
        """Return the refusal of a request for events, or None if it gets a stream."""
        answer = self._refusal(authorization)
        if answer is None and (refused := self.events.refused(path, self.scopes)):
            status, document, headers = refused
            answer = Answer(status, json.dumps(document).encode(), headers)
        self.requests.append(Request(time.monotonic(), path, "", answer.status if answer else 200))
        return answer

    def _any(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        if path.startswith("/files/"):
            return Answer(*self.jobs.file(path, headers))
        authorization = headers.get("Authorization", "")
        if path == "/oauth/token":
            return self._token({name: values[0] for name, values in parse_qs(body.decode()).items()})
        if method == "GET" and path.startswith(PREFIX) and "/" not in path.removeprefix(PREFIX):
            return self._user(path, authorization)
        answer = self._refusal(authorization)
        if answer is None:
            found = self.jobs.answer(method, path, body, self.scopes)
            status, document = found or self.streams.answer(method, path, body, self.scopes)
            answer = Answer(status, b"" if status == 204 else json.dumps(document).encode())
            if method == "POST" and self.lost_answers:
                answer = self.lost_answers.popleft()
        self.requests.append(Request(time.monotonic(), f"{method} {path}", "", answer.status))
        return answer

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one write for head and body: two would wait for each other, 40 ms a time

            def do_GET(self) -> None:
                self._serve()

            def do_POST(self) -> None:
                self._serve()

            def do_PATCH(self) -> None:
                self._serve()

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if urlsplit(self.path).path == events_api.PATH:
                    _stream(api, self)
                    return
                with api._lock:
                    answer = api._any(self.command, self.path, dict(self.headers.items()), body)
                self._send(answer)

            def _send(self, answer: Answer) -> None:
                time.sleep(answer.seconds)
                try:
                    self.send_response(answer.status)
                    for name, value in answer.headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Type", "application/json; charset=utf-8")
                    self.send_header("Content-Length", str(len(answer.body)))
                    self.end_headers()
                    self.wfile.write(answer.body[: answer.breaks_after])
                    self.close_connection = answer.breaks_after is not None
                except OSError:
                    self.close_connection = True  # the client gave up waiting

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as it is called there
                pass

        return Handler


def _stream(api: ManagementApi, handler: Any) -> None:
    """Answer a request for events."""
    with api._lock:
        refusal = api._events(handler.path, handler.headers.get("Authorization", ""))
        api.events.open += refusal is None
    if refusal:
        handler._send(refusal)
        return
    try:
        handler.date_time_string = lambda: format_datetime(datetime.now(UTC) + api.events.ahead, usegmt=True)
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream; charset=utf-8")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.flush()
        for piece in api.events.stream(handler.path):
            handler.request.sendall(b"%x\r\n%s\r\n" % (len(piece), piece) if piece else b"")
            if api.closed:
                break
        handler.request.sendall(b"0\r\n\r\n")
    except (OSError, events_api.Cut):
        handler.close_connection = True
    finally:
        with api._lock:
            api.events.open -= 1
