"""Signature Version 4, as far as DynamoDB's requests and the tokens of IAM database authentication need it.

Source: IAM User Guide, "Create a signed AWS API request". botocore's signer loads some 90 modules.
"""

import hashlib
import hmac
from datetime import datetime
from typing import Final

ALGORITHM: Final = "AWS4-HMAC-SHA256"


def moment(now: datetime) -> str:
    """Return a UTC time as requests have it; its first eight characters are the day of the scope."""
    return now.strftime("%Y%m%dT%H%M%SZ")


def scope(at: str, region: str, service: str) -> str:
    """Return the scope of a signature at ``moment``."""
    return f"{at[:8]}/{region}/{service}/aws4_request"


def key(secret: str, within: str) -> bytes:
    """Return the signing key of a scope, which is the same for a day."""
    found = f"AWS4{secret}".encode()
    for part in within.split("/"):
        found = hmac.digest(found, part.encode(), "sha256")
    return found


def sign(signing_key: bytes, at: str, within: str, request: str) -> str:
    """Return the signature of a canonical request."""
    text = f"{ALGORITHM}\n{at}\n{within}\n{hashlib.sha256(request.encode()).hexdigest()}"
    return hmac.digest(signing_key, text.encode(), "sha256").hex()
