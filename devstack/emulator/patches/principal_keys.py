"""Condition keys about the caller: a session counts as its role, and no caller is a service of AWS.

AWS (IAM User Guide, "AWS global condition context keys"): for a role's session, ``aws:PrincipalArn`` is the ARN of the
role, not of the session. ``aws:PrincipalIsAWSService`` is in every signed request, and true for calls by services only.

MiniStack: gives the session's ARN, and lacks the other key, so that a policy's exception for a role excepts nobody.
"""

# ruff: noqa: SLF001 - the roles are private to the service; patching.require checks the name

from typing import Any

from ministack.core import iam_evaluator
from ministack.services import iam

from devstack.emulator import patching

_original: dict[str, Any] = {}


def apply() -> None:
    """Replace the function that resolves condition keys."""
    patching.require(iam, "_roles")
    name = "_resolve_condition_key"
    _original[name] = patching.replace(iam_evaluator, name, resolve_condition_key)


def resolve_condition_key(key: str, ctx: Any) -> Any:
    """Return the value of a condition key, or None if the request does not have it."""
    match key.lower():
        case "aws:principalarn" if ":assumed-role/" in ctx.principal_arn:
            name = ctx.principal_arn.split("/")[1]
            role = iam._roles.get_scoped(ctx.principal_account, None, name) or {}
            return role.get("Arn", f"arn:aws:iam::{ctx.principal_account}:role/{name}")
        case "aws:principalisawsservice":
            return ctx.service_context.get("aws:principalisawsservice", "false")
    return _original["_resolve_condition_key"](key, ctx)
