"""The findings of checks; errors of a check become findings, too."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from botocore.exceptions import BotoCoreError, ClientError

from pipeline.errors import Auth0SyncError

Verdict = Literal["ok", "bad", "unknown"]

_DENIED: Final = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized")
_MISSING: Final = "ResourceNotFoundException"


@dataclass(frozen=True)
class Finding:
    """The verdict of a check on one subject; `unknown` if the check cannot judge it."""

    title: str
    """The subject of the check."""
    verdict: Verdict
    detail: str = ""
    """The problem or the observation."""
    advice: str = ""
    """The remedy."""


def ok(title: str, detail: str = "") -> Finding:
    """Return a finding about a working subject."""
    return Finding(title, "ok", detail)


def bad(title: str, detail: str, advice: str = "") -> Finding:
    """Return a finding about a broken subject."""
    return Finding(title, "bad", detail, advice)


def unknown(title: str, detail: str, advice: str = "") -> Finding:
    """Return a finding about a subject that the check cannot judge."""
    return Finding(title, "unknown", detail, advice)


def guarded(title: str, check: Callable[[], list[Finding]]) -> list[Finding]:
    """Return a check's findings, or its error as a finding, which is `unknown` if AWS denies the request."""
    try:
        return check()
    except (BotoCoreError, ClientError) as error:
        denied = _code(error) in _DENIED
        return [unknown(title, str(error), _advice(error)) if denied else bad(title, str(error))]
    except Auth0SyncError as error:
        return [bad(title, str(error))]


def existing(title: str, check: Callable[[], Finding]) -> Finding:
    """Return a check's findings about a resource, or that the resource does not exist."""
    try:
        return check()
    except ClientError as error:
        if _code(error) != _MISSING:
            raise
        return bad(title, str(error), "Deploy again: that makes what is missing")


def _advice(error: Exception) -> str:
    sending = isinstance(error, ClientError) and error.operation_name.startswith("SendMessage")
    return "Queues take messages of operators only: add this IAM role to access.operator_arns" if sending else ""


def _code(error: Exception) -> str:
    return str(error.response["Error"].get("Code", "")) if isinstance(error, ClientError) else ""
