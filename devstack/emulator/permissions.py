"""Evaluate IAM policies where MiniStack does not: for a service's questions beside the request's own action."""

# ruff: noqa: SLF001 - the policies of a role are private to the evaluator

from collections.abc import Mapping
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import request_scope
from ministack.services import iam, tagging


def allowed(access_key: str, account: str, region: str, action: str, resource: str) -> bool:
    """Return whether ``access_key`` may do ``action`` to the ARN ``resource``; the account's own keys may do all."""
    with request_scope(account, region):
        principal = iam_evaluator.resolve_principal(access_key, account)
        if isinstance(principal, iam_evaluator.AuthError):
            return False
        return principal.policies is None or _allows(principal, region, action, resource)


def role_allowed(role_arn: str, region: str, action: str, resource: str) -> bool:
    """Return whether a service with the role may do ``action`` to the ARN ``resource``."""
    return role_arn.count(":") >= 5 and _allows(role(role_arn), region, action, resource)


def policy_allows(policy: Any, account: str, region: str, action: str, resource: str) -> bool:
    """Return whether the policy of a resource lets ``account`` as a whole do ``action`` to it."""
    root = iam_evaluator.PrincipalInfo(arn=f"arn:aws:iam::{account}:root", type="Root", account=account, policies=None)
    asked = context(root, region, action, resource)
    return bool(iam_evaluator.evaluate_resource_policy(policy, asked).decision == "Allow")


def role(role_arn: str) -> Any:
    """Return the principal as which a service with the role calls."""
    account, name = role_arn.split(":")[4], role_arn.rpartition("/")[2]
    policies = iam_evaluator._gather_role_policies(name, account)
    limits = iam_evaluator._permissions_boundary(iam._roles, name, account)
    return iam_evaluator.PrincipalInfo(
        arn=role_arn, type="AssumedRole", account=account, policies=policies, limits=limits
    )


def context(principal: Any, region: str, action: str, resource: str, keys: Mapping[str, Any] | None = None) -> Any:
    """Return the question for the evaluator: may the principal do ``action`` to the ARN ``resource``?

    ``keys`` are condition keys of the request. It counts as sent over TLS, as requests to the emulator do.
    """
    with request_scope(principal.account, region):
        tags = tagging.resource_tags(resource) or {}
    service_context = {f"aws:resourcetag/{name}": value for name, value in tags.items()} | dict(keys or {})
    return iam_evaluator.EvalContext(
        principal_arn=principal.arn,
        principal_type=principal.type,
        principal_account=principal.account,
        action=action,
        resource_arn=resource,
        region=region,
        secure_transport=True,
        service_context={name.lower(): value for name, value in service_context.items()},
        principal_keys=principal.keys,
    )


def _allows(principal: Any, region: str, action: str, resource: str) -> bool:
    asked = context(principal, region, action, resource)
    return bool(iam_evaluator.evaluate(asked, principal.policies, *principal.limits).decision == "Allow")
