"""How the emulator sends its answers."""

import asyncio
import socket
from contextvars import ContextVar
from http.client import HTTPConnection
from typing import Any

import pytest
from uvicorn import Server

from devstack.emulator.__main__ import configuration
from devstack.postgres import free_port
from tests.emulator.support import Aws

pytestmark = pytest.mark.emulator

REQUEST = b"GET /_ministack/health HTTP/1.1\r\nHost: aws\r\n\r\n"


def test_head_and_body_come_at_once_on_a_connection_that_stays_open(aws: Aws) -> None:
    with socket.create_connection(("127.0.0.1", aws.emulator.port), timeout=10) as connection:
        for _ in range(50):
            connection.sendall(REQUEST)
            head, _, body = connection.recv(65536).partition(b"\r\n\r\n")
            length = next(line for line in head.lower().splitlines() if line.startswith(b"content-length:"))
            assert len(body) == int(length.partition(b":")[2]) > 0


class Remembering:
    """An ASGI app that answers with the path that an earlier request set in the same context, or with "nothing"."""

    variable: ContextVar[str] = ContextVar("variable", default="nothing")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for step in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{step}.complete"})
            return
        seen = self.variable.get().encode()
        self.variable.set(scope["path"])
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(seen))]})
        await send({"type": "http.response.body", "body": seen})


@pytest.mark.parametrize("size", [1_000, 400_000])
def test_a_request_has_no_variables_of_an_earlier_one(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    port = free_port()
    monkeypatch.setenv("BIND_HOST", "127.0.0.1")
    monkeypatch.setenv("GATEWAY_PORT", str(port))

    def ask() -> list[bytes]:
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        answers = []
        for body in (b"x" * size, b""):
            connection.request("POST", "/first", body)
            answers.append(connection.getresponse().read())
        connection.close()
        return answers

    async def serve() -> list[bytes]:
        server = Server(configuration(Remembering()))
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        answers = await asyncio.to_thread(ask)
        server.should_exit = True
        await serving
        return answers

    assert asyncio.run(serve()) == [b"nothing", b"nothing"]
