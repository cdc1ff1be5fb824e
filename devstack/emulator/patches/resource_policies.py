"""Denials by the policies of queues, buckets and keys: of the account's root user, and of a role that a service takes.

AWS (IAM User Guide, "Policy evaluation logic"): an explicit Deny of a resource's policy refuses the request, whatever
the caller's own policies allow. That holds for the account's root user, too, who may still replace a bucket's policy
(S3 User Guide, "Policies and permissions in Amazon S3"). A service that takes a role, as Firehose does to write into a
bucket, calls with the rights of that role.

MiniStack: asks no policy about the root user, for whom it also takes a caller without a signature, nor about what its
services do themselves.
"""

# ruff: noqa: SLF001 - MiniStack's functions are private; patching.require checks them

import logging
from typing import Any

from ministack.core import iam_evaluator, responses

from devstack.emulator import patching, permissions

log = logging.getLogger("resource_policies")

SERVICES = ("kms", "s3", "sqs")
ROOT_MAY = ("s3:DeleteBucketPolicy", "s3:GetBucketPolicy", "s3:PutBucketPolicy")
"""Actions that a bucket's policy cannot deny to the account's root user."""

_original: dict[str, Any] = {}


def apply() -> None:
    """Replace the function that decides about each request."""
    patching.require(iam_evaluator, "_resource_policy", "evaluate_resource_policy", "resolve_principal", "EvalResult")
    _original["enforce"] = patching.replace(iam_evaluator, "enforce", enforce)


def enforce(
    access_key_id: str,
    iam_action: str,
    service: str,
    region: str,
    resource_arn: str = "*",
    service_context: dict[str, Any] | None = None,
) -> Any:
    """Return why a request is refused, or None if it is allowed."""
    refusal = _original["enforce"](access_key_id, iam_action, service, region, resource_arn, service_context)
    if refusal is not None or service not in SERVICES or iam_action in ROOT_MAY:
        return refusal
    caller = iam_evaluator.resolve_principal(access_key_id or "", responses.get_account_id())
    if isinstance(caller, iam_evaluator.AuthError) or caller.type != "Root":
        return None  # MiniStack asked the resource's policy
    if not _denied(service, caller, region, iam_action, resource_arn, service_context):
        return None
    log.warning("Denied by the policy of %s: %s by %s", resource_arn, iam_action, caller.arn)
    return iam_evaluator.EvalResult("Deny", principal_arn=caller.arn, resource_policy_arn=resource_arn)


def role_denied(service: str, role_arn: str, action: str, resource: str) -> bool:
    """Return whether the resource's own policy denies the action to a role that a service has taken."""
    return _denied(service, permissions.role(role_arn), responses.get_region(), action, resource, None)


def _denied(service: str, caller: Any, region: str, action: str, resource: str, keys: dict[str, Any] | None) -> bool:
    policy, _ = iam_evaluator._resource_policy(service, resource) or ("", None)
    asked = permissions.context(caller, region, action, resource, keys)
    return bool(iam_evaluator.evaluate_resource_policy(policy, asked).decision == "Deny")
