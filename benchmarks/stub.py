"""A server on loopback with the shortest answers that a function's first batch can use, as AWS and Auth0."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_ANSWERS: dict[str, Any] = {
    "GetSecretValue": {"SecretString": json.dumps({"client_id": "id", "client_secret": "secret"})},
    "StartQueryExecution": {"QueryExecutionId": "q"},
    "GetQueryExecution": {"QueryExecution": {"Status": {"State": "SUCCEEDED"}}},
    "GetQueryResults": {"ResultSet": {"ResultSetMetadata": {"ColumnInfo": []}, "Rows": []}},
    "BeginTransaction": {"transactionId": "t"},
    "Execute": {"columnMetadata": [], "records": []},
}
_NO_OBJECTS = b'<?xml version="1.0"?><ListVersionsResult><IsTruncated>false</IsTruncated></ListVersionsResult>'


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/api/v2/users/"):
            user = {"user_id": path.rpartition("/")[2].replace("%7C", "|"), "updated_at": "2026-09-21T14:13:20.000Z"}
            self._answer(json.dumps(user).encode())
        else:
            self._answer(_NO_OBJECTS)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        name = self.headers.get("X-Amz-Target", self.path).rpartition(".")[2].rpartition("/")[2]
        if name == "token":
            self._answer(b'{"access_token": "t", "expires_in": 86400}')
        elif name == "SendMessageBatch":
            sent = [{"Id": entry["Id"], "MessageId": entry["Id"]} for entry in json.loads(body)["Entries"]]
            self._answer(json.dumps({"Successful": sent}).encode())
        else:
            self._answer(json.dumps(_ANSWERS.get(name, {})).encode())

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class' name
        """Say nothing."""


@contextmanager
def running() -> Iterator[str]:
    """Yield the address of a running server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
