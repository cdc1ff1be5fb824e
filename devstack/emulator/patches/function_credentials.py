"""The session of a function: its id, and its end.

AWS (Lambda Developer Guide, "Defining Lambda function permissions with an execution role"; IAM User Guide, "AWS global
condition context keys", aws:userid): Lambda assumes the function's role, in a session of the function's name, for some
hours. The session's id is the role's id and that name, ``AROA…:function``.

MiniStack: has the role's name in the place of its id, and no end, without which it takes no IAM token for a database.
"""

# ruff: noqa: SLF001 - the roles and the sessions are private; patching.require checks the names

import time
from typing import Any

from ministack.core import lambda_runtime
from ministack.services import iam, lambda_svc, sts

from devstack.emulator import patching

LIFETIME = 7 * 24 * 3600
"""Lifetime of credentials in seconds: unlike AWS, the emulator does not replace a worker before they end."""

_original: dict[str, Any] = {}


def apply() -> None:
    """Replace the credentials in the workers' environment."""
    patching.require(iam, "_roles")
    patching.require(sts, "_sessions")
    name = "execution_credentials"
    _original[name] = patching.replace(lambda_runtime, name, execution_credentials)
    patching.replace(lambda_svc, name, execution_credentials)


def execution_credentials(config: dict[str, Any]) -> dict[str, str]:
    """Return credentials of the function's role, in a session that has the role's id and an end."""
    found: dict[str, str] = _original["execution_credentials"](config)
    session = sts._sessions[found["AWS_ACCESS_KEY_ID"]]
    session["Expiration"] = time.time() + LIFETIME
    account, (_, role, name) = session["Arn"].split(":")[4], session["Arn"].split("/")
    if known := iam._roles.get_scoped(account, None, role):
        session["UserId"] = f"{known['RoleId']}:{name}"
    return found
