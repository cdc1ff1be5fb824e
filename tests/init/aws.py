"""A server on this machine that answers the few requests of `init` as AWS does: STS, EventBridge, Secrets Manager."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

Json = dict[str, Any]
ACCOUNT = "123456789012"
ARN = f"arn:aws:sts::{ACCOUNT}:assumed-role/Deployer/ada"
IDENTITY = f"""<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Arn>{ARN}</Arn><UserId>AROA:ada</UserId><Account>{ACCOUNT}</Account></GetCallerIdentityResult>
<ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></GetCallerIdentityResponse>"""


class Refusal(Exception):
    """AWS's refusal of a request."""

    def __init__(self, code: str, message: str = "no") -> None:
        self.document = {"__type": code, "Message": message}


class Aws:
    """Keeps event sources and secrets; a new event source appears after ``delay`` seconds."""

    def __init__(self) -> None:
        self.sources: dict[str, tuple[str, float]] = {}
        self.delay = 0.0
        self.page = 100
        self.secrets: dict[str, str] = {}
        self.refused: dict[str, str] = {}
        """Codes of errors by operation."""
        self.asked: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def created(self, account: str, region: str, source: str) -> None:
        """Add an event source, as Auth0 does for a new stream."""
        if account == ACCOUNT:
            self.sources[source] = ("PENDING", time.monotonic() + self.delay)

    def activate(self) -> None:
        """Activate the event sources, as a deploy does by their buses."""
        self.sources = dict.fromkeys(self.sources, ("ACTIVE", 0.0))

    def answer(self, operation: str, request: Json) -> Json:
        self.asked.append(operation)
        if code := self.refused.get(operation):
            raise Refusal(code)
        answer: Json = getattr(self, f"_{operation}")(request)
        return answer

    def _ListEventSources(self, request: Json) -> Json:  # noqa: N802 - AWS's name
        there = sorted(name for name, (_, appears) in self.sources.items() if appears <= time.monotonic())
        rest = [name for name in there if name > request.get("NextToken", "")]
        page = rest[: min(self.page, request["Limit"])]
        found = [{"Name": name, "State": self.sources[name][0]} for name in page]
        return {"EventSources": found} | ({"NextToken": page[-1]} if len(page) < len(rest) else {})

    def _GetSecretValue(self, request: Json) -> Json:  # noqa: N802 - AWS's name
        if request["SecretId"] not in self.secrets:
            raise Refusal("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
        return {"Name": request["SecretId"], "SecretString": self.secrets[request["SecretId"]]}

    def _CreateSecret(self, request: Json) -> Json:  # noqa: N802 - AWS's name
        if request["Name"] in self.secrets:
            raise Refusal("ResourceExistsException")
        self.secrets[request["Name"]] = request["SecretString"]
        return {"Name": request["Name"]}

    def _PutSecretValue(self, request: Json) -> Json:  # noqa: N802 - AWS's name
        if request["SecretId"] not in self.secrets:
            raise Refusal("ResourceNotFoundException")
        self.secrets[request["SecretId"]] = request["SecretString"]
        return {"Name": request["SecretId"]}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        aws = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                target = self.headers.get("X-Amz-Target")
                if target is None:
                    assert parse_qs(body.decode())["Action"] == ["GetCallerIdentity"]
                    self._send(200, IDENTITY.encode(), "text/xml")
                    return
                try:
                    answer = aws.answer(target.rpartition(".")[2], json.loads(body))
                    self._send(200, json.dumps(answer).encode(), "application/x-amz-json-1.1")
                except Refusal as refusal:
                    self._send(400, json.dumps(refusal.document).encode(), "application/x-amz-json-1.1")

            def _send(self, status: int, body: bytes, kind: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as it is called there
                pass

        return Handler
