"""Send the head of an answer with the beginning of its body.

Uvicorn sends the head first. On a busy machine, Go's client now and then closes a connection between the head and the
body, and the SDK repeats a request that was done (compare issue 2737 of aws-sdk-go-v2, "use of closed network
connection"). Terraform then meets ResourceAlreadyExists for what it has made itself, and does not have it in its state.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Connection(HttpToolsProtocol):
    """A client's connection, on which whatever the loop's current turn writes goes out together."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to serve; see asyncio's protocols."""
        joined: Any = _Joined(transport, self.loop)
        super().connection_made(joined)


class _Joined:
    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, part: bytes) -> None:
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(part)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._parts:
            self._transport.write(b"".join(self._parts))
            self._parts.clear()
