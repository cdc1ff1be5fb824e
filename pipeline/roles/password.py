"""The password of ``auth0_query``: random, and stored in Postgres as its SCRAM verifier."""

import secrets
from base64 import b64encode
from hashlib import pbkdf2_hmac, sha256
from hmac import digest

from pipeline.roles import QUERY

ITERATIONS = 4096
"""As Postgres itself; the password has 256 random bits, so that more would not help."""


def new() -> str:
    """Return a random password."""
    return secrets.token_urlsafe(32)


def verifier(password: str, salt: bytes | None = None) -> str:
    """Return the SCRAM verifier of a password (RFC 5802, RFC 7677), which does not reveal the password."""
    salt = salt or secrets.token_bytes(16)
    salted = pbkdf2_hmac("sha256", password.encode("ascii"), salt, ITERATIONS)
    stored = sha256(digest(salted, b"Client Key", "sha256")).digest()
    server = digest(salted, b"Server Key", "sha256")
    coded = [b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${ITERATIONS}:{coded[0]}${coded[1]}:{coded[2]}"


def statement(password: str) -> str:
    """Return a statement that sets the password and holds only its verifier.

    It is a DO block, which log_statement = ddl does not log; the Data API would take a colon for a parameter.
    """
    code = verifier(password).encode().hex()
    change = f"format('ALTER ROLE {QUERY} PASSWORD %L', convert_from(decode('{code}', 'hex'), 'UTF8'))"
    return f"DO $$ BEGIN EXECUTE {change}; END $$"
