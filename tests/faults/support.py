"""A Postgres server to break, and a proxy that breaks DynamoDB."""

import http.client
import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import psycopg

from devstack import postgres
from pipeline.functions.migrate import migrate
from pipeline.settings import Database
from tests.emulator.support import wait_for
from tests.strategies import Json, updated, user

OLD, NEW = "2026-01-15T09:00:00.000Z", "2026-01-15T09:00:05.000Z"


def updates(moment: str, count: int = 20) -> list[Json]:
    """Return an update as of ``moment`` of each of ``count`` users."""
    return [updated(user(f"a|{n:04}", moment, name=moment), log_id=f"{moment}-{n}", date=moment) for n in range(count)]


def names(moment: str, count: int = 20) -> dict[str, str]:
    """Return user ids and names as stored after ``updates``."""
    return {f"a|{number:04}": moment for number in range(count)}


@contextmanager
def running(work: Callable[[], Any]) -> Iterator["Future[Any]"]:
    """``work`` in a thread, while the body runs."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(work)


class BreakableServer:
    """A Postgres server of the test's own, on one port, with the database of the sync."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._port = postgres.free_port()
        postgres.stop(directory, delete=True)  # of a killed run, whose directory had the same name
        # Durable, because a kill must lose nothing that was committed.
        self._server = postgres.start(directory, self._port)
        self._port = self._server.port
        self.url = postgres.create_database(self._server.url, "auth0")
        migrate(Database(url=self.url))

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(self.url, autocommit=True)

    def execute(self, *statements: str) -> list[Any]:
        """Run statements; the rows of the last one."""
        with self.connect() as connection:
            for statement in statements:
                cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    @property
    def names(self) -> dict[str, str]:
        return dict(self.execute("SELECT user_id, name FROM auth0.users"))

    def kill(self) -> None:
        """Kill all processes of the server at once, as when the machine dies."""
        os.kill(self._server.pid, signal.SIGKILL)

    def stop(self) -> None:
        postgres.stop(self._directory)

    def start(self) -> None:
        self._server = postgres.start(self._directory, self._port)
        assert self._server.port == self._port

    def restart(self) -> None:
        self.stop()
        self.start()

    def delete(self) -> None:
        postgres.stop(self._directory, delete=True)

    @contextmanager
    def locked(self, user_id: str) -> Iterator[psycopg.Connection]:
        """Yield a transaction that holds the row of a user, as an administrator's might."""
        connection = self.connect()
        try:
            connection.execute("BEGIN")
            connection.execute("SELECT FROM auth0.users WHERE user_id = %s FOR UPDATE", [user_id])
            yield connection
        finally:
            connection.close()

    def wait_for_blocked(self, count: int = 1) -> list[int]:
        """Wait until ``count`` of the sync's statements wait for a lock; the process ids of their sessions."""
        waiting = "SELECT pid FROM pg_stat_activity WHERE application_name = 'auth0-sync' AND wait_event_type = 'Lock'"
        with self.connect() as connection:

            def blocked() -> list[int]:
                found = [pid for (pid,) in connection.execute(waiting).fetchall()]
                return found if len(found) >= count else []

            pids: list[int] = wait_for(blocked)
            return pids


class Put(NamedTuple):
    """A put on its way to DynamoDB: whose, and how often it was tried before, this time included."""

    user_id: str
    attempt: int


class Fault(NamedTuple):
    """A fault that the proxy makes of a put; by default none."""

    status: int = 0
    """Answer with an error in place of passing the put on."""
    code: str = ""
    lose_answer: bool = False
    """Pass it on, and close the connection without an answer."""
    hold: threading.Event | None = None
    """Pass it on once this is set."""


class FlakyDynamoDB:
    """An HTTP proxy in front of the emulator; ``rule`` says what happens to each put."""

    def __init__(self, endpoint: str) -> None:
        self.rule: Callable[[Put], Fault] = lambda _put: Fault()
        self.attempts: Counter[str] = Counter()
        """Puts that came, by user id."""
        self._lock = threading.Lock()
        target, proxy = urlsplit(endpoint).netloc, self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one write for head and body: two would wait for each other, 40 ms a time

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                fault = proxy._fault(body) if self.headers["X-Amz-Target"].endswith("PutItem") else Fault()
                if fault.hold is not None:
                    fault.hold.wait(20)
                if fault.status:
                    kind = f"com.amazonaws.dynamodb.v20120810#{fault.code}"
                    self._answer(fault.status, json.dumps({"__type": kind, "message": fault.code}).encode())
                    return
                connection = http.client.HTTPConnection(target)
                connection.request("POST", self.path, body, dict(self.headers))
                answer = connection.getresponse()
                content = answer.read()
                connection.close()
                if fault.lose_answer:
                    self.close_connection = True
                    return
                self._answer(answer.status, content)

            def _answer(self, status: int, content: bytes) -> None:
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", "application/x-amz-json-1.0")
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)
                except OSError:
                    self.close_connection = True  # nobody waits for it any more

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _fault(self, body: bytes) -> Fault:
        user_id = json.loads(body)["Item"]["user_id"]["S"]
        with self._lock:
            self.attempts[user_id] += 1
            return self.rule(Put(user_id, self.attempts[user_id]))
