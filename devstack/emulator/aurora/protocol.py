"""The messages at the start of a Postgres connection that the front handles itself.

PostgreSQL documentation, "Frontend/Backend Protocol": "Message Flow" (Start-up, SSL Session Encryption) and "Message
Formats", protocol 3.
"""

import asyncio
import struct
from dataclasses import dataclass

SSL_REQUEST = 80877103
GSS_REQUEST = 80877104
CANCEL_REQUEST = 80877102
ASK_FOR_PASSWORD = b"R" + struct.pack("!ii", 8, 3)
YES, NO = b"S", b"N"

# More than Postgres itself accepts before sign-in; tokens are 1 to 2 kB.
MAX_PACKET = 65_536


class ProtocolError(Exception):
    """The bytes received are not of a Postgres client."""


@dataclass(frozen=True)
class Startup:
    """A client's first packet: ``code`` is its kind, ``raw`` the whole packet, for the server."""

    code: int
    raw: bytes

    def parameters(self) -> dict[str, str]:
        """Return ``user``, ``database`` and settings of a StartupMessage."""
        fields = self.raw[8:].rstrip(b"\0").decode("utf-8", "surrogateescape").split("\0")
        return dict(zip(fields[::2], fields[1::2], strict=False))


async def read_startup(reader: asyncio.StreamReader) -> Startup:
    """Read a packet without a type byte."""
    head = await reader.readexactly(8)
    length, code = struct.unpack("!ii", head)
    return Startup(code, head + await _rest(reader, length, 8))


async def read_password(reader: asyncio.StreamReader) -> str:
    """Read a PasswordMessage."""
    head = await reader.readexactly(5)
    if head[:1] != b"p":
        raise ProtocolError(f"expected a password, got message {head[:1]!r}")
    content = await _rest(reader, struct.unpack("!i", head[1:])[0], 4)
    return content.rstrip(b"\0").decode("utf-8", "surrogateescape")


async def _rest(reader: asyncio.StreamReader, length: int, known: int) -> bytes:
    if not known <= length <= MAX_PACKET:
        raise ProtocolError(f"a packet of {length} bytes")
    return await reader.readexactly(length - known)


def fatal(sqlstate: str, message: str) -> bytes:
    """Return an ErrorResponse that ends the connection."""
    fields = (b"SFATAL", b"VFATAL", b"C" + sqlstate.encode(), b"M" + message.encode("utf-8", "surrogateescape"))
    body = b"\0".join(fields) + b"\0\0"
    return b"E" + struct.pack("!i", len(body) + 4) + body
