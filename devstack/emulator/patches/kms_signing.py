"""The caller's right to sign with a KMS key.

AWS (KMS Developer Guide, "Key policies in AWS KMS"; IAM User Guide, "Policy evaluation logic"): Sign needs kms:Sign,
and a Deny in the key's policy wins over everything, also over the account's root. aws:PrincipalArn is a role's ARN, not
that of its session.

MiniStack: signs for everybody.
"""

# ruff: noqa: SLF001 - MiniStack's functions are private; patching.require checks them

import json
from typing import Any

from ministack.core import iam_evaluator, responses, router
from ministack.services import kms

from devstack.emulator import patching, permissions

_original: dict[str, Any] = {}


def apply() -> None:
    """Check the caller before MiniStack signs."""
    patching.require(kms, "_resolve_key")
    patching.require(router, "extract_access_key_id")
    patching.require(iam_evaluator, "resolve_principal", "evaluate_resource_policy", "EvalContext")
    _original["handle_request"] = patching.replace(kms, "handle_request", handle_request)


async def handle_request(method: str, path: str, headers: Any, body: Any, query_params: Any) -> Any:
    """Handle every request of the service."""
    if headers.get("x-amz-target", "").rpartition(".")[2] == "Sign":
        caller = router.extract_access_key_id(headers, query_params)
        problem = refusal(caller, kms._resolve_key(_key_id(body)))
        if problem:
            return responses.error_response_json("AccessDeniedException", problem, 400)
    return await _original["handle_request"](method, path, headers, body, query_params)


def refusal(access_key: str, key: dict[str, Any] | None) -> str | None:
    """Return why the caller may not sign with the key, or None if it may."""
    account, region = responses.get_account_id(), responses.get_region()
    principal = iam_evaluator.resolve_principal(access_key, account)
    if key is None or isinstance(principal, iam_evaluator.AuthError):
        return None  # MiniStack answers these
    named = principal.arn
    if ":assumed-role/" in named:
        named = f"arn:aws:iam::{account}:role/{named.split('/')[1]}"
    context = iam_evaluator.EvalContext(
        principal_arn=named,
        principal_type=principal.type,
        principal_account=account,
        action="kms:Sign",
        resource_arn=key["Arn"],
        region=region,
        principal_keys=principal.keys,
    )
    denied = iam_evaluator.evaluate_resource_policy(key.get("Policy"), context).decision == "Deny"
    if not denied and permissions.allowed(access_key, account, region, "kms:Sign", key["Arn"]):
        return None
    return f"User: {principal.arn} is not authorized to perform: kms:Sign on resource: {key['Arn']}"


def _key_id(body: Any) -> str:
    try:
        return str(json.loads(body or "{}").get("KeyId", ""))
    except ValueError:
        return ""  # MiniStack answers this one
