"""Signed documents: lines of JSON, of which the last is a signature over all bytes before it.

`head -n -1 FILE | openssl dgst -sha256 -verify KEY.pem -signature SIGNATURE` verifies one without this project.
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Final, Protocol

import msgspec

from pipeline.errors import Auth0SyncError

ALGORITHM: Final = "ECDSA_SHA_256"
"""KMS's name of the algorithm; its signatures have the DER form that OpenSSL reads."""

Sign = Callable[[bytes], bytes]
"""Signs a SHA-256 digest."""
Verify = Callable[[bytes, bytes], bool]
"""Returns whether a signature, the second, is of a SHA-256 digest, the first."""


class KeyPair(Protocol):
    """A key that signs, and verifies what it signed."""

    @property
    def sign(self) -> Sign:
        """Return the signature of a digest."""

    @property
    def verify(self) -> Verify:
        """Return the check of a signature."""


class NotSigned(Auth0SyncError):
    """The document has no valid signature of the deployment's key."""


class Signature(msgspec.Struct, frozen=True):
    """The last line of a document."""

    algorithm: str
    key: str
    """ARN of the KMS key."""
    signature: bytes


def seal(lines: Iterable[msgspec.Struct], sign: Sign, key: str) -> bytes:
    """Return a document with a signature by the key of this ARN."""
    body = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
    return body + msgspec.json.encode(Signature(ALGORITHM, key, sign(sha256(body).digest()))) + b"\n"


def unseal(document: bytes, verify: Verify, key: str) -> Sequence[bytes]:
    """Return the lines without the signature. Raises NotSigned unless every byte is as `seal` wrote it."""
    body, separator, last = document[:-1].rpartition(b"\n")
    body += separator
    try:
        signature = msgspec.json.decode(last, type=Signature)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise NotSigned("its last line is no signature") from None
    if msgspec.json.encode(signature) + b"\n" != document[len(body) :]:
        raise NotSigned("its last line is not in the form that the function writes")
    if (signature.algorithm, signature.key) != (ALGORITHM, key):
        raise NotSigned("another key or algorithm signed it")
    if not verify(sha256(body).digest(), signature.signature):
        raise NotSigned("the signature does not match the content")
    return body.splitlines()
