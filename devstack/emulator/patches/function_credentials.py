"""The credentials of a function: those of its role.

AWS (Lambda Developer Guide, "Defining Lambda function permissions with an execution role"; "Defined runtime environment
variables"): Lambda assumes the function's role and hands the temporary credentials to the function, token included.

MiniStack: gives every function the account's own keys, which may do everything. With those, tests would miss a role
without a right that a patch checks, such as ``rds-db:connect``.
"""

import hashlib
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
    patching.require(sts, "register_session")
    name = "execution_credentials"
    _original[name] = patching.replace(lambda_runtime, name, execution_credentials)
    patching.replace(lambda_svc, name, execution_credentials)


def execution_credentials(config: dict[str, Any]) -> dict[str, str]:
    """Return credentials of the function's role, or of the account if the role does not exist."""
    role_arn = config.get("Role", "")
    account, role = role_arn.split(":")[4] if role_arn.count(":") >= 5 else "", role_arn.rpartition("/")[2]
    known = iam._roles.get_scoped(account, None, role)  # noqa: SLF001 - private; patching.require watches over it
    if known is None:
        found: dict[str, str] = _original["execution_credentials"](config)
        return found
    digest = hashlib.sha256(f"{config['FunctionArn']} {role_arn}".encode()).hexdigest()
    key, secret, token = f"ASIA{digest[:16].upper()}", digest[16:56], digest
    function = config["FunctionName"][:64]
    session = {
        "Arn": f"arn:aws:sts::{account}:assumed-role/{role}/{function}",
        "UserId": f"{known['RoleId']}:{function}",
        "SecretAccessKey": secret,
        "SessionToken": token,
        "Expiration": time.time() + LIFETIME,
    }
    sts.register_session(key, session)
    return {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": token}
