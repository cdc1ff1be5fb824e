"""What the policies of queues and buckets deny, to every caller.

AWS (IAM User Guide, "Policy evaluation logic"): an explicit Deny of a resource's policy refuses the request, whatever
the caller's own policies allow. That holds for the account's root user, too, who may still replace a bucket's policy
(S3 User Guide, "Policies and permissions in Amazon S3"). (IAM User Guide, "AWS global condition context keys"):
``aws:PrincipalArn`` of a session is the ARN of its role; ``aws:PrincipalIsAWSService`` is false for all but services.
(SQS Developer Guide, "Amazon SQS API permissions"): SendMessageBatch is the action SendMessage.

MiniStack: asks policies with AUTH=true only, which also wants every caller's own policies, never refuses root, and
takes a session's ARN for that of its role.

Here an address without TLS counts as one with it, as it stands for AWS's own.
"""

# ruff: noqa: SLF001 - MiniStack's functions are private; patching.require checks them

import logging
from collections.abc import Iterator
from typing import Any

from ministack import app
from ministack.core import iam_actions, iam_evaluator, responses, router
from ministack.services import iam, sqs

from devstack.emulator import patching, permissions, requests

log = logging.getLogger("resource_policies")

SERVICES = ("s3", "sqs")
ROOT_MAY = ("s3:DeleteBucketPolicy", "s3:GetBucketPolicy", "s3:PutBucketPolicy")
"""What a bucket's policy cannot deny to the account's root user."""

_original: dict[str, Any] = {}

Check = tuple[str, str, dict[str, Any]]
"""An action, its resource, and the condition keys of the request."""


def apply() -> None:
    """Check each request after its body has been read, before any service gets it."""
    patching.require(app, "_decompress_request_body")
    patching.require(
        iam_actions, "access_denied_response", "extract_iam_action", "extract_resource_arn", "s3_additional_checks"
    )
    patching.require(iam_actions, "s3_service_context")
    patching.require(iam_evaluator, "_resource_policy", "evaluate_resource_policy", "resolve_principal")
    patching.require(iam, "_roles")
    patching.require(sqs, "queue_policy_for_arn")
    _original["shortcuts"] = patching.replace(app, "_handle_post_body_shortcuts", check)


async def check(
    method: str, path: str, headers: dict[str, str], body: bytes, query_params: dict[str, list[str]], request_id: str
) -> Any:
    """Refuse a request that the policy of its queue or bucket denies; pass on any other."""
    service = requests.signed_for(headers)
    if service in SERVICES and not path.startswith(requests.S3_CONTROL):
        key = router.extract_access_key_id(headers, query_params)
        plain = body if service == "s3" else app._decompress_request_body(body, dict(headers))
        request = requests.Request(method, path, headers, plain, query_params)
        region = router.extract_region(headers, query_params)
        caller = principal(key, responses.get_account_id())
        for action, resource, keys in checks(str(service), request, region, responses.get_account_id()):
            if caller and denied(str(service), caller, region, action, resource, keys):
                log.warning("Denied by the policy of %s: %s by %s", resource, action, caller.arn)
                return iam_actions.access_denied_response(
                    str(service), action, caller.arn, request_id,
                    headers=headers, resource_arn=resource, explicit_deny=True, resource_policy_arn=resource,
                )  # fmt: skip
    return await _original["shortcuts"](method, path, headers, body, query_params, request_id)


def checks(service: str, request: requests.Request, region: str, account: str) -> Iterator[Check]:
    """Yield what IAM is asked about for a request."""
    headers, query = dict(request.headers), dict(request.query)
    asked = (service, request.method, request.path, headers, request.body, query)
    action = iam_actions.extract_iam_action(*asked)
    if action is None:
        return
    resource = iam_actions.extract_resource_arn(*asked, region, account)
    if service == "sqs":
        yield action.removesuffix("Batch"), resource, {}
        return
    yield action, resource, iam_actions.s3_service_context(action, query, request.path, headers)
    for also, of in iam_actions.s3_additional_checks(request.method, request.path, headers, request.body, query):
        yield also, of, {}


def principal(access_key: str, account: str) -> Any:
    """Return who has the access key, a session as its role; ``None`` for an unknown key."""
    found = iam_evaluator.resolve_principal(access_key, account)
    if isinstance(found, iam_evaluator.AuthError):
        return None
    if found.type == "AssumedRole":
        name = found.arn.split("/")[1]
        role = iam._roles.get_scoped(found.account, None, name) or {}
        found.arn = role.get("Arn", f"arn:aws:iam::{found.account}:role/{name}")
    return found


def role_denied(service: str, role_arn: str, action: str, resource: str) -> bool:
    """Return whether the resource's own policy denies the action to a role that a service has taken."""
    account = role_arn.split(":")[4]
    role = iam_evaluator.PrincipalInfo(arn=role_arn, type="AssumedRole", account=account, policies=[])
    return denied(service, role, responses.get_region(), action, resource, {})


def denied(service: str, caller: Any, region: str, action: str, resource: str, keys: dict[str, Any]) -> bool:
    """Return whether the resource's own policy denies the action to the caller."""
    if caller.type == "Root" and action in ROOT_MAY:
        return False
    policy, _ = iam_evaluator._resource_policy(service, resource) or ("", None)
    context = permissions.context(caller, region, action, resource)
    context.secure_transport = True
    context.service_context |= {name.lower(): value for name, value in keys.items()}
    context.service_context["aws:principalisawsservice"] = "false"
    return bool(iam_evaluator.evaluate_resource_policy(policy, context).decision == "Deny")
