"""Athena as a command reaches it, by HTTP: it answers every query with the same rows, or never."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "ATHENA_DATABASE": "d",
    "ATHENA_WORKGROUP": "w",
}
"""Environment of the command's user; with the server's address in AWS_ENDPOINT_URL."""


class Athena:
    """The requests so far, and the answer: `columns` of text, and `rows`. Every query has the state `state`."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.stopped: list[str] = []
        self.columns: list[str] = ["a"]
        self.rows: list[list[str | None]] = [["1"]]
        self.state = "SUCCEEDED"

    def answer(self, operation: str, body: dict[str, Any]) -> dict[str, Any]:
        match operation:
            case "StartQueryExecution":
                self.asked.append(body["QueryString"])
                return {"QueryExecutionId": "q1"}
            case "GetQueryExecution":
                statistics = {"DataScannedInBytes": 1234}
                return {"QueryExecution": {"Status": {"State": self.state}, "Statistics": statistics}}
            case "StopQueryExecution":
                self.stopped.append(body["QueryExecutionId"])
                return {}
            case "GetQueryResults":
                data = [{"Data": [{} if v is None else {"VarCharValue": v} for v in row]} for row in self.rows]
                header = {"Data": [{"VarCharValue": name} for name in self.columns]}
                info = [{"Name": name, "Type": "varchar"} for name in self.columns]
                return {"ResultSet": {"Rows": [header, *data], "ResultSetMetadata": {"ColumnInfo": info}}}
        raise AssertionError(operation)


@contextmanager
def served() -> Iterator[tuple[Athena, str]]:
    """Athena and its address."""
    athena = Athena()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            payload = json.dumps(athena.answer(self.headers["X-Amz-Target"].partition(".")[2], body)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield athena, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
