"""The front of a cluster: terminate TLS, sign users in, and then relay bytes between client and server.

All fronts share one event loop in a thread of their own, so that a busy emulator does not hold up the database.
"""

import asyncio
import logging
import ssl
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import cache
from typing import Any, TypeVar

from devstack.emulator.aurora import protocol

log = logging.getLogger("aurora")

LOCAL = "127.0.0.1"
# A cluster's port is Terraform's choice, 5432 most often, and may be taken on the first of them. Linux has all of 127/8
# on its loopback interface; other systems only have the first.
HOSTS = tuple(f"127.0.0.{number}" for number in range(1, 33))
CHUNK = 65_536
SIGN_IN_SECONDS = 60
"""As Postgres' authentication_timeout."""

T = TypeVar("T")

Tls = Callable[[str], ssl.SSLContext]
"""Returns the context with the certificate of an address."""
SignIn = Callable[[str, str, str], "tuple[str, str] | None"]
"""Called in a thread with user, database and password; None lets the user in, else SQLSTATE and message."""

# Errors of a connection after a client hangs up, or from another kind of client.
_BROKEN = (ConnectionError, asyncio.IncompleteReadError, protocol.ProtocolError, ssl.SSLError, TimeoutError)


class Front:
    """A listener on ``host`` and ``port``, for a server at ``server_port`` that trusts the front's users."""

    def __init__(self, tls: Tls, server_port: Callable[[], int], sign_in: SignIn) -> None:
        self.host, self.port = LOCAL, 0
        self._tls = tls
        self._server_port = server_port
        self._sign_in = sign_in
        self._listener: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()

    def open(self, port: int = 0) -> None:
        """Listen on ``port``, or on a free one. Raises OSError when it is taken on every address."""
        _run(self._open(port))

    def close(self) -> None:
        """Stop listening and end every connection."""
        _run(self._close())

    async def _open(self, port: int) -> None:
        self._listener = await self._listen(port)
        self.host, self.port = self._listener.sockets[0].getsockname()

    async def _listen(self, port: int) -> asyncio.Server:
        for host in HOSTS[:-1]:
            with suppress(OSError):
                return await asyncio.start_server(self._accept, host, port)
        return await asyncio.start_server(self._accept, HOSTS[-1], port)

    async def _close(self) -> None:
        if self._listener is not None:
            self._listener.close()
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            raise AssertionError("a connection is a task")
        self._clients.add(task)
        try:
            await self._serve(reader, writer)
        except _BROKEN as problem:
            log.debug("Aurora: a connection to port %d ended: %r", self.port, problem)
        except asyncio.CancelledError:
            pass  # the cluster is closing; the task ends either way
        finally:
            self._clients.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(SIGN_IN_SECONDS):
            startup = await self._negotiate(reader, writer)
            if startup.code != protocol.CANCEL_REQUEST:
                refusal = await self._refusal(startup, reader, writer)
                if refusal is not None:
                    writer.write(protocol.fatal(*refusal))
                    await writer.drain()
                    return
        up, down = await asyncio.open_connection(LOCAL, self._server_port())
        try:
            down.write(startup.raw)
            await _relay((reader, down), (up, writer))
        finally:
            down.close()

    async def _negotiate(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> protocol.Startup:
        """Answer a client's requests before its start-up message, and return that."""
        while True:
            startup = await protocol.read_startup(reader)
            if startup.code == protocol.SSL_REQUEST and not _over_tls(writer):
                writer.write(protocol.YES)
                await writer.start_tls(self._tls(self.host))
            elif startup.code in (protocol.SSL_REQUEST, protocol.GSS_REQUEST):
                writer.write(protocol.NO)
                await writer.drain()
            else:
                return startup

    async def _refusal(
        self, startup: protocol.Startup, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[str, str] | None:
        parameters = startup.parameters()
        user = parameters.get("user", "")
        database = parameters.get("database") or user
        if not _over_tls(writer):
            who = f'host "{LOCAL}", user "{user}", database "{database}"'
            return "28000", f"no pg_hba.conf entry for {who}, no encryption"
        writer.write(protocol.ASK_FOR_PASSWORD)
        await writer.drain()
        password = await protocol.read_password(reader)
        return await asyncio.to_thread(self._sign_in, user, database, password)


def _over_tls(writer: asyncio.StreamWriter) -> bool:
    return writer.get_extra_info("ssl_object") is not None


async def _relay(*ways: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
    """Copy in both directions until one side ends."""
    copies = [asyncio.create_task(_copy(reader, writer)) for reader, writer in ways]
    try:
        await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for copy in copies:
            copy.cancel()
        await asyncio.gather(*copies, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()
    with suppress(OSError):
        await writer.drain()


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="aurora", daemon=True).start()
    return loop


def _run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run_coroutine_threadsafe(work, _loop()).result()
