"""Check passwords against Postgres' stored form, RFC 5803's SCRAM verifier in pg_authid."""

import base64
import hashlib
import hmac
import re

_VERIFIER = re.compile(r"SCRAM-SHA-256\$(\d+):([^$]+)\$([^:]+):(.+)")


def matches(verifier: str | None, password: str) -> bool:
    """Return whether ``password`` matches ``verifier``; False for a role without a password.

    Text beside ASCII would need RFC 4013's preparation first, which nothing here uses.
    """
    parts = _VERIFIER.fullmatch(verifier or "")
    if not parts:
        return False
    iterations, salt, stored = int(parts[1]), base64.b64decode(parts[2]), base64.b64decode(parts[3])
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("utf-8", "surrogateescape"), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return hmac.compare_digest(hashlib.sha256(client_key).digest(), stored)
