"""IAM database authentication: sign a token in place of a password, without a call to AWS.

Source: Aurora User Guide, "IAM database authentication"; the token equals ``generate_db_auth_token`` of boto3's client.
"""

import hashlib
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, urlencode

from pipeline import signature
from pipeline.errors import BadSettings
from pipeline.settings import Database

LIFETIME: Final = 900
"""Seconds for which a token can open connections; open connections outlive it."""

_SERVICE: Final = "rds-db"
_NO_BODY: Final = hashlib.sha256(b"").hexdigest()


def token(database: Database, env: Mapping[str, str] = os.environ, now: datetime | None = None) -> str:
    """Return a token for ``database.user``, signed with the credentials in the environment, as Lambda sets them."""
    access_key, secret = env.get("AWS_ACCESS_KEY_ID"), env.get("AWS_SECRET_ACCESS_KEY")
    if not (access_key and secret):
        missing = "AWS_SECRET_ACCESS_KEY" if access_key else "AWS_ACCESS_KEY_ID"
        raise BadSettings(f"{missing} is not set, so no IAM database token can be signed")
    at = signature.moment(now or datetime.now(UTC))
    scope = signature.scope(at, database.region, _SERVICE)
    query = {
        "Action": "connect",
        "DBUser": database.user,
        "X-Amz-Algorithm": signature.ALGORITHM,
        "X-Amz-Credential": f"{access_key}/{scope}",
        "X-Amz-Date": at,
        "X-Amz-Expires": str(LIFETIME),
        "X-Amz-SignedHeaders": "host",
    }
    if session := env.get("AWS_SESSION_TOKEN"):
        query["X-Amz-Security-Token"] = session
    endpoint = f"{database.host}:{database.port}"
    canonical = _encoded(dict(sorted(query.items())))
    request = f"GET\n/\n{canonical}\nhost:{endpoint}\n\nhost\n{_NO_BODY}"
    signed = signature.sign(signature.key(secret, scope), at, scope, request)
    return f"{endpoint}/?{_encoded(query)}&X-Amz-Signature={signed}"


def _encoded(query: Mapping[str, str]) -> str:
    return urlencode(query, quote_via=quote, safe="")
