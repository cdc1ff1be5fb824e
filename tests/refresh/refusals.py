"""The answer of Auth0's Management API to a request that it refuses."""

from http import HTTPStatus
from typing import Any


def refusal(status: int, message: str, code: str = "invalid_body") -> tuple[int, dict[str, Any]]:
    """Return the status and the JSON document."""
    name = HTTPStatus(status).phrase
    return status, {"statusCode": status, "error": name, "message": message, "errorCode": code}
